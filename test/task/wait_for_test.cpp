// wait_for: a limit on waiting for a future, a task or a coroutine.

#include "task_fixture.h"

#include <ferry/shield.h>
#include <ferry/timeout.h>

namespace ferry::test {
namespace {

class WaitFor : public TaskTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, WaitFor, ::testing::ValuesIn(kWorlds), world_name);

template <class T>
Coro<std::string> ending(Coro<T> work) {
  try {
    co_await std::move(work);
  } catch (const TimeoutError&) {
    co_return "timeout";
  } catch (const CancelledError& e) {
    co_return e.message().empty() ? "cancelled" : "cancelled: " + e.message();
  } catch (const std::exception& e) {
    co_return e.what();
  }
  co_return "ended";
}

Coro<int> stubborn(Duration time, Log* log) {
  bool cancelled = false;
  try {
    co_await sleep(1h);
  } catch (const CancelledError&) {
    cancelled = true;
  }
  co_await sleep(time);
  log->push_back(cancelled ? "stubborn end" : "end");
  co_return 42;
}

TEST_P(WaitFor, TheFutureKeepsItsValueForOthers) {
  const auto body = [](EventLoop* loop) -> Coro<> {
    const Task<std::string> task = create_task(value_after(1ms, std::string("value")));
    EXPECT_EQ(co_await wait_for(task, 1h), "value");
    EXPECT_EQ(co_await wait_for(task, 0s), "value");
    EXPECT_EQ(co_await timeout(1h, task), "value");
    EXPECT_EQ(task.result(), "value");
    // What cannot be copied is moved.
    const Future<std::unique_ptr<int>> only(*loop);
    only.set_result(std::make_unique<int>(5));
    const std::unique_ptr<int> value = co_await wait_for(only, 1h);
    EXPECT_EQ(*value, 5);
  };
  run(body(&loop()));
}

TEST_P(WaitFor, WhatIsDoneInTimeGivesItsValue) {
  const auto body = []() -> Coro<int> {
    const int a = co_await wait_for(value_after(1ms, 1), 10s);
    const Task<int> task = create_task(value_after(1ms, 2));
    const int b = co_await wait_for(task, 10s);
    const std::unique_ptr<int> c =
        co_await wait_for(value_after(0s, std::make_unique<int>(3)), 10s);
    co_await wait_for(nap(0s), std::nullopt);
    co_return a * 100 + b * 10 + *c;
  };
  EXPECT_EQ(run(body()), 123);
  EXPECT_EQ(loop().stats().timers, 0u);
}

TEST_P(WaitFor, WhatTakesTooLongIsCancelled) {
  const auto body = []() -> Coro<> {
    EXPECT_EQ(co_await ending(wait_for(nap(1h), 2ms)), "timeout");
    const Task<> task = create_task(nap(1h));
    EXPECT_EQ(co_await ending(wait_for(task, 2ms)), "timeout");
    EXPECT_TRUE(task.cancelled());
    EXPECT_EQ(current_task()->cancelling(), 0);
  };
  run(body());
}

TEST_P(WaitFor, C0252_ADoneFutureWithNoTimeAtAll) {
  const auto body = [](Future<int> done) -> Coro<int> { co_return co_await wait_for(done, 0s); };
  const Future<int> done(loop());
  done.set_result(4);
  EXPECT_EQ(run(body(done)), 4);
}

TEST_P(WaitFor, C0253_ACoroutineWithNoTimeAtAllNeverBegins) {
  const auto work = [](bool* ran, Alive) -> Coro<> {
    *ran = true;
    co_return;
  };
  const auto body = [](auto w, bool* ran, int* alive) -> Coro<> {
    EXPECT_EQ(co_await ending(wait_for(w(ran, Alive(*alive)), 0s)), "timeout");
    EXPECT_EQ(*alive, 0);
    EXPECT_EQ(co_await ending(wait_for(w(ran, Alive(*alive)), -1s)), "timeout");
    EXPECT_EQ(*alive, 0);
  };
  bool ran = false;
  int alive = 0;
  run(body(work, &ran, &alive));
  EXPECT_FALSE(ran);
}

TEST_P(WaitFor, C0254_ARunningTaskWithNoTimeIsCancelledAndWaitedFor) {
  const auto work = [](Log* log) -> Coro<> {
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      log->push_back("cleaned up");
      throw;
    }
  };
  const auto body = [](auto w, Duration limit, Log* log) -> Coro<> {
    const Task<> task = create_task(w(log));
    co_await sleep(0s);
    EXPECT_EQ(co_await ending(wait_for(task, limit)), "timeout");
    EXPECT_TRUE(task.cancelled());
    EXPECT_EQ(*log, (Log{"cleaned up"}));
  };
  for (const Duration limit : {Duration(0s), Duration(-1s)}) {
    Log log;
    run(body(work, limit, &log));
  }
}

