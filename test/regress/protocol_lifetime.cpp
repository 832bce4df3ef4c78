#include "stream_fixture.h"

#include <gtest/gtest.h>

namespace ferry::test {

class ProtocolLifetime : public StreamTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, ProtocolLifetime, ::testing::ValuesIn(kStreamWorlds),
                         stream_world_name);

// A write made while no loop runs calls pause_writing, which may close the loop: the protocol was
// destroyed under its own callback.
TEST_P(ProtocolLifetime, AProtocolThatClosesTheLoopInPauseWritingLivesUntilThatReturns) {
  auto probe = recording();
  Link link = open(probe);
  const std::weak_ptr<RecordingProtocol> watched = probe;
  bool alive_after_close = false;
  probe->on_pause = [this, &watched, &alive_after_close] {
    loop().close();
    alive_after_close = !watched.expired();
  };
  kernel().block_sends();
  link.transport->set_write_buffer_limits(10);
  const auto transport = link.transport;
  probe.reset();
  transport->write(pattern(100));
  EXPECT_TRUE(alive_after_close);
  EXPECT_TRUE(watched.expired());
}

}  // namespace ferry::test
