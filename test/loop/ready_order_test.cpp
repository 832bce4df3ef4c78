// The ready queue: order, cancelling, fairness.

#include "loop_suite.h"
#include "socket_pair.h"

#include <functional>
#include <string>
#include <vector>

namespace ferry::test {
namespace {

class ReadyOrder : public LoopSuite {};
INSTANTIATE_TEST_SUITE_P(Worlds, ReadyOrder, ::testing::ValuesIn(kWorlds), world_name);

TEST_P(ReadyOrder, C0001_CallSoonIsFifoAndExactlyOnce) {
  std::vector<int> ran;
  for (int i = 0; i < 1000; ++i) {
    loop().call_soon([&, i] {
      ran.push_back(i);
      if (i == 999) loop().stop();
    });
  }
  EXPECT_TRUE(ran.empty());
  loop().run_forever();
  ASSERT_EQ(ran.size(), 1000U);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(ran[static_cast<std::size_t>(i)], i);
}

TEST_P(ReadyOrder, C0002_CancelledHandleIsSkippedAndItsCapturesFreedAtOnce) {
  Token token;
  std::string ran;
  loop().call_soon([&] { ran += 'A'; });
  Handle b = loop().call_soon([&ran, held = token.held()] { ran += 'B'; });
  loop().call_soon([&] { ran += 'C'; });
  EXPECT_TRUE(token.captured());
  EXPECT_FALSE(b.cancelled());
  b.cancel();
  EXPECT_FALSE(token.captured());
  EXPECT_TRUE(b.cancelled());
  b.cancel();
  tick();
  EXPECT_EQ(ran, "AC");
}

TEST_P(ReadyOrder, CancelAfterTheCallbackRanIsHarmlessAlsoWhenItsPlaceIsUsedAgain) {
  std::string ran;
  Handle first = loop().call_soon([&] { ran += '1'; });
  tick();
  for (int i = 0; i < 200; ++i) {
    loop().call_soon([&] { ran += '.'; });
  }
  first.cancel();
  EXPECT_FALSE(first.cancelled());
  tick(20);
  EXPECT_EQ(ran, "1" + std::string(200, '.'));
}

TEST_P(ReadyOrder, ACallbackMayCancelItsOwnHandleWhileItRuns) {
  Token token;
  Handle handle;
  bool whole = false;
  handle = loop().call_soon([&, held = token.held()] {
    handle.cancel();
    whole = token.captured();  // what it captured must outlive the call
  });
  tick();
  EXPECT_TRUE(whole);
  EXPECT_FALSE(token.captured());
}

TEST_P(ReadyOrder, C0006_ACallbackMayCancelALaterOneOfTheSameTurn) {
  std::string ran;
  Handle third;
  loop().call_soon([&] {
    ran += '1';
    third.cancel();
  });
  loop().call_soon([&] { ran += '2'; });
  third = loop().call_soon([&] { ran += '3'; });
  tick();
  EXPECT_EQ(ran, "12");
}

TEST_P(ReadyOrder, CapturesAreDestroyedBeforeTheNextCallbackRuns) {
  Token token;
  bool freed = false;
  loop().call_soon([held = token.held()] {});
  loop().call_soon([&] { freed = !token.captured(); });
  tick();
  EXPECT_TRUE(freed);
}

TEST_P(ReadyOrder, ADestructorOfACapturedObjectMayQueueCallbacks) {
  struct QueuesWhenItDies {
    EventLoop* loop;
    int* ran;
    QueuesWhenItDies(EventLoop& l, int& r) : loop(&l), ran(&r) {}
    ~QueuesWhenItDies() {
      loop->call_soon([r = ran] { ++*r; });
    }
  };
  int ran = 0;
  loop().call_soon([object = std::make_shared<QueuesWhenItDies>(loop(), ran)] {});
  Handle cancelled =
      loop().call_soon([object = std::make_shared<QueuesWhenItDies>(loop(), ran)] {});
  cancelled.cancel();
  tick(5);
  EXPECT_EQ(ran, 2);
}

TEST_P(ReadyOrder, LargeAndMoveOnlyCapturesRunToo) {
  std::array<char, 500> large{};
  large.back() = 'x';
  auto owned = std::make_unique<int>(7);
  char seen = 0;
  int number = 0;
  loop().call_soon([&seen, large] { seen = large.back(); });
  loop().call_soon([&number, owned = std::move(owned)] { number = *owned; });
  tick();
  EXPECT_EQ(seen, 'x');
  EXPECT_EQ(number, 7);
}

// A callback that queues itself again for ever, and counts.
struct Spinner {
  EventLoop& loop;
  std::size_t count = 0;
  Handle next;

