#include "stream_fixture.h"

#include <ferry/net.h>

#include <gtest/gtest.h>

namespace ferry::test {

class TypedConnection : public StreamTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, TypedConnection, ::testing::ValuesIn(kStreamWorlds),
                         stream_world_name);

class OwnProtocol final : public Protocol {
 public:
  explicit OwnProtocol(bool& lost) : lost_(lost) {}
  void connection_lost(std::error_code) override { lost_ = true; }

 private:
  bool& lost_;
};

// The typed future is done one callback after the plain one it is made of. Cancelled in between, it
// had nobody to close the connection, which then was there for ever without an owner.
TEST_P(TypedConnection, CancelledAtAnyMomentItLeavesNoConnection) {
  for (int turns = 0; turns < 12; ++turns) {
    ConnectedSockets sockets = connect_sockets();
    bool lost = false;
    auto future = connect_accepted_socket(
        loop(), [&lost] { return std::make_shared<OwnProtocol>(lost); }, sockets.near);
    // One callback at a time, so that every moment is hit.
    int left = turns;
    Function<void()> count = [&] {
      if (left-- > 0) {
        loop().call_soon([&] { count(); });
      } else {
        future.cancel();
      }
    };
    count();
    run_until([&] { return future.done() && left < 0; });
    if (!future.cancelled()) future.result().transport->abort();
    run_until_ended(*sockets.far);
    run_until([&] { return loop().stats().transports == 0; });
  }
}

}  // namespace ferry::test
