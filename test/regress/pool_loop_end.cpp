#include "stream_fixture.h"

#include <ferry/process_pool.h>

#include <gtest/gtest.h>

namespace ferry::test {

namespace {

int seven() {
  return 7;
}

class PoolLoopEnd : public StreamFixture {
 protected:
  World world() const override { return World::asio; }
};

}  // namespace

// The pool, which came to its loop last and so hears of its end first, had let go of the calls; the
// futures still named them, and told them that they were cancelled.
TEST_F(PoolLoopEnd, ACallMayBeCancelledByAConnectionThatIsLostWithTheLoop) {
  auto probe = recording();
  const Link link = open(probe);
  ProcessPool pool({.workers = 1, .allow_threads = true});
  const Future<int> first = pool.run(loop(), seven);
  const Future<int> waiting = pool.run(loop(), seven);
  probe->on_lost = [&](std::error_code) {
    EXPECT_TRUE(first.cancel());
    EXPECT_TRUE(waiting.cancel());
  };
  loop().close();
  EXPECT_TRUE(probe->lost());
  EXPECT_TRUE(first.cancelled());
  EXPECT_TRUE(waiting.cancelled());
}

}  // namespace ferry::test
