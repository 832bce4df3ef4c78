#include "stream_fixture.h"

#include <gtest/gtest.h>

namespace ferry::test {

class ProtocolLifetime : public StreamTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, ProtocolLifetime, ::testing::ValuesIn(kStreamWorlds),
                         stream_world_name);

/// Closes the loop in pause_writing, then uses itself.
class LoopCloser final : public Protocol {
 public:
  LoopCloser(EventLoop& loop, int& finished) : loop_(loop), finished_(finished) {}
  void pause_writing() override {
    loop_.close();
    ++finished_;  // AddressSanitizer's turn, if `this` is gone
  }

 private:
  EventLoop& loop_;
  int& finished_;
};

// A write made while no loop runs calls pause_writing, which may close the loop: the protocol was
// destroyed under its own callback.
TEST_P(ProtocolLifetime, AProtocolThatClosesTheLoopInPauseWritingLivesUntilThatReturns) {
  int finished = 0;
  auto closer = std::make_shared<LoopCloser>(loop(), finished);
  const std::weak_ptr<LoopCloser> watched = closer;
  const Link link = open(std::move(closer));
  kernel().block_sends();
  link.transport->set_write_buffer_limits(10);
  const auto transport = link.transport;
  transport->write(pattern(100));
  EXPECT_EQ(finished, 1);
  EXPECT_TRUE(watched.expired());
  EXPECT_TRUE(transport->is_closing());
}

}  // namespace ferry::test
