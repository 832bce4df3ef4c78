// Pools of threads and of processes while there is no memory.
#include "counting_new.h"
#include "world.h"

#include <ferry/process_pool.h>
#include <ferry/timer.h>

#include <chrono>
#include <memory>
#include <vector>

namespace ferry::test {

using namespace std::chrono_literals;

namespace {

int same(int number) {
  return number;
}

class PoolMemory : public LoopFixture {
 protected:
  World world() const override { return World::asio; }
};

}  // namespace

// An empty queue to put the jobs into needed memory, and ended the program.
TEST_F(PoolMemory, ALoopThatHasHadJobsClosesAllTheSame) {
  const auto job = loop().run_in_executor(nullptr, [] { return 1; });
  run_until([&] { return job.done(); });
  without_memory([&] { loop().close(); });
}

// As above: the pool's destructor ended the program.
TEST_F(PoolMemory, CallsThatWaitAreCancelledAllTheSame) {
  std::vector<Future<int>> answers;
  {
    auto pool =
        std::make_unique<ProcessPool>(ProcessPool::Options{.workers = 1, .allow_threads = true});
    for (int i = 0; i < 3; ++i) answers.push_back(pool->run(loop(), same, i));
    without_memory([&] { pool.reset(); });
  }
  run_until([&] { return answers.back().done(); });
  for (const auto& answer : answers) EXPECT_TRUE(answer.cancelled());
}

// std::bad_alloc left the loop, and the call was forgotten.
TEST_F(PoolMemory, ACallIsAnsweredOrFails) {
  for (std::size_t failing = 0;; ++failing) {
    SCOPED_TRACE(failing);
    ProcessPool pool({.workers = 1, .allow_threads = true});
    const auto answer = pool.run(loop(), same, 7);
    // The fixture's own waiting needs memory; to set a timer again does not.
    int looks = 0;
    Timer look(loop(), [&] {
      if (answer.done() || ++looks == 10'000) return loop().stop();
      look.set(1ms);
    });
    look.set(1ms);
    fail_allocation(failing);
    ASSERT_NO_THROW(loop().run_forever());
    const bool failed = allocation_failed();
    fail_no_allocation();
    run_until([&] { return answer.done(); });
    if (!answer.exception()) {
      EXPECT_EQ(answer.result(), 7);
    } else {
      EXPECT_TRUE(failed);
    }
    if (!failed) break;
  }
}

}  // namespace ferry::test
