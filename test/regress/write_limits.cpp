#include "stream_fixture.h"

#include <gtest/gtest.h>

namespace ferry::test {

class WriteLimitsInCallback : public StreamTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, WriteLimitsInCallback, ::testing::ValuesIn(kStreamWorlds),
                         stream_world_name);

// Bytes that were gathered, and went out when the callback returned, counted as a backlog when the
// limits were set: pause_writing came, and resume_writing never.
TEST_P(WriteLimitsInCallback, LowerLimitsDoNotPauseForWhatIsMerelyGathered) {
  auto probe = recording();
  probe->on_made = [p = probe.get()] {
    p->write(pattern(1000));
    p->transport()->set_write_buffer_limits(100);
  };
  Link link = open(probe);
  run_until_received(*link.peer, 1000);
  EXPECT_FALSE(probe->writing_paused());
}

TEST_P(WriteLimitsInCallback, AHardLimitDoesNotAbortForWhatIsMerelyGathered) {
  auto probe = recording();
  probe->on_made = [p = probe.get()] {
    p->write(pattern(1000));
    p->transport()->set_write_hard_limit(100);
  };
  Link link = open(probe);
  run_until_received(*link.peer, 1000);
  EXPECT_FALSE(link.transport->is_closing());
}

}  // namespace ferry::test
