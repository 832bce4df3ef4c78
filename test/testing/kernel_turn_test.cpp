// Time, order and stopping as Kernel promises them, in both worlds.

#include "kernel_suite.h"

#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>

namespace ferry::test {
namespace {

using namespace std::chrono_literals;
using Arm = FdWatch::Arm;
using Log = std::vector<std::string>;

class KernelTurn : public KernelTest {
 protected:
  void stop_after_timer() {
    timed_ = [this] { kernel().stop(); };
  }
};

TEST_P(KernelTurn, TimerIsNeverEarly) {
  stop_after_timer();
  for (const Duration delay : {Duration(0ns), Duration(1ns), Duration(999us), Duration(5ms)}) {
    const TimePoint when = kernel().now() + delay;
    kernel().set_timer(when);
    kernel().run();
    EXPECT_GE(kernel().now(), when);
  }
  EXPECT_EQ(log_.size(), 4u);
}

TEST_P(KernelTurn, TimeOfThePastIsDueAtOnce) {
  stop_after_timer();
  kernel().set_timer(kernel().now() - 1h);
  kernel().run();
  EXPECT_EQ(log_, Log{"timer"});
}

TEST_P(KernelTurn, SettingTheTimerAgainReplacesIt) {
  stop_after_timer();
  const TimePoint start = kernel().now();
  kernel().set_timer(start + 1h);
  kernel().set_timer(start + 2ms);
  kernel().run();
  EXPECT_LT(kernel().now(), start + 30min);
  kernel().set_timer(kernel().now());
  const TimePoint later = kernel().now() + 5ms;
  kernel().set_timer(later);
  kernel().run();
  EXPECT_GE(kernel().now(), later);
  EXPECT_EQ(log_, (Log{"timer", "timer"}));
}

TEST_P(KernelTurn, TimerSetWhileItWaitsForDeliveryIsReplacedToo) {
  auto [near, far] = stream_pair(kernel());
  Ear ear("near", &log_);
  const FdWatchPtr w = watch(kernel(), near.get(), ear);
  stop_after_timer();
  const TimePoint soon = kernel().now() + 1ms;
  const TimePoint later = soon + 10ms;
  ear.then_readable = [&] { kernel().set_timer(later); };
  kernel().set_timer(soon);
  if (simulated()) {
    sim().advance(2ms);
  } else {
    while (kernel().now() < soon + 1ms) std::this_thread::yield();
  }
  // Both are due in the first turn.
  w->arm(Direction::read, Arm::if_ready);
  ASSERT_TRUE(kernel().send(far.get(), "x").ok());
  kernel().run();
  if (kernel().now() < later) {
    // The timer was delivered first; its successor is still to come.
    kernel().run();
  }
  EXPECT_GE(kernel().now(), later);
}

TEST_P(KernelTurn, DrainRequestsDoNotAddUp) {
  drained_ = [this] { kernel().stop(); };
  kernel().request_drain();
  kernel().request_drain();
  kernel().run();
  turns();
  EXPECT_EQ(log_, Log{"drain"});
}

TEST_P(KernelTurn, EveryDrainMayAskForTheNext) {
  int left = 3;
  drained_ = [&] { --left > 0 ? kernel().request_drain() : kernel().stop(); };
  kernel().request_drain();
  kernel().run();
  EXPECT_EQ(log_, (Log{"drain", "drain", "drain"}));
}

TEST_P(KernelTurn, DrainRequestedBeforeAStoppedRunIsDelivered) {
  kernel().request_drain();
  kernel().stop();
  kernel().run();
  EXPECT_EQ(log_, Log{"drain"});
}

TEST_P(KernelTurn, RunGoesOnAfterAStop) {
  drained_ = [this] { kernel().stop(); };
  for (int round = 0; round < 3; ++round) {
    kernel().request_drain();
    kernel().run();
  }
  EXPECT_EQ(log_.size(), 3u);
}

TEST_P(KernelTurn, DrainComesBehindTheEventsHarvestedBeforeItsRequest) {
  auto [near, far] = stream_pair(kernel());
  Ear near_ear("event", &log_);
  Ear far_ear("event", &log_);
  const FdWatchPtr near_watch = watch(kernel(), near.get(), near_ear);
  const FdWatchPtr far_watch = watch(kernel(), far.get(), far_ear);
  turns();
  near_watch->arm(Direction::read, Arm::if_ready);
  far_watch->arm(Direction::read, Arm::if_ready);
  const auto request = [this] { kernel().request_drain(); };
  near_ear.then_readable = request;
  far_ear.then_readable = request;
  drained_ = [this] { kernel().stop(); };
  ASSERT_TRUE(kernel().send(near.get(), "x").ok());
  ASSERT_TRUE(kernel().send(far.get(), "y").ok());
  kernel().run();
  EXPECT_EQ(log_, (Log{"event readable", "event readable", "drain"}));
}

TEST_P(KernelTurn, StopLetsTheHarvestedEventsPass) {
  auto [near, far] = stream_pair(kernel());
  Ear near_ear;
  Ear far_ear;
  const FdWatchPtr near_watch = watch(kernel(), near.get(), near_ear);
  const FdWatchPtr far_watch = watch(kernel(), far.get(), far_ear);
  turns();
  near_watch->arm(Direction::read, Arm::if_ready);
  far_watch->arm(Direction::read, Arm::if_ready);
  const auto stop = [this] { kernel().stop(); };
  near_ear.then_readable = stop;
  far_ear.then_readable = stop;
  ASSERT_TRUE(kernel().send(near.get(), "x").ok());
  ASSERT_TRUE(kernel().send(far.get(), "y").ok());
  kernel().run();
  EXPECT_EQ(near_ear.readable, 1);
  EXPECT_EQ(far_ear.readable, 1);
  turns();
}

TEST_P(KernelTurn, DrainsForEverStarveNeitherSocketsNorTheTimer) {
  if (simulated()) sim().set_turn_cost(10us);
  auto [near, far] = stream_pair(kernel());
  Ear ear;
  const int sender = far.get();
  const FdWatchPtr w = watch(kernel(), near.get(), ear);
  w->arm(Direction::read, Arm::if_ready);
  bool timed = false;
  int drains = 0;
  timed_ = [&] { timed = true; };
  drained_ = [&] {
    if (++drains == 10) kernel().send(sender, "x");
    if (timed && ear.readable > 0) return kernel().stop();
    kernel().request_drain();
  };
  kernel().set_timer(kernel().now() + 2ms);
  kernel().request_drain();
  kernel().run();
  EXPECT_EQ(ear.readable, 1);
}

TEST_P(KernelTurn, WakeFromAnotherThreadEndsTheSleep) {
  drained_ = [this] { kernel().stop(); };
  std::thread other([this] { kernel().wake(); });
  kernel().run();
  other.join();
  EXPECT_EQ(log_, Log{"drain"});
}

TEST_P(KernelTurn, WakeWhileNotRunningIsNotLost) {
  drained_ = [this] { kernel().stop(); };
  std::thread([this] { kernel().wake(); }).join();
  kernel().run();
  EXPECT_EQ(log_, Log{"drain"});
}

TEST_P(KernelTurn, NoWakeOfManyThreadsIsLost) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 500;
  std::atomic<int> asked{0};
  int seen = 0;
  drained_ = [&] {
    seen = asked.load();
    if (seen == kThreads * kRounds) kernel().stop();
  };
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int round = 0; round < kRounds; ++round) {
        ++asked;
        kernel().wake();
      }
    });
  }
  kernel().run();  // comes back only if the wake after the last request was heard
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(seen, kThreads * kRounds);
}

