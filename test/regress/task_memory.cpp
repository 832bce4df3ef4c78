// Waiting for several tasks where memory is wanting.

#include "counting_new.h"
#include "stream_fixture.h"

#include <ferry/async.h>

#include <gtest/gtest.h>

#include <chrono>
#include <new>
#include <string>
#include <utility>
#include <vector>

namespace ferry::test {

using namespace std::chrono_literals;

class TaskMemory : public LoopTest {
 protected:
  /// Calls `f` again and again, with its first allocation failing, then its second, and so on until
  /// none does.
  template <class F>
  void with_each_allocation_failing(F f) {
    std::size_t number = 0;
    do {
      SCOPED_TRACE("allocation " + std::to_string(number));
      fail_allocation(number++);
      f();
      fail_no_allocation();
    } while (allocation_failed() && number < 1000);
    EXPECT_GT(number, 2u);
  }
};
// Not in the simulation, whose allocations would fail as well.
INSTANTIATE_TEST_SUITE_P(, TaskMemory, ::testing::Values(World::asio), world_name);

// Its callbacks stayed, and called into what was gone.
TEST_P(TaskMemory, AnAsCompletedThatCannotBeMadeHearsNothing) {
  with_each_allocation_failing([&] {
    const auto futures = exempt([&] {
      return std::vector<Future<int>>{Future<int>(loop()), Future<int>(loop())};
    });
    try {
      const auto completed = as_completed(futures, 1h);
      EXPECT_EQ(completed.left(), 2u);
    } catch (const std::bad_alloc&) {
      // That is how it should fail.
    }
    const AllocationsExempt guard;
    for (const Future<int>& each : futures) each.set_result(1);
    tick(3);
    EXPECT_EQ(loop().stats().timers, 0u);
  });
}

Coro<> take_all(AsCompleted<Future<int>>* completed, int* sum) {
  while (completed->left() > 0) *sum += co_await completed->next_result();
}

// A future that was done when there was no memory was never given.
TEST_P(TaskMemory, AnAsCompletedGivesWhatIsDoneAllTheSame) {
  std::vector<Future<int>> futures;
  for (int i = 0; i < 200; ++i) futures.emplace_back(loop());
  auto completed = as_completed(futures);
  for (const Future<int>& each : futures) each.set_result(1);
  fail_allocation(0, 10'000);
  tick(3);
  fail_no_allocation();
  int sum = 0;
  const Task<> task = create_task(loop(), take_all(&completed, &sum));
  run_until([&] { return task.done(); });
  EXPECT_EQ(sum, 200);
}

Coro<> wait_for_both(std::vector<Future<int>> futures, std::size_t failing) {
  fail_allocation(failing);
  co_await wait(std::move(futures));
}

// A future's callback was not taken back if there was no room to write it down.
TEST_P(TaskMemory, AWaitThatCannotBeginHearsNothing) {
  std::size_t number = 0;
  do {
    SCOPED_TRACE("allocation " + std::to_string(number));
    const std::vector<Future<int>> futures{Future<int>(loop()), Future<int>(loop())};
    const Task<> task = create_task(loop(), wait_for_both(futures, number++));
    tick(3);
    fail_no_allocation();
    for (const Future<int>& each : futures) each.set_result(1);
    run_until([&] { return task.done(); });
    EXPECT_EQ(allocation_failed(), static_cast<bool>(task.exception()));
    tick(3);
    take_exceptions();
  } while (allocation_failed() && number < 1000);
  EXPECT_GT(number, 2u);
}

Coro<int> runner(int* running) {
  struct Running {
    int* count;
    explicit Running(int* c) : count(c) { ++*count; }
    ~Running() { --*count; }
  } running_now(running);
  co_await sleep(1h);
  co_return 1;
}

/// Its allocation of that number fails, or one of the loop meanwhile.
Coro<> race(int* running, std::size_t failing) {
  std::vector<Function<Coro<int>()>> racers;
  for (int i = 0; i < 3; ++i) racers.push_back([running] { return runner(running); });
  fail_allocation(failing);
  co_await staggered_race(std::move(racers), 1ms);
}

// Racers that had begun used what was gone with the race, and ran on.
TEST_P(TaskMemory, ARaceThatCannotGoOnCancelsItsRacers) {
  std::size_t number = 0;
  do {
    SCOPED_TRACE("allocation " + std::to_string(number));
    int running = 0;
    const Task<> task = create_task(loop(), race(&running, number++));
    try {
      run_for(5ms);
    } catch (const std::bad_alloc&) {
      // The fixture's own.
    }
    fail_no_allocation();
    task.cancel();
    run_until([&] { return loop().stats().tasks == 0; });
    EXPECT_EQ(running, 0);
    take_exceptions();
  } while (allocation_failed() && number < 1000);
  EXPECT_GT(number, 5u);
}

}  // namespace ferry::test
