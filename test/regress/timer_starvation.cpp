// A timer may set itself again for the past whenever it fires.

#include "timer_queue.h"
#include "world.h"

#include <ferry/timer.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <vector>

namespace ferry::test {

using namespace std::chrono_literals;

namespace {

constexpr TimePoint kTime(10s);

}  // namespace

// One that set itself again for a time before theirs, whenever it fired, kept all others from it.
TEST(TimerStarvation, OneSetAgainForThePastStarvesNoOther) {
  TimerQueue queue;
  TimerNode* early = &queue.add(kTime, {});
  TimerNode& late = queue.add(kTime + 1s, {});
  TimerNode& later = queue.add(kTime + 2s, {});
  const TimePoint now = kTime + 3s;
  queue.begin_batch(now);
  for (TimerNode* const expected : {early, &late, &later}) {
    TimerNode* const due = queue.take_due();
    ASSERT_EQ(due, expected);
    if (due == early) early = &queue.add(kTime, {});
    queue.fired(*due);
  }
  // Those set in this batch wait for the next one, in order; one of them is cancelled until then.
  TimerNode& before = queue.add(kTime - 1s, {});
  TimerNode& cancelled = queue.add(kTime, {});
  EXPECT_EQ(queue.take_due(), nullptr);
  EXPECT_TRUE(queue.cancel(cancelled, cancelled.ticket));
  EXPECT_EQ(queue.next(), kTime - 1s);
  queue.begin_batch(now);
  for (TimerNode* const expected : {&before, early}) {
    TimerNode* const due = queue.take_due();
    ASSERT_EQ(due, expected);
    queue.fired(*due);
  }
  EXPECT_EQ(queue.take_due(), nullptr);
  EXPECT_EQ(queue.next(), TimePoint::max());
  EXPECT_EQ(queue.size(), 0u);
}

class TimerStarved : public LoopTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, TimerStarved, ::testing::ValuesIn(kWorlds), world_name);

// More than fire in a turn: the first ones fired in each, and the others never.
TEST_P(TimerStarved, ManySetAgainForThePastTakeTurns) {
  constexpr std::size_t kTimers = 200;
  const TimePoint past = loop().time();
  std::vector<int> fired(kTimers);
  std::vector<std::unique_ptr<Timer>> timers;
  for (std::size_t i = 0; i < kTimers; ++i) {
    timers.push_back(std::make_unique<Timer>(loop(), [&, i] {
      ++fired[i];
      timers[i]->set_at(past);
    }));
    timers.back()->set_at(past);
  }
  run_until([&] { return fired.back() >= 10; });
  const auto [least, most] = std::minmax_element(fired.begin(), fired.end());
  EXPECT_LE(*most - *least, 1);
}

}  // namespace ferry::test
