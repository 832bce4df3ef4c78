// A limit of connections, and wraps, on all loops of a group.

#include "group_fixture.h"

#include <ferry/connection_limit.h>
#include <ferry/idle_limit.h>

namespace ferry::test {
namespace {

class GroupLimits : public GroupTest {};

TEST_F(GroupLimits, AConnectionLimitHoldsForAllLoopsTogether) {
  for (const Spread spread : {Spread::least_loaded, Spread::reuse_port}) {
    start_group(3);
    const auto limit =
        std::make_shared<ConnectionLimit>(ConnectionLimits{.per_peer = 20, .refusal = "full"});
    ListenOptions options;
    options.gate = limit;
    const auto server = serve(spread, options);
    auto peers = dial(*server, 20);
    EXPECT_EQ(limit->connections(), 20u);
    for (int i = 0; i < 10; ++i) {
      RawPeer more = RawPeer::connect(loop().kernel(), server->sockets().front());
      run_until_ended(more);
      EXPECT_EQ(more.received(), "full");
    }
    EXPECT_EQ(limit->refused(), 10u);
    EXPECT_EQ(counts().made - counts().lost, 20u);
    run_until_open(*server, 20);
    peers.pop_back();
    run_until([&] { return limit->connections() == 19; });
    peers.push_back(dial(*server));
    EXPECT_EQ(limit->connections(), 20u);
    server->close();
    end_group();
    EXPECT_EQ(limit->connections(), 0u);
  }
}

TEST_F(GroupLimits, AnIdleLimitIsEachLoopsOwn) {
  start_group(3);
  ListenOptions options;
  options.wrap = idle_limit(200ms);
  const auto server = serve(Spread::least_loaded, options);
  auto peers = dial(*server, 30);
  run_until_open(*server, 0);
  EXPECT_EQ(counts().lost, 30u);
  EXPECT_EQ(counts().on_wrong_thread, 0u);
  server->close();
}

}  // namespace
}  // namespace ferry::test
