// timeout and Timeout: a limit on a piece of work.

#include "task_fixture.h"

#include <ferry/timeout.h>

namespace ferry::test {
namespace {

class Timeouts : public TaskTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, Timeouts, ::testing::ValuesIn(kWorlds), world_name);

Coro<> cancelled_then(Log* log, std::string what) {
  try {
    co_await sleep(1h);
  } catch (const CancelledError&) {
    log->push_back(what);
    throw;
  }
}
Coro<> swallow() {
  try {
    co_await sleep(1h);
  } catch (const CancelledError&) {
  }
}
Coro<> cancel_self_and_sleep() {
  current_task()->cancel("self");
  co_await sleep(1h);
}

/// How `work` ends.
Coro<std::string> ending(Coro<> work) {
  try {
    co_await std::move(work);
  } catch (const TimeoutError&) {
    co_return "timeout";
  } catch (const CancelledError&) {
    co_return "cancelled";
  } catch (const std::exception& e) {
    co_return e.what();
  }
  co_return "ended";
}

TEST_P(Timeouts, WorkThatTakesTooLongIsCancelledAndTimeoutErrorThrown) {
  const auto body = [](EventLoop* loop, Log* log) -> Coro<> {
    const TimePoint begin = loop->time();
    EXPECT_EQ(co_await ending(timeout(5ms, cancelled_then(log, "work"))), "timeout");
    EXPECT_GE(loop->time() - begin, 5ms);
    EXPECT_EQ(current_task()->cancelling(), 0);
    co_await sleep(0s);
  };
  Log log;
  run(body(&loop(), &log));
  EXPECT_EQ(log, (Log{"work"}));
}

TEST_P(Timeouts, TheValueOfTheWorkComesThrough) {
  const auto body = []() -> Coro<int> {
    const std::unique_ptr<int> box =
        co_await timeout(1h, value_after(1ms, std::make_unique<int>(3)));
    const int more = co_await timeout_at(std::nullopt, value_after(0s, 4));
    co_return *box * 10 + more;
  };
  EXPECT_EQ(run(body()), 34);
}

TEST_P(Timeouts, C0232_TimeoutAtAMoment) {
  const auto body = [](EventLoop* loop) -> Coro<> {
    const TimePoint deadline = loop->time() + 5ms;
    Timeout limit{std::optional<TimePoint>(deadline)};
    EXPECT_EQ(co_await ending(limit.run(nap(1h))), "timeout");
    EXPECT_EQ(limit.when(), deadline);
    EXPECT_TRUE(limit.expired());
    EXPECT_GE(loop->time(), deadline);
    EXPECT_EQ(co_await ending(timeout_at(loop->time() + 1ms, nap(1h))), "timeout");
  };
  run(body(&loop()));
}

TEST_P(Timeouts, C0233_WorkThatEndsInTime) {
  const auto body = [](EventLoop* loop) -> Coro<> {
    Timeout limit(std::optional<Duration>(10s));
    EXPECT_EQ(co_await ending(limit.run(nap(2ms))), "ended");
    EXPECT_FALSE(limit.expired());
    EXPECT_GT(limit.when().value(), loop->time());
    EXPECT_EQ(loop->stats().timers, 0u);
  };
  run(body(&loop()));
}

TEST_P(Timeouts, C0234_NoLimit) {
  const auto body = [](EventLoop* loop) -> Coro<> {
    Timeout limit;
    EXPECT_EQ(co_await ending(limit.run(nap(1ms))), "ended");
    EXPECT_FALSE(limit.when());
    EXPECT_EQ(loop->stats().timers, 0u);
    Timeout absent{std::optional<Duration>()};
    EXPECT_EQ(co_await ending(absent.run(turns(3))), "ended");
    EXPECT_FALSE(absent.when());
    EXPECT_FALSE(absent.expired());
  };
  run(body(&loop()));
}

TEST_P(Timeouts, C0236_ZeroDoesNotTouchWorkThatNeverWaits) {
  const auto nothing = []() -> Coro<> { co_return; };
  const auto body = [](auto work) -> Coro<> {
    Timeout limit(std::optional<Duration>(0s));
    EXPECT_EQ(co_await ending(limit.run(work())), "ended");
    EXPECT_FALSE(limit.expired());
    EXPECT_EQ(current_task()->cancelling(), 0);
    co_await turns(3);
  };
  run(body(nothing));
}

TEST_P(Timeouts, ATimeThatIsOverEndsTheFirstWaitEvenOneOfOneTurn) {
  const auto body = [](EventLoop* loop) -> Coro<> {
    EXPECT_EQ(co_await ending(timeout(0s, nap(0s))), "timeout");
    EXPECT_EQ(co_await ending(timeout(-1s, nap(0s))), "timeout");
    EXPECT_EQ(co_await ending(timeout_at(loop->time() - 1s, turns(1))), "timeout");
    EXPECT_EQ(current_task()->cancelling(), 0);
  };
  run(body(&loop()));
}

TEST_P(Timeouts, C0237_NestedWithTheSameDeadlineTheOutermostThrows) {
  struct Bodies {
    static Coro<> inner(Timeout* limit, Log* log) {
      const std::string how = co_await ending(limit->run(nap(1h)));
      log->push_back("inner " + how);
      if (how == "cancelled") throw CancelledError();
    }
    static Coro<> outer(EventLoop* loop, Log* log) {
      const TimePoint deadline = loop->time() + 2ms;
      Timeout out{std::optional<TimePoint>(deadline)};
      Timeout in{std::optional<TimePoint>(deadline)};
      const std::string how = co_await ending(out.run(inner(&in, log)));
      log->push_back("outer " + how);
      EXPECT_TRUE(out.expired() && in.expired());
      EXPECT_EQ(current_task()->cancelling(), 0);
    }
  };
  Log log;
  run(Bodies::outer(&loop(), &log));
  EXPECT_EQ(log, (Log{"inner cancelled", "outer timeout"}));
}

TEST_P(Timeouts, C0240_AFailureOfTheWorkPasses) {
  const auto body = []() -> Coro<> {
    Timeout limit(std::optional<Duration>(10s));
    EXPECT_EQ(co_await ending(limit.run(fail_after(0s, "work"))), "work");
    EXPECT_FALSE(limit.expired());
  };
  run(body());
}

TEST_P(Timeouts, C0241_AFailureInTheCleaningUpPassesToo) {
  const auto work = []() -> Coro<> {
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      throw TestError("cleaning up");
    }
  };
  const auto body = [](auto w) -> Coro<> {
    Timeout limit(std::optional<Duration>(1ms));
    EXPECT_EQ(co_await ending(limit.run(w())), "cleaning up");
    EXPECT_TRUE(limit.expired());
    EXPECT_EQ(current_task()->cancelling(), 0);
  };
  run(body(work));
}

