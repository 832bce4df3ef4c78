// Timer, the member object.

#include "loop_suite.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace ferry::test {
namespace {

class TimerObject : public LoopSuite {};
INSTANTIATE_TEST_SUITE_P(Worlds, TimerObject, ::testing::ValuesIn(kWorlds), world_name);

class TimerObjectSim : public LoopSuite {};
INSTANTIATE_TEST_SUITE_P(World, TimerObjectSim, ::testing::Values(World::sim), world_name);

TEST_P(TimerObject, FiresOncePerSetting) {
  int fired = 0;
  Timer timer(loop(), [&] { ++fired; });
  EXPECT_FALSE(timer.active());
  for (int i = 1; i <= 3; ++i) {
    const TimePoint begin = loop().time();
    timer.set(2ms);
    EXPECT_TRUE(timer.active());
    run_until([&] { return fired == i; });
    EXPECT_GE(loop().time() - begin, 2ms);
    EXPECT_FALSE(timer.active());
  }
  run_for(5ms);
  EXPECT_EQ(fired, 3);
}

TEST_P(TimerObject, ItsDestructorCancels) {
  Token token;
  bool fired = false;
  std::optional<Timer> timer;
  timer.emplace(loop(), [&, held = token.held()] { fired = true; });
  timer->set(1ms);
  timer.reset();
  EXPECT_FALSE(token.captured());
  EXPECT_EQ(loop().stats().timers, 0U);
  run_for(5ms);
  EXPECT_FALSE(fired);
}

TEST_P(TimerObject, CancelKeepsTheCallbackForTheNextSetting) {
  int fired = 0;
  Timer timer(loop(), [&] { ++fired; });
  timer.set(1ms);
  timer.cancel();
  timer.cancel();
  EXPECT_FALSE(timer.active());
  run_for(3ms);
  EXPECT_EQ(fired, 0);
  timer.set(1ms);
  run_until([&] { return fired == 1; });
}

TEST_P(TimerObject, ALaterSettingReplacesAnEarlierOneAndKeepsOneEntry) {
  std::vector<TimePoint> fired;
  Timer timer(loop(), [&] { fired.push_back(loop().time()); });
  timer.set(1ms);
  const TimePoint when = loop().time() + 20ms;
  for (int i = 0; i < 100'000; ++i) timer.set_at(when - std::chrono::nanoseconds(100'000 - i));
  timer.set_at(when);
  EXPECT_EQ(loop().stats().timers, 1U);
  run_until([&] { return !fired.empty(); });
  run_for(5ms);
  ASSERT_EQ(fired.size(), 1U);
  EXPECT_GE(fired[0], when);
}

TEST_P(TimerObject, AnEarlierSettingReplacesALaterOne) {
  int fired = 0;
  Timer timer(loop(), [&] { ++fired; });
  timer.set(1h);
  timer.set(2ms);
  const TimePoint begin = loop().time();
  run_until([&] { return fired == 1; });
  EXPECT_LT(loop().time() - begin, 30min);
  EXPECT_FALSE(timer.active());
}

TEST_P(TimerObject, PushingBackAnIdleTimeoutFiresItOnceAfterTheLastPush) {
  int fired = 0;
  TimePoint pushed{};
  Timer idle(loop(), [&] {
    ++fired;
    EXPECT_GE(loop().time() - pushed, 8ms);
  });
  int messages = 0;
  Timer message(loop(), [&] {
    if (++messages < 20) message.set(1ms);  // first: never due after `idle`
    pushed = loop().time();
    idle.set(8ms);
  });
  message.set(0ms);
  run_until([&] { return fired > 0; });
  run_for(20ms);
  EXPECT_EQ(fired, 1);
  EXPECT_EQ(messages, 20);
}

TEST_P(TimerObject, TiesFireInTheOrderOfTheLastSetting) {
  std::string fired;
  const TimePoint when = loop().time() + 5ms;
  Timer a(loop(), [&] { fired += 'a'; });
  Timer b(loop(), [&] { fired += 'b'; });
  a.set_at(when);
  b.set_at(when);
  loop().call_at(when, [&] { fired += 'c'; });
  a.set_at(when);
  run_until([&] { return fired.size() == 3; });
  EXPECT_EQ(fired, "bca");
}

TEST_P(TimerObject, ItMayBeSetAgainInItsOwnCallback) {
  int fired = 0;
  Timer timer(loop(), [&] {
    if (++fired < 5) timer.set(1ms);
  });
  timer.set(1ms);
  run_until([&] { return fired == 5; });
  run_for(5ms);
  EXPECT_EQ(fired, 5);
}

