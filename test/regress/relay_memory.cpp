// A relay that has no memory for what it must copy after all.

#include "counting_new.h"
#include "relay_fixture.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace ferry::test {

class RelayMemory : public RelayTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, RelayMemory,
                         ::testing::Values(RelayWorld{{World::asio, Wire::tcp}, Splice::always},
                                           RelayWorld{{World::asio, Wire::unix_socket},
                                                      Splice::always}),
                         relay_world_name);

// The side that was read from failed in its place; the other one waited to write what was lost.
TEST_P(RelayMemory, TheSideThatCannotKeepWhatItIsToSendEnds) {
  open_both();
  RelayOptions options;
  options.drain = Duration::zero();  // no limit
  join(options);
  a_.peer->send("spliced");
  run_until_hears(*b_.peer, "spliced");
  kernel().refuse_splice_out(EINVAL);
  kernel().on_splice_out_refused = [] { fail_allocation(0); };
  a_.peer->send("lost");
  const RelayResult result = finished();
  fail_no_allocation();
  EXPECT_TRUE(allocation_failed());
  EXPECT_EQ(result.error.code, std::errc::not_enough_memory);
  EXPECT_STREQ(result.error.operation, "splice");
}

}  // namespace ferry::test
