// A connection that is closed while there is input that nobody has read.

#include "stream_fixture.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace ferry::test {

class DiscardedInput : public StreamTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, DiscardedInput, ::testing::ValuesIn(kStreamWorlds),
                         stream_world_name);

// The rest of the input made a reset of the end, and that took along what the peer had not read.
TEST_P(DiscardedInput, AnErrorWhileItIsDiscardedLeavesNoneOfIt) {
  auto probe = recording();
  const Link link = open(probe);
  probe->pause_reading();
  link.peer->send("unread");
  settle();
  kernel().fail_next_recv(ENOMEM);
  probe->write("last words");
  probe->close();
  run_until_lost(*probe);
  EXPECT_FALSE(probe->error());
  run_until_ended(*link.peer);
  EXPECT_EQ(link.peer->read(), "last words");
  EXPECT_TRUE(link.peer->eof());
}

}  // namespace ferry::test
