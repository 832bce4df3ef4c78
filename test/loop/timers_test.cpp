// call_later and call_at.

#include "loop_suite.h"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace ferry::test {
namespace {

class Timers : public LoopSuite {};
INSTANTIATE_TEST_SUITE_P(Worlds, Timers, ::testing::ValuesIn(kWorlds), world_name);

class TimersSim : public LoopSuite {};
INSTANTIATE_TEST_SUITE_P(World, TimersSim, ::testing::Values(World::sim), world_name);

TEST_P(Timers, C0030_CallLaterFiresOnceAndNotEarly) {
  int fired = 0;
  const TimePoint begin = loop().time();
  Duration after{};
  loop().call_later(100ms, [&] {
    ++fired;
    after = loop().time() - begin;
  });
  run_for(150ms);
  EXPECT_EQ(fired, 1);
  EXPECT_GE(after, 100ms);
  if (simulated()) {
    EXPECT_EQ(after, 100ms);
  }
}

TEST_P(Timers, NoTimerOfManyShortOnesIsEarly) {
  int left = 0;
  for (int i = 0; i < 300; ++i) {
    const TimePoint when = loop().time() + std::chrono::microseconds(37 * (i % 100) + 1);
    ++left;
    loop().call_at(when, [&, when] {
      EXPECT_GE(loop().time(), when);
      --left;
    });
  }
  run_until([&] { return left == 0; });
}

TEST_P(Timers, C0032_TimersFireByDeadlineNotByCall) {
  std::string fired;
  loop().call_later(100ms, [&] { fired += 'A'; });
  loop().call_later(1ms, [&] { fired += 'B'; });
  loop().call_later(50ms, [&] { fired += 'C'; });
  run_until([&] { return fired.size() == 3; });
  EXPECT_EQ(fired, "BCA");
}

TEST_P(Timers, C0033_EqualDeadlinesFireInTheOrderOfTheCalls) {
  std::vector<int> fired;
  const TimePoint when = loop().time() + 5ms;
  for (int i = 0; i < 100; ++i) {
    loop().call_at(when, [&, i] { fired.push_back(i); });
  }
  run_until([&] { return fired.size() == 100; });
  EXPECT_TRUE(std::is_sorted(fired.begin(), fired.end()));
}

TEST_P(Timers, C0034_NegativeDelaysFireInTheNextTurnByDeadline) {
  std::string fired;
  loop().call_later(-1s, [&] { fired += 'a'; });
  loop().call_later(-2s, [&] { fired += 'b'; });
  loop().call_at(TimePoint::min(), [&] { fired += 'c'; });
  loop().call_later(0s, [&] { fired += 'd'; });
  EXPECT_EQ(fired, "");
  tick(5);
  EXPECT_EQ(fired, "cbad");
}

TEST_P(Timers, ATimerThatSetsAZeroTimerDoesNotStarveTheLoop) {
  make_turns_cost_time();
  int chained = 0;
  bool soon = false;
  TimerHandle next;
  Function<void()> again = [&] {
    ++chained;
    next = loop().call_later(0s, [&] { again(); });
  };
  again();
  loop().call_soon([&] { loop().call_soon([&] { soon = true; }); });
  run_until([&] { return soon && chained > 100; });
  next.cancel();
  EXPECT_TRUE(soon);
}

TEST_P(Timers, C0036_ACancelledTimerNeverFiresAndKeepsNobodyWaiting) {
  bool fired = false;
  TimerHandle far = loop().call_later(1000s, [&] { fired = true; });
  far.cancel();
  EXPECT_EQ(loop().stats().timers, 0U);
  const TimePoint begin = loop().time();
  loop().call_later(50ms, [&] { loop().stop(); });
  loop().run_forever();
  EXPECT_LT(loop().time() - begin, 10s);
  EXPECT_FALSE(fired);
}

TEST_P(Timers, C0037_ATimerMayCancelAnotherThatIsDueWithIt) {
  std::string fired;
  const TimePoint when = loop().time() + 2ms;
  TimerHandle second;
  loop().call_at(when, [&] {
    fired += '1';
    second.cancel();
  });
  second = loop().call_at(when, [&] { fired += '2'; });
  loop().call_at(when, [&] { fired += '3'; });
  run_until([&] { return fired.size() >= 2; });
  tick();
  EXPECT_EQ(fired, "13");
  EXPECT_TRUE(second.cancelled());
}

TEST_P(TimersSim, C0038_ACancelledHeadTimerIsNotWaitedFor) {
  TimerHandle head = loop().call_later(5s, [] {});
  loop().call_later(10s, [&] { loop().stop(); });
  const std::uint64_t jumps = sim().stats().jumps;
  const TimePoint begin = loop().time();
  head.cancel();
  loop().run_forever();
  EXPECT_EQ(loop().time() - begin, 10s);
  // At most one needless wake-up, at the time the kernel had been told already.
  EXPECT_LE(sim().stats().jumps - jumps, 2U);
}

TEST_P(Timers, C0040_CallAtCountsOnTheLoopsClock) {
  const TimePoint when = loop().time() + 50ms;
  TimePoint fired{};
  TimerHandle handle = loop().call_at(when, [&] { fired = loop().time(); });
  EXPECT_EQ(handle.when(), when);
  run_until([&] { return fired != TimePoint{}; });
  EXPECT_GE(fired, when);
  EXPECT_LT(fired - when, 5s);
}

TEST_P(Timers, C0041_TimeAdvancesInsideACallback) {
  Duration passed{};
  loop().call_soon([&] {
    const TimePoint begin = loop().time();
    be_busy(50ms);
    passed = loop().time() - begin;
  });
  tick();
  EXPECT_GE(passed, 49ms);
}

TEST_P(Timers, C0042_ATimerSetAfterBusyWorkIsNotShortened) {
  const TimePoint begin = loop().time();
  loop().run_until_complete(sleep(1ms));
  be_busy(10ms);
  loop().run_until_complete(sleep(10ms));
  EXPECT_GE(loop().time() - begin, 21ms);
}

TEST_P(Timers, ATimerSetInsideABusyCallbackCountsFromTheCall) {
  TimePoint set{};
  TimePoint fired{};
  loop().call_soon([&] {
    be_busy(20ms);
    set = loop().time();
    loop().call_later(5ms, [&] { fired = loop().time(); });
  });
  run_until([&] { return fired != TimePoint{}; });
  EXPECT_GE(fired - set, 5ms);
}

TEST_P(Timers, C0044_CancelledIsFalseAfterItRanAndTrueAfterCancel) {
  TimerHandle ran = loop().call_later(1ms, [] {});
  TimerHandle dropped = loop().call_later(1ms, [] {});
  dropped.cancel();
  EXPECT_TRUE(dropped.cancelled());
  run_for(3ms);
  EXPECT_FALSE(ran.cancelled());
  ran.cancel();
  EXPECT_FALSE(ran.cancelled());
  dropped.cancel();
  EXPECT_TRUE(dropped.cancelled());
}

TEST_P(Timers, WhenStillAnswersAfterFiringAndAfterCancel) {
  const TimePoint when = loop().time() + 1ms;
  TimerHandle fires = loop().call_at(when, [] {});
  TimerHandle dropped = loop().call_at(when, [] {});
  dropped.cancel();
  run_for(3ms);
  EXPECT_EQ(fires.when(), when);
  EXPECT_EQ(dropped.when(), when);
}

TEST_P(Timers, CancelOfAFiredTimerDoesNotHitTheNextOneInItsPlace) {
  int fired = 0;
  TimerHandle old = loop().call_later(1ms, [&] { ++fired; });
  run_for(2ms);
  std::vector<TimerHandle> handles;
  for (int i = 0; i < 1000; ++i) handles.push_back(loop().call_later(1ms, [&] { ++fired; }));
  old.cancel();
  run_until([&] { return fired == 1001; });
  EXPECT_EQ(fired, 1001);
}

TEST_P(Timers, ATimerMayCancelItselfWhileItFires) {
  Token token;
  bool whole = false;
  TimerHandle handle;
  handle = loop().call_later(1ms, [&, held = token.held()] {
    handle.cancel();
    whole = token.captured();
  });
  run_for(3ms);
  EXPECT_TRUE(whole);
  EXPECT_FALSE(handle.cancelled());
  EXPECT_FALSE(token.captured());
}

TEST_P(Timers, C0045_VeryLargeDelaysNeitherOverflowNorFire) {
  int fired = 0;
  std::vector<TimerHandle> handles;
  handles.push_back(loop().call_later(std::chrono::hours(24 * 3650), [&] { ++fired; }));
  handles.push_back(loop().call_later(Duration::max(), [&] { ++fired; }));
  handles.push_back(loop().call_later(Duration::max() - 1ns, [&] { ++fired; }));
  handles.push_back(loop().call_at(TimePoint::max(), [&] { ++fired; }));
  bool near = false;
  loop().call_later(5ms, [&] { near = true; });
  run_for(20ms);
  EXPECT_TRUE(near);
  EXPECT_EQ(fired, 0);
  for (TimerHandle& handle : handles) handle.cancel();
}

TEST_P(TimersSim, C0045_ATimerOfTenYearsFiresAfterTenYears) {
  const Duration ten_years = std::chrono::hours(24 * 3650);
  const TimePoint begin = loop().time();
  const std::uint64_t jumps = sim().stats().jumps;
  loop().call_later(ten_years, [&] { loop().stop(); });
  loop().run_forever();
  EXPECT_EQ(loop().time() - begin, ten_years);
  EXPECT_GE(sim().stats().jumps - jumps, 3650U);  // no wait is longer than a day
}

TEST_P(Timers, C0048_CapturesAreFreedOnceTheTimerFired) {
  Token token;
  bool fired = false;
  loop().call_later(1ms, [&, held = token.held()] { fired = true; });
  run_until([&] { return fired; });
  EXPECT_FALSE(token.captured());
}

TEST_P(Timers, CapturesAreFreedAtOnceWhenATimerIsCancelled) {
  Token token;
  TimerHandle handle = loop().call_later(1h, [held = token.held()] {});
  EXPECT_TRUE(token.captured());
  handle.cancel();
  EXPECT_FALSE(token.captured());
}

TEST_P(Timers, ManyTimersThatAreCancelledLeaveNothingBehind) {
  std::vector<TimerHandle> handles;
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 5000; ++i) {
      handles.push_back(loop().call_later(std::chrono::milliseconds(1000 + i % 97), [] {}));
    }
    for (TimerHandle& handle : handles) handle.cancel();
    handles.clear();
    EXPECT_EQ(loop().stats().timers, 0U);
  }
}

