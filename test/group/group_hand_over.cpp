// A server on many loops gives its listening sockets to a process with loops of its own.

#include "group_fixture.h"

#include <ferry/listeners.h>

namespace ferry::test {
namespace {

class GroupHandOver : public GroupTest {};

TEST_F(GroupHandOver, NoConnectionIsLostInBetween) {
  for (const Spread spread : {Spread::least_loaded, Spread::reuse_port}) {
    start_group(3);
    LoopGroup others({.loops = 2});
    others.start();
    const auto old = serve(spread);
    auto mine = dial(*old, 12);
    HandOverOptions options;
    options.path = unused_unix_address().path();
    options.servers = {{"echo", old}};
    const std::string path = options.path;
    const auto offered = hand_over_listeners(loop(), std::move(options));
    const auto taking = take_over_listeners(loop(), path);
    run_until([&] { return taking.done(); });
    TakenListeners taken = std::move(taking.result());
    EXPECT_EQ(taken.listeners.size(), spread == Spread::reuse_port ? 3u : 1u);

    auto before = begin_to_dial(*old, 30);
    ListenOptions adopted;
    adopted.sockets = take_listeners(taken.listeners, "echo");
    const auto next = wait(create_server(loop(), others, echo(), adopted, spread));
    const auto confirmed = taken.confirm();
    auto meanwhile = begin_to_dial(*next, 30);
    wait(confirmed);
    wait(offered);
    auto after = begin_to_dial(*next, 30);
    for (auto* peers : {&before, &meanwhile, &after}) run_until_echoed(*peers);
    EXPECT_FALSE(old->is_serving());
    EXPECT_GE(old->connections(), 12u);
    EXPECT_EQ(old->connections() + next->connections(), 102u);
    for (auto* peers : {&mine, &before, &meanwhile, &after}) peers->clear();
    EXPECT_EQ(wait(old->drain(1h)), 0u);
    EXPECT_EQ(wait(next->drain(1h)), 0u);
    end_group();
  }
}

}  // namespace
}  // namespace ferry::test