TEST_P(TimerObject, ItMayBeDestroyedInItsOwnCallback) {
  Token token;
  bool whole = false;
  std::unique_ptr<Timer> timer;
  timer = std::make_unique<Timer>(loop(), [&, held = token.held()] {
    timer.reset();
    whole = token.captured();
  });
  timer->set(1ms);
  run_until([&] { return timer == nullptr; });
  tick();
  EXPECT_TRUE(whole);
  EXPECT_FALSE(token.captured());
}

TEST_P(TimerObject, ItMayDestroyAnotherThatIsDueWithIt) {
  std::string fired;
  const TimePoint when = loop().time() + 2ms;
  std::unique_ptr<Timer> second;
  Timer first(loop(), [&] {
    fired += '1';
    second.reset();
  });
  second = std::make_unique<Timer>(loop(), [&] { fired += '2'; });
  first.set_at(when);
  second->set_at(when);
  run_for(5ms);
  EXPECT_EQ(fired, "1");
}

TEST_P(TimerObject, ItMayBeMadeAndSetInACallbackThatThrows) {
  std::unique_ptr<Timer> timer;
  bool fired = false;
  loop().call_later(1ms, [&] {
    timer = std::make_unique<Timer>(loop(), [&] { fired = true; });
    timer->set(1ms);
    throw std::runtime_error("after setting");
  });
  run_until([&] { return fired; });
  EXPECT_EQ(take_exceptions().size(), 1U);
  timer.reset();
}

TEST_P(TimerObject, ItThrowsOnAndFiresAgain) {
  int fired = 0;
  Timer timer(loop(), [&] {
    if (++fired == 1) throw std::runtime_error("the first time");
  });
  timer.set(1ms);
  run_until([&] { return fired == 1; });
  tick();
  EXPECT_EQ(take_exceptions().size(), 1U);
  timer.set(1ms);
  run_until([&] { return fired == 2; });
}

TEST_P(TimerObject, ItMayOutliveTheLoopAndThenNeverFires) {
  bool fired = false;
  auto other = std::make_unique<EventLoop>(make_kernel(GetParam()));
  Timer timer(*other, [&] { fired = true; });
  timer.set(0ms);
  other->close();
  EXPECT_FALSE(timer.active());
  timer.set(1ms);
  other.reset();
  EXPECT_FALSE(timer.active());
  timer.set(1ms);
  timer.set_at(TimePoint::max());
  timer.cancel();
  EXPECT_FALSE(fired);
}

TEST_P(TimerObject, DurationMaxMeansNever) {
  bool fired = false;
  Timer timer(loop(), [&] { fired = true; });
  timer.set(Duration::max());
  EXPECT_TRUE(timer.active());
  run_for(5ms);
  EXPECT_FALSE(fired);
  timer.set(1ms);
  run_until([&] { return fired; });
}

// Many timers, set, pushed back, pulled forward and cancelled at random while they fire.
TEST_P(TimerObjectSim, RandomSettingsFireAsInAModel) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    constexpr std::size_t kTimers = 50;
    std::mt19937 random(seed);
    std::vector<std::optional<TimePoint>> model(kTimers);
    std::vector<std::unique_ptr<Timer>> timers;
    int fired = 0;
    for (std::size_t i = 0; i < kTimers; ++i) {
      timers.push_back(std::make_unique<Timer>(loop(), [&, i] {
        ++fired;
        ASSERT_TRUE(model[i]) << "seed " << seed << ": timer " << i << " was not set";
        EXPECT_EQ(*model[i], loop().time()) << "seed " << seed;
        for (const auto& when : model) {
          EXPECT_TRUE(!when || *when >= loop().time()) << "seed " << seed << ": one is late";
        }
        model[i].reset();
        const std::size_t other = random() % kTimers;
        if (random() % 4 == 0) {
          timers[other]->cancel();
          model[other].reset();
        } else {
          const Duration delay = std::chrono::milliseconds(1 + random() % 20);
          timers[other]->set(delay);
          model[other] = loop().time() + delay;
        }
      }));
    }
    for (std::size_t i = 0; i < kTimers; ++i) {
      timers[i]->set(std::chrono::milliseconds(1 + i));
      model[i] = loop().time() + std::chrono::milliseconds(1 + i);
    }
    run_for(300ms);
    EXPECT_GT(fired, 50) << "seed " << seed;
    std::size_t active = 0;
    for (std::size_t i = 0; i < kTimers; ++i) {
      EXPECT_EQ(timers[i]->active(), model[i].has_value()) << "seed " << seed;
      if (timers[i]->active()) ++active;
    }
    EXPECT_EQ(loop().stats().timers, active);
  }
}

}  // namespace
}  // namespace ferry::test