TEST_P(Timeouts, C0242_ACancellationFromOutsideIsOne) {
  const auto body = [](bool* expired) -> Coro<> {
    Timeout limit(std::optional<Duration>(10s));
    const std::string how = co_await ending(limit.run(cancel_self_and_sleep()));
    EXPECT_EQ(how, "cancelled");
    *expired = limit.expired();
    EXPECT_EQ(current_task()->cancelling(), 1);
  };
  bool expired = true;
  run(body(&expired));
  EXPECT_FALSE(expired);
}

TEST_P(Timeouts, C0244_WhoHandlesTheTimeoutIsNotCancelled) {
  const auto body = []() -> Coro<std::string> {
    co_return co_await ending(timeout(1ms, swallow()));
  };
  const auto limited = []() -> Coro<std::string> {
    co_return co_await ending(timeout(1ms, nap(1h)));
  };
  const Task<std::string> swallowed = start(body());
  const Task<std::string> handled = start(limited());
  finish(swallowed);
  finish(handled);
  EXPECT_EQ(swallowed.result(), "ended");
  EXPECT_EQ(handled.result(), "timeout");
  EXPECT_FALSE(handled.cancelled());
  EXPECT_EQ(handled.cancelling() + swallowed.cancelling(), 0);
}

TEST_P(Timeouts, C0245_AfterAnEarlierCancellationItStillIsATimeout) {
  const auto body = []() -> Coro<std::string> {
    const std::string first = co_await ending(cancel_self_and_sleep());
    EXPECT_EQ(first, "cancelled");
    EXPECT_EQ(current_task()->cancelling(), 1);
    const std::string how = co_await ending(timeout(0s, nap(1h)));
    EXPECT_EQ(current_task()->cancelling(), 1);
    co_return how;
  };
  EXPECT_EQ(run(body()), "timeout");
}

TEST_P(Timeouts, C0246_AndACancellationInsideIsOne) {
  const auto body = []() -> Coro<std::string> {
    const std::string first = co_await ending(cancel_self_and_sleep());
    EXPECT_EQ(first, "cancelled");
    co_return co_await ending(timeout(1s, cancel_self_and_sleep()));
  };
  EXPECT_EQ(run(body()), "cancelled");
}

TEST_P(Timeouts, RescheduleMovesTheLimitBothWaysAndTakesItAway) {
  const auto work = [](EventLoop* loop, Timeout* limit) -> Coro<> {
    limit->reschedule(loop->time() + 1h);
    co_await sleep(3ms);
    limit->reschedule(std::nullopt);
    co_await sleep(1ms);
    EXPECT_FALSE(limit->when());
    limit->reschedule(loop->time() + 1ms);
    co_await sleep(1h);
  };
  const auto body = [](EventLoop* loop, auto w) -> Coro<> {
    Timeout limit(std::optional<Duration>(1ms));
    EXPECT_EQ(co_await ending(limit.run(w(loop, &limit))), "timeout");
  };
  run(body(&loop(), work));
}

