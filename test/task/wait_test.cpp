// wait: until enough of them are done.

#include "task_fixture.h"

#include <ferry/wait.h>

namespace ferry::test {
namespace {

/// A braced list inside a co_await expression is more than g++ 12 can do.
template <class F, class... More>
std::vector<F> list(const F& first, const More&... more) {
  return {first, more...};
}

class Waiting : public TaskTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, Waiting, ::testing::ValuesIn(kWorlds), world_name);

TEST_P(Waiting, ForAllGivesThemInTheirOrder) {
  const auto body = []() -> Coro<> {
    std::vector<Task<int>> tasks;
    for (int i = 0; i < 4; ++i) {
      tasks.push_back(create_task(value_after(std::chrono::milliseconds(4 - i), i)));
    }
    const WaitResult<Task<int>> result = co_await wait(tasks);
    EXPECT_TRUE(result.pending.empty());
    EXPECT_EQ(result.done, tasks);
    for (int i = 0; i < 4; ++i) EXPECT_EQ(result.done[static_cast<std::size_t>(i)].result(), i);
  };
  run(body());
}

TEST_P(Waiting, FailuresAreNotThrown) {
  const auto body = []() -> Coro<> {
    const WaitResult<Task<>> result = co_await wait(list<Task<>>(create_task(fail_after(0s, "x"))));
    EXPECT_EQ(failure_text(result.done.at(0)), "x");
  };
  run(body());
}

TEST_P(Waiting, C0180_ForTheFirstLeavesTheOthersRunning) {
  const auto body = []() -> Coro<> {
    std::vector<Task<int>> tasks;
    tasks.push_back(create_task(value_after(20ms, 1)));
    tasks.push_back(create_task(value_after(0ms, 2)));
    const WaitResult<Task<int>> result =
        co_await wait(tasks, {.return_when = ReturnWhen::first_completed});
    EXPECT_EQ(result.done.size(), 1u);
    EXPECT_EQ(result.pending.size(), 1u);
    EXPECT_TRUE(result.pending.at(0) == tasks[0]);
    EXPECT_EQ(co_await tasks[0], 1);
  };
  run(body());
}

TEST_P(Waiting, C0181_TwoThatFinishInTheSameTurnAreBothDone) {
  const auto body = [](std::vector<Future<int>> futures) -> Coro<std::size_t> {
    const WaitResult<Future<int>> result =
        co_await wait(std::move(futures), {.return_when = ReturnWhen::first_completed});
    co_return result.done.size();
  };
  const Future<int> a(loop());
  const Future<int> b(loop());
  const Future<int> c(loop());
  const Task<std::size_t> task = start(body({a, b, c}));
  tick();
  a.set_result(1);
  b.set_result(2);
  finish(task);
  EXPECT_EQ(task.result(), 2u);
}

TEST_P(Waiting, C0182_ForTheFirstFailureACancellationIsNone) {
  const auto body = [](std::vector<Future<int>> futures) -> Coro<WaitResult<Future<int>>> {
    co_return co_await wait(std::move(futures), {.return_when = ReturnWhen::first_exception});
  };
  const Future<int> cancelled(loop());
  const Future<int> good(loop());
  const Future<int> bad(loop());
  const Future<int> slow(loop());
  const auto task = start(body({cancelled, good, bad, slow}));
  tick();
  cancelled.cancel();
  tick();
  good.set_result(1);
  tick();
  EXPECT_FALSE(task.done());
  bad.set_exception(TestError("x"));
  finish(task);
  EXPECT_EQ(task.result().done.size(), 3u);
  EXPECT_TRUE(task.result().pending.at(0) == slow);
  EXPECT_EQ(failure_text(bad), "x");
}

TEST_P(Waiting, C0182_IfNoneFailsItWaitsForAll) {
  const auto body = []() -> Coro<std::size_t> {
    std::vector<Task<int>> tasks;
    for (int i = 0; i < 3; ++i) tasks.push_back(create_task(value_after(1ms, i)));
    const WaitResult<Task<int>> result =
        co_await wait(std::move(tasks), {.return_when = ReturnWhen::first_exception});
    co_return result.done.size();
  };
  EXPECT_EQ(run(body()), 3u);
}

TEST_P(Waiting, AnOldFailureEndsItAtOnce) {
  const auto body = [](Future<int> failed, Future<int> pending) -> Coro<> {
    const WaitResult<Future<int>> result = co_await wait(
        list<Future<int>>(failed, pending), {.return_when = ReturnWhen::first_exception});
    EXPECT_EQ(result.done.size(), 1u);
    EXPECT_EQ(failure_text(failed), "old");
  };
  const Future<int> failed(loop());
  failed.set_exception(TestError("old"));
  run(body(failed, Future<int>(loop())));
}

TEST_P(Waiting, WhenTheTimeIsOverWhatIsDoneIsGivenAndNothingCancelled) {
  const auto body = []() -> Coro<> {
    const Task<> slow = create_task(nap(1h));
    const Task<> fast = create_task(nap(0s));
    const WaitResult<Task<>> result = co_await wait(list<Task<>>(slow, fast), {.timeout = 5ms});
    EXPECT_EQ(result.done.size(), 1u);
    EXPECT_EQ(result.pending.size(), 1u);
    EXPECT_EQ(slow.cancelling(), 0);
    EXPECT_FALSE(slow.done());
    slow.cancel();
  };
  run(body());
  tick(3);
}

TEST_P(Waiting, ATimeThatIsNotNeededLeavesNoTimer) {
  const auto body = [](EventLoop* loop) -> Coro<> {
    std::vector<Task<>> tasks;
    tasks.push_back(create_task(nap(0s)));
    co_await wait(std::move(tasks), {.timeout = 1h});
    EXPECT_EQ(loop->stats().timers, 0u);
  };
  run(body(&loop()));
}

TEST_P(Waiting, ATimeOfZeroLooksOnce) {
  const auto body = [](Future<int> done, Future<int> pending) -> Coro<> {
    const WaitResult<Future<int>> result =
        co_await wait(list<Future<int>>(done, pending), {.timeout = 0s});
    EXPECT_EQ(result.done.size(), 1u);
    EXPECT_EQ(result.pending.size(), 1u);
  };
  const Future<int> done(loop());
  done.set_result(1);
  run(body(done, Future<int>(loop())));
}

TEST_P(Waiting, C0185_ForNothingIsRefused) {
  const auto body = []() -> Coro<> { co_await wait(std::vector<Task<int>>()); };
  EXPECT_THROW(run(body()), std::invalid_argument);
}

TEST_P(Waiting, C0186_CancellingTheWaiterLeavesTheTasksRunningAndNoCallback) {
  const auto body = [](std::vector<Task<>> tasks) -> Coro<> {
    co_await wait(std::move(tasks), {.timeout = 1h});
  };
  const Task<> a = start(nap(2ms));
  const Task<> b = start(nap(4ms));
  const Task<> waiter = start(body({a, b}));
  tick(2);
  waiter.cancel("waiter");
  finish(waiter);
  EXPECT_EQ(cancel_message(waiter), "waiter");
  EXPECT_EQ(a.cancelling() + b.cancelling(), 0);
  finish(a);
  finish(b);
  EXPECT_FALSE(a.cancelled() || b.cancelled());
  EXPECT_EQ(loop().stats().timers, 0u);
}

TEST_P(Waiting, FuturesOfDifferentTypesGoAsAnyFuture) {
  const auto body = [](Future<int> number) -> Coro<> {
    const Task<std::string> text = create_task(value_after(0s, std::string("text")));
    std::vector<AnyFuture> both{number, text};
    const WaitResult<AnyFuture> result =
        co_await wait(both, {.return_when = ReturnWhen::first_completed});
    EXPECT_EQ(result.done.size(), 1u);
    EXPECT_TRUE(result.done[0] == AnyFuture(text));
  };
  run(body(Future<int>(loop())));
}

TEST_P(Waiting, TheSameFutureTwiceIsDoneTwice) {
  const auto body = []() -> Coro<std::size_t> {
    const Task<> task = create_task(nap(0s));
    const WaitResult<Task<>> result = co_await wait(list<Task<>>(task, task));
    co_return result.done.size();
  };
  EXPECT_EQ(run(body()), 2u);
}

class WaitingInTime : public SimTaskTest {};

TEST_F(WaitingInTime, C0184_WhatFinishesAtTheVeryTimeIsDone) {
  const auto body = []() -> Coro<std::size_t> {
    const Task<> task = create_task(nap(10ms));
    co_await sleep(0s);
    const WaitResult<Task<>> result = co_await wait(list<Task<>>(task), {.timeout = 10ms});
    co_return result.done.size();
  };
  EXPECT_EQ(run(body()), 1u);
}

TEST_F(WaitingInTime, C0184_AlsoIfTheTimerOfTheWaitCameFirst) {
  const auto waiter = [](Task<> task) -> Coro<std::size_t> {
    const WaitResult<Task<>> result = co_await wait(list<Task<>>(task), {.timeout = 10ms});
    co_return result.done.size();
  };
  const auto late = []() -> Coro<> {
    co_await sleep(0s);
    co_await sleep(10ms);
  };
  const Task<> task = start(late());
  EXPECT_EQ(run(waiter(task)), 1u);
}

}  // namespace
}  // namespace ferry::test