TEST_P(KernelTurn, ExceptionOfTheClientLeavesRunAndTheRestComesNextTime) {
  auto [near, far] = stream_pair(kernel());
  Ear ear("near", &log_);
  const FdWatchPtr w = watch(kernel(), near.get(), ear);
  drained_ = [] { throw LoopExit{3}; };
  kernel().request_drain();
  w->arm(Direction::read, Arm::if_ready);
  ASSERT_TRUE(kernel().send(far.get(), "x").ok());
  EXPECT_THROW(kernel().run(), LoopExit);
  drained_ = nullptr;
  ear.then_readable = [this] { kernel().stop(); };
  // The event may have come first.
  if (ear.readable == 0) kernel().run();
  EXPECT_EQ(ear.readable, 1);
}

TEST_P(KernelTurn, StopThatAnExceptionOvertookIsForgotten) {
  int drains = 0;
  drained_ = [&] {
    if (++drains == 1) {
      kernel().stop();
      throw LoopExit{};
    }
    drains < 4 ? kernel().request_drain() : kernel().stop();
  };
  kernel().request_drain();
  EXPECT_THROW(kernel().run(), LoopExit);
  kernel().request_drain();
  kernel().run();
  EXPECT_EQ(drains, 4);
}

TEST_P(KernelTurn, WatchedSignalIsDeliveredUntilItIsNoMore) {
  // SIGWINCH, because nothing happens when nobody watches it.
  const auto raise = [this] {
    if (simulated()) return sim().raise_signal(SIGWINCH);
    return std::raise(SIGWINCH) == 0;
  };
  int got = 0;
  signalled_ = [&](int number) {
    got = number;
    kernel().stop();
  };
  ASSERT_FALSE(kernel().watch_signal(SIGWINCH));
  EXPECT_TRUE(raise());
  EXPECT_EQ(got, 0) << "called from inside the signal";
  kernel().run();
  EXPECT_EQ(got, SIGWINCH);
  ASSERT_FALSE(kernel().unwatch_signal(SIGWINCH));
  got = 0;
  raise();
  turns();
  EXPECT_EQ(got, 0);
}

TEST_P(KernelTurn, SignalsThatCannotBeCaughtAreRefused) {
  EXPECT_TRUE(kernel().watch_signal(SIGKILL));
  EXPECT_TRUE(kernel().watch_signal(-1));
  EXPECT_TRUE(kernel().watch_signal(100000));
}

INSTANTIATE_TEST_SUITE_P(Worlds, KernelTurn, ::testing::ValuesIn(kWorlds), world_name);

}  // namespace
}  // namespace ferry::test