TEST_P(WaitFor, C0256_WorkThatSwallowsTheCancellationGivesItsValue) {
  const auto body = [](Duration limit, Log* log) -> Coro<int> {
    const Task<int> task = create_task(stubborn(0s, log));
    co_await sleep(0s);
    co_return co_await wait_for(task, limit);
  };
  const auto in_place = [](Log* log) -> Coro<int> {
    co_return co_await wait_for(stubborn(0s, log), 1ms);
  };
  Log log;
  EXPECT_EQ(run(body(1ms, &log)), 42);
  EXPECT_EQ(run(body(0s, &log)), 42);
  EXPECT_EQ(run(in_place(&log)), 42);
}

TEST_P(WaitFor, C0257_WorkThatFailsWhenCancelledGivesItsFailure) {
  const auto work = []() -> Coro<> {
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      throw TestError("f");
    }
  };
  const auto body = [](auto w) -> Coro<> {
    EXPECT_EQ(co_await ending(wait_for(w(), 1ms)), "f");
    const Task<> task = create_task(w());
    co_await sleep(0s);
    EXPECT_EQ(co_await ending(wait_for(task, 0s)), "f");
    const Task<> other = create_task(w());
    EXPECT_EQ(co_await ending(wait_for(other, 1ms)), "f");
  };
  run(body(work));
}

TEST_P(WaitFor, C0258_CancelledByTheCallerItCancelsWhatItWaitsFor) {
  const auto body = [](Task<> inner, std::optional<Duration> limit) -> Coro<> {
    co_await wait_for(inner, limit);
  };
  for (const std::optional<Duration> limit : {std::optional<Duration>(), {Duration(60s)}}) {
    const Task<> inner = start(nap(1h));
    const Task<> outer = start(body(inner, limit));
    loop().call_soon([outer] { outer.cancel("caller"); });
    finish(outer);
    EXPECT_EQ(cancel_message(outer), "caller");
    EXPECT_TRUE(inner.cancelled());
  }
}

TEST_P(WaitFor, CancelledWhileItWaitsForTheEndOfTheWorkItIsCancelled) {
  // With no time at all the work is cancelled first; the caller's own cancellation comes later.
  const auto body = [](Task<int> inner) -> Coro<std::string> {
    co_return co_await ending(wait_for(inner, 0s));
  };
  const auto slow = [](Log* log) -> Coro<int> {
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      log->push_back("first");
    }
    bool again = false;
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      again = true;
    }
    if (again) throw CancelledError();
    co_return 1;
  };
  Log log;
  const Task<int> inner = start(slow(&log));
  tick(2);
  const Task<std::string> outer = start(body(inner));
  tick(4);
  EXPECT_FALSE(outer.done());
  outer.cancel("caller");
  finish(outer);
  EXPECT_EQ(outer.result().find("cancelled"), 0u) << outer.result();
  if (!inner.done()) inner.cancel();
  finish(inner);
}

TEST_P(WaitFor, C0260_AResultJustInTime) {
  const auto body = [](EventLoop* loop) -> Coro<int> {
    const Future<int> future(*loop);
    loop->call_soon([future] { future.set_result(7); });
    const int result = co_await wait_for(future, 200ms);
    EXPECT_EQ(loop->stats().timers, 0u);
    co_return result;
  };
  EXPECT_EQ(run(body(&loop())), 7);
}

TEST_P(WaitFor, C0261_OfAShield) {
  const auto body = [](Future<int> later, Duration limit) -> Coro<> {
    const Task<int> task = create_task(await_future(later));
    EXPECT_EQ(co_await ending(wait_for(shield(Future<int>(task)), limit)), "timeout");
    EXPECT_FALSE(task.done());
    EXPECT_EQ(task.cancelling(), 0);
    later.set_result(5);
    EXPECT_EQ(co_await task, 5);
  };
  run(body(Future<int>(loop()), 1ms));
  run(body(Future<int>(loop()), 0s));
  const auto unlimited = []() -> Coro<int> {
    const Task<int> task = create_task(value_after(1ms, 5));
    co_return co_await wait_for(shield(Future<int>(task)), std::nullopt);
  };
  EXPECT_EQ(run(unlimited()), 5);
}

TEST_P(WaitFor, C0262_WorkThatIgnoresTheCancellationIsWaitedFor) {
  const auto body = [](Log* log) -> Coro<> {
    const Task<int> task = create_task(stubborn(5ms, log));
    EXPECT_EQ(co_await wait_for(task, 1ms), 42);
    log->push_back("after");
  };
  Log log;
  run(body(&log));
  EXPECT_EQ(log, (Log{"stubborn end", "after"}));
  log.clear();
  const auto other = [](Task<int> task, Log* l) -> Coro<> {
    const int value = co_await wait_for(task, 60s);
    l->push_back(std::to_string(value));
  };
  const Task<int> inner = start(stubborn(5ms, &log));
  const Task<> outer = start(other(inner, &log));
  tick(2);
  outer.cancel();
  finish(outer);
  // It came to its end in spite of the cancellation, with a value; so nothing was cancelled.
  EXPECT_EQ(log, (Log{"stubborn end", "42"}));
}

}  // namespace
}  // namespace ferry::test
