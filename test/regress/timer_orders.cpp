// The order of settings is a number that wraps: what a loop goes through in a day or two.

#include "timer_queue.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <vector>

namespace ferry {

struct TimerOrders {
  static void let_pass(TimerQueue& queue, std::uint32_t settings) { queue.last_order_ += settings; }
};

namespace test {
namespace {

constexpr TimePoint kSoon(std::chrono::seconds(1));
constexpr std::uint32_t kMost = std::numeric_limits<std::uint32_t>::max();

}  // namespace

// It counted as one that was set in this very batch: it did not fire, and the loop set the kernel's
// timer for the past, turn after turn.
TEST(TimerOrders, ATimerFiresHoweverManyWereSetSince) {
  for (const std::uint32_t settings : {0U, kMost / 2, kMost / 2 + 1, kMost / 2 + 2, kMost - 1}) {
    SCOPED_TRACE(settings);
    TimerQueue queue;
    TimerNode& timer = queue.add(kSoon, {});
    TimerOrders::let_pass(queue, settings);
    queue.begin_batch(kSoon);
    ASSERT_EQ(queue.take_due(), &timer);
    // One of this batch waits for the next.
    TimerNode& next = queue.add(kSoon, {});
    EXPECT_EQ(queue.take_due(), nullptr);
    queue.fired(timer);
    queue.begin_batch(kSoon);
    ASSERT_EQ(queue.take_due(), &next);
    queue.fired(next);
    EXPECT_EQ(queue.size(), 0u);
  }
}

TEST(TimerOrders, EqualDeadlinesKeepTheirOrderWhenTheNumberWraps) {
  TimerQueue queue;
  TimerOrders::let_pass(queue, kMost - 10);
  std::vector<TimerNode*> set;
  for (int i = 0; i < 30; ++i) set.push_back(&queue.add(kSoon, {}));
  // Some leave stale entries behind.
  for (std::size_t i = 0; i < 30; i += 3) queue.cancel(*set[i], set[i]->ticket);
  queue.begin_batch(kSoon);
  for (std::size_t i = 0; i < 30; ++i) {
    if (i % 3 == 0) continue;
    TimerNode* const due = queue.take_due();
    ASSERT_EQ(due, set[i]);
    queue.fired(*due);
  }
  EXPECT_EQ(queue.take_due(), nullptr);
  EXPECT_EQ(queue.next(), TimePoint::max());
}

}  // namespace test
}  // namespace ferry
