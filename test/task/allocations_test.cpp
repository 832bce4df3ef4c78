// In the steady state awaits, tasks and queues ask for no memory: a program of its own, because it
// replaces operator new.

#include "counting_new.h"

#include <ferry/queue.h>
#include <ferry/sanitizers.h>
#include <ferry/sleep.h>
#include <ferry/task.h>

#include <gtest/gtest.h>

namespace ferry::test {
namespace {

constexpr int kRounds = 1000;

class Allocations : public ::testing::Test {
 protected:
  void SetUp() override {
#if FERRY_ADDRESS_SANITIZER
    GTEST_SKIP() << "every frame comes from the heap, for AddressSanitizer to look after";
#endif
  }

  /// While the loop runs `work(kRounds)` as a task, once it has done so before.
  template <class Work>
  std::size_t allocations_of(Work work) {
    EventLoop loop({.debug = false});
    run_until_complete(loop, work(kRounds));
    const std::size_t before = allocations();
    run_until_complete(loop, work(kRounds));
    return allocations() - before;
  }
};

/// What run_until_complete itself may take, however many rounds there are.
constexpr std::size_t kOnce = 10;

Coro<int> same(int value) {
  co_return value;
}
Coro<> await_each(int rounds) {
  for (int i = 0; i < rounds; ++i) {
    const int value = co_await same(i);
    EXPECT_EQ(value, i);
  }
}
Coro<> join_each(int rounds) {
  for (int i = 0; i < rounds; ++i) {
    const int value = co_await create_task(same(i));
    EXPECT_EQ(value, i);
  }
}
Coro<> rest_each(int rounds) {
  for (int i = 0; i < rounds; ++i) co_await sleep(Duration::zero());
}
Coro<> put_each(Queue<int>& queue, int rounds) {
  for (int i = 0; i < rounds; ++i) co_await queue.put(i);
}
Coro<> get_each(int rounds) {
  Queue<int> queue(7);
  const Task<> putter = create_task(put_each(queue, rounds));
  for (int i = 0; i < rounds; ++i) {
    const int item = co_await queue.get();
    EXPECT_EQ(item, i);
  }
  co_await putter;
}

TEST_F(Allocations, AnAwaitMakesNone) {
  EXPECT_LE(allocations_of(await_each), kOnce);
}
TEST_F(Allocations, ATaskMakesNone) {
  EXPECT_LE(allocations_of(join_each), kOnce);
}
TEST_F(Allocations, LettingOthersRunMakesNone) {
  EXPECT_LE(allocations_of(rest_each), kOnce);
}
TEST_F(Allocations, AQueueMakesNoneForAnItem) {
  EXPECT_LE(allocations_of(get_each), kOnce);
}

}  // namespace
}  // namespace ferry::test