TEST_P(Timeouts, C0248_RescheduleAtTheWrongTimeNamesTheState) {
  const auto refusal = [](Timeout& limit) -> std::string {
    try {
      limit.reschedule(std::nullopt);
    } catch (const std::logic_error& e) {
      return e.what();
    }
    return "it was allowed";
  };
  const auto cleaning = [](Timeout* limit, auto refused, Log* log) -> Coro<> {
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      log->push_back(refused(*limit));
      throw;
    }
  };
  const auto body = [](auto work, auto refused, Log* log) -> Coro<> {
    Timeout limit(std::optional<Duration>(1ms));
    log->push_back(refused(limit));
    EXPECT_EQ(co_await ending(limit.run(work(&limit, refused, log))), "timeout");
    log->push_back(refused(limit));
    Timeout unused;
    co_await unused.run(nap(0s));
    log->push_back(refused(unused));
  };
  Log log;
  run(body(cleaning, refusal, &log));
  ASSERT_EQ(log.size(), 4u);
  const std::vector<std::string> words{"not begun", "expiring", "expired", "over"};
  for (std::size_t i = 0; i < log.size(); ++i) {
    EXPECT_NE(log[i].find(words[i]), std::string::npos) << log[i];
  }
}

TEST_P(Timeouts, C0249_OnceOnlyAndInATask) {
  const auto body = []() -> Coro<> {
    Timeout limit(std::optional<Duration>(1h));
    co_await limit.run(nap(0s));
    const std::string how = co_await ending(limit.run(nap(0s)));
    EXPECT_NE(how.find("already"), std::string::npos);
  };
  run(body());
  Timeout limit(std::optional<Duration>(1h));
  const Coro<> work = limit.run(nap(0s));
  work.handle().resume();  // as no task would
  const std::exception_ptr failure = work.handle().promise().take_exception();
  ASSERT_TRUE(failure);
  EXPECT_THROW(std::rethrow_exception(failure), std::logic_error);
}

TEST_P(Timeouts, C0250_WorkThatSwallowsTheCancellation) {
  const auto body = []() -> Coro<> {
    Timeout limit(std::optional<Duration>(2ms));
    EXPECT_EQ(co_await ending(limit.run(swallow())), "ended");
    EXPECT_TRUE(limit.expired());
    EXPECT_EQ(current_task()->cancelling(), 0);
    co_await sleep(0s);
  };
  run(body());
}

class TimeoutsInTime : public SimTaskTest {};

TEST_F(TimeoutsInTime, C0238_TheOuterIsShorter) {
  struct Bodies {
    static Coro<> busy_then_sleep(testing::SimKernel* kernel) {
      kernel->advance(10ms);
      co_await sleep(1s);
    }
    static Coro<> inner(Timeout* limit, testing::SimKernel* kernel, Log* log) {
      const std::string how = co_await ending(limit->run(busy_then_sleep(kernel)));
      log->push_back("inner " + how);
      if (how == "cancelled") throw CancelledError();
    }
    static Coro<> outer(testing::SimKernel* kernel, Log* log) {
      Timeout out(std::optional<Duration>(2ms));
      Timeout in(std::optional<Duration>(100ms));
      const std::string how = co_await ending(out.run(inner(&in, kernel, log)));
      log->push_back("outer " + how);
      EXPECT_FALSE(in.expired());
    }
  };
  Log log;
  run(Bodies::outer(&sim_kernel(), &log));
  EXPECT_EQ(log, (Log{"inner cancelled", "outer timeout"}));
}

TEST_F(TimeoutsInTime, OneFromOutsideInTheTurnOfTheExpiryWins) {
  const auto work = [](EventLoop* loop, Task<std::string>* self) -> Coro<> {
    // Behind the timer of the limit, and before the task runs again.
    loop->call_later(1ms, [self] { self->cancel("outside"); });
    co_await sleep(1h);
  };
  const auto body = [](EventLoop* loop, auto w, Task<std::string>* self) -> Coro<std::string> {
    Timeout limit{std::optional<TimePoint>(loop->time() + 1ms)};
    co_return co_await ending(limit.run(w(loop, self)));
  };
  Task<std::string> task;
  task = start(body(&loop(), work, &task));
  finish(task);
  EXPECT_EQ(task.result(), "cancelled");
  task = {};
}

TEST_F(TimeoutsInTime, WorkThatEndsAtTheVeryMomentLeavesNoCancellation) {
  const auto body = []() -> Coro<> {
    for (int i = 0; i < 2; ++i) {
      // No ?: inside an await: g++ 12 would destroy the call twice.
      Coro<> work = nap(5ms);
      if (i == 1) work = turns(1);
      Timeout limit(std::optional<Duration>(5ms));
      const std::string how = co_await ending(limit.run(std::move(work)));
      EXPECT_TRUE(how == "ended" || how == "timeout") << how;
      EXPECT_EQ(current_task()->cancelling(), 0);
      co_await sleep(10ms);
    }
  };
  run(body());
}

}  // namespace
}  // namespace ferry::test