  explicit Spinner(EventLoop& l) : loop(l) { again(); }
  ~Spinner() { next.cancel(); }
  void again() {
    next = loop.call_soon([this] {
      ++count;
      again();
    });
  }
};

TEST_P(ReadyOrder, C0004_ASelfReschedulingCallbackDoesNotStarveIo) {
  auto [ours, theirs] = stream_pair(loop().kernel());
  Spinner spinner(loop());
  std::size_t written_at = 0;
  std::size_t read_at = 0;
  loop().add_reader(ours.get(), [&, fd = ours.get()] {
    read_at = spinner.count;
    loop().remove_reader(fd);
    loop().stop();
  });
  loop().call_soon([&, fd = theirs.get()] {
    written_at = spinner.count;
    EXPECT_EQ(loop().kernel().send(fd, "x").count(), 1U);
  });
  loop().run_forever();
  // The turn that wrote goes on, and the drain after it may be queued already.
  EXPECT_LE(read_at - written_at, 2U * 61);
}

TEST_P(ReadyOrder, ReadyDescriptorsAreServedEvery61Callbacks) {
  auto [ours, theirs] = stream_pair(loop().kernel());
  ASSERT_EQ(loop().kernel().send(theirs.get(), "x").count(), 1U);
  Spinner spinner(loop());
  std::vector<std::size_t> served;
  loop().add_reader(ours.get(), [&] {
    served.push_back(spinner.count);  // never read: always ready
    if (served.size() == 20) loop().stop();
  });
  loop().run_forever();
  for (std::size_t i = 2; i < served.size(); ++i) {
    EXPECT_LE(served[i] - served[i - 1], 61U) << "service " << i;
  }
  EXPECT_TRUE(loop().remove_reader(ours.get()));
}

TEST_P(ReadyOrder, ALongQueueLetsIoInEvery61Callbacks) {
  auto [ours, theirs] = stream_pair(loop().kernel());
  ASSERT_EQ(loop().kernel().send(theirs.get(), "x").count(), 1U);
  int ran = 0;
  int at_first_read = -1;
  for (int i = 0; i < 1000; ++i) {
    loop().call_soon([&] { ++ran; });
  }
  loop().add_reader(ours.get(), [&, fd = ours.get()] {
    at_first_read = ran;
    loop().remove_reader(fd);
  });
  run_until([&] { return ran == 1000 && at_first_read >= 0; });
  EXPECT_LE(at_first_read, 2 * 61);
}

TEST_P(ReadyOrder, C0005_ASelfReschedulingCallbackDoesNotStarveTimers) {
  make_turns_cost_time();
  Spinner spinner(loop());
  bool fired = false;
  loop().call_later(10ms, [&] { fired = true; });
  run_until([&] { return fired; });
  EXPECT_TRUE(fired);
  EXPECT_GT(spinner.count, 0U);
}

TEST_P(ReadyOrder, C0008_StopLetsTheCurrentTurnFinish) {
  std::string ran;
  loop().call_soon([&] {
    ran += 'X';
    loop().stop();
    loop().call_soon([&] { ran += 'Z'; });
  });
  loop().call_soon([&] { ran += 'Y'; });
  loop().run_forever();
  EXPECT_EQ(ran, "XY");
  loop().call_soon([&] {
    ran += '2';
    loop().stop();
  });
  loop().run_forever();
  EXPECT_EQ(ran, "XYZ2");
}

TEST_P(ReadyOrder, StopLetsAllOfALongTurnFinish) {
  int ran = 0;
  loop().call_soon([&] { loop().stop(); });
  for (int i = 0; i < 500; ++i) {
    loop().call_soon([&] { ++ran; });
  }
  loop().run_forever();
  EXPECT_EQ(ran, 500);
}

TEST_P(ReadyOrder, StopFromATimerLetsReadyCallbacksRunButNotWhatTheyQueue) {
  std::string ran;
  loop().call_later(1ms, [&] {
    loop().call_soon([&] {
      ran += 'a';
      loop().call_soon([&] { ran += 'b'; });
    });
    loop().stop();
  });
  loop().run_forever();
  EXPECT_EQ(ran, "a");
  tick();
  EXPECT_EQ(ran, "ab");
}

TEST_P(ReadyOrder, C0009_StopBeforeRunForeverRunsOneTurnThatDoesNotWait) {
  std::string ran;
  bool late = false;
  TimerHandle timer = loop().call_later(1h, [&] { late = true; });
  loop().call_soon([&] { ran += 'a'; });
  loop().stop();
  loop().call_soon([&] {
    ran += 'b';
    loop().call_soon([&] { ran += 'c'; });
  });
  const TimePoint begin = loop().time();
  loop().run_forever();
  EXPECT_LT(loop().time() - begin, 30min);
  EXPECT_EQ(ran, "ab");
  EXPECT_FALSE(late);
  timer.cancel();
  tick();
  EXPECT_EQ(ran, "abc");
}

TEST_P(ReadyOrder, C0010_StopTwiceIsOneStop) {
  loop().stop();
  loop().stop();
  loop().run_forever();
  bool timer_fired = false;
  loop().call_later(5ms, [&] {
    timer_fired = true;
    loop().stop();
  });
  loop().run_forever();
  EXPECT_TRUE(timer_fired);
}

TEST_P(ReadyOrder, C0097_AnEmptyCallbackIsRefusedAtTheCall) {
  EXPECT_THROW(loop().call_soon(Function<void()>()), std::invalid_argument);
  EXPECT_THROW(loop().call_soon_threadsafe(Function<void()>()), std::invalid_argument);
  EXPECT_THROW(loop().call_later(1ms, Function<void()>()), std::invalid_argument);
  EXPECT_THROW(loop().call_at(loop().time(), std::function<void()>()), std::invalid_argument);
  EXPECT_EQ(loop().stats().timers, 0U);
  tick();
  EXPECT_EQ(loop().stats().ready, 0U);
}

TEST_P(ReadyOrder, StatsCountReadyCallbacksAndTurns) {
  const LoopStats before = loop().stats();
  for (int i = 0; i < 100; ++i) {
    loop().call_soon([] {});
  }
  EXPECT_EQ(loop().stats().ready, before.ready + 100);
  tick();
  EXPECT_EQ(loop().stats().ready, 0U);
  EXPECT_GE(loop().stats().callbacks, before.callbacks + 100);
  EXPECT_GE(loop().stats().turns, before.turns + 2);  // at most 61 a turn
}

}  // namespace
}  // namespace ferry::test