// Against the plainest model: a list that is searched for the earliest, first come first served.
TEST_P(TimersSim, RandomTimersFireAsInAModel) {
  struct Expected {
    TimePoint when;
    std::uint64_t order;
    int id;
  };
  for (unsigned seed = 1; seed <= 20; ++seed) {
    std::mt19937 random(seed);
    std::vector<Expected> model;
    std::vector<std::pair<int, TimerHandle>> handles;
    std::vector<int> fired;
    std::uint64_t order = 0;
    for (int id = 0; id < 500; ++id) {
      const TimePoint when = loop().time() + std::chrono::milliseconds(random() % 50);
      handles.emplace_back(id, loop().call_at(when, [&fired, id] { fired.push_back(id); }));
      model.push_back({when, ++order, id});
      if (random() % 3 == 0) {
        auto& [victim, handle] = handles[random() % handles.size()];
        handle.cancel();
        std::erase_if(model, [v = victim](const Expected& e) { return e.id == v; });
      }
    }
    std::sort(model.begin(), model.end(), [](const Expected& a, const Expected& b) {
      return a.when != b.when ? a.when < b.when : a.order < b.order;
    });
    run_for(100ms);
    std::vector<int> expected;
    for (const Expected& e : model) expected.push_back(e.id);
    ASSERT_EQ(fired, expected) << "seed " << seed;
  }
}

}  // namespace
}  // namespace ferry::test
