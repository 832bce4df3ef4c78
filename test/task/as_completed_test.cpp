// as_completed: futures in the order in which they finish.

#include "task_fixture.h"

#include <ferry/as_completed.h>

#include <algorithm>

namespace ferry::test {
namespace {

class Completed : public TaskTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, Completed, ::testing::ValuesIn(kWorlds), world_name);

TEST_P(Completed, C0188_ItGivesTheVeryTasksInTheOrderOfTheirEnds) {
  const auto body = []() -> Coro<> {
    std::vector<Task<int>> tasks;
    for (const int delay : {100, 0, 50}) {
      tasks.push_back(create_task(value_after(std::chrono::milliseconds(delay), delay)));
    }
    auto completed = as_completed(tasks);
    std::vector<int> values;
    while (std::optional<Task<int>> task = co_await completed.next()) {
      EXPECT_TRUE(task->done());
      EXPECT_NE(std::find(tasks.begin(), tasks.end(), *task), tasks.end());
      values.push_back(task->result());
    }
    EXPECT_EQ(values, (std::vector<int>{0, 50, 100}));
    EXPECT_EQ(completed.left(), 0u);
  };
  run(body());
}

TEST_P(Completed, TheFuturesKeepTheirValues) {
  const auto body = []() -> Coro<> {
    std::vector<Task<std::string>> tasks;
    tasks.push_back(create_task(value_after(1ms, std::string("value"))));
    auto completed = as_completed(tasks);
    EXPECT_EQ(co_await completed.next_result(), "value");
    EXPECT_EQ(tasks.front().result(), "value");
  };
  run(body());
}

TEST_P(Completed, CoroutinesBecomeTasksAndFailuresAreThrown) {
  const auto body = [](Log* log) -> Coro<> {
    std::vector<Coro<>> calls;
    calls.push_back(nap(2ms));
    calls.push_back(fail_after(0s, "failed"));
    auto completed = as_completed(std::move(calls));
    try {
      co_await completed.next_result();
    } catch (const TestError& e) {
      log->push_back(e.what());
    }
    co_await completed.next_result();
    try {
      co_await completed.next_result();
    } catch (const std::logic_error&) {
      log->push_back("no more");
    }
  };
  Log log;
  run(body(&log));
  EXPECT_EQ(log, (Log{"failed", "no more"}));
}

TEST_P(Completed, C0192_WhoeverAwaitsFirstGetsWhatFinishesFirst) {
  const auto body = [](Log* log) -> Coro<> {
    std::vector<Coro<std::string>> calls;
    calls.push_back(value_after(50ms, std::string("slow")));
    calls.push_back(value_after(1ms, std::string("fast")));
    auto completed = as_completed(std::move(calls));
    Coro<std::string> first = completed.next_result();
    Coro<std::string> second = completed.next_result();
    log->push_back(co_await std::move(second));
    log->push_back(co_await std::move(first));
  };
  Log log;
  run(body(&log));
  EXPECT_EQ(log, (Log{"fast", "slow"}));
}

TEST_P(Completed, OfNothingEndsAtOnce) {
  const auto body = []() -> Coro<bool> {
    auto completed = as_completed(std::vector<Task<int>>());
    const std::optional<Task<int>> none = co_await completed.next();
    co_return none.has_value();
  };
  EXPECT_FALSE(run(body()));
}

TEST_P(Completed, C0189_WhenTheTimeIsOverTheRestIsLeftRunning) {
  const auto body = [](Log* log) -> Coro<> {
    std::vector<Task<int>> tasks;
    tasks.push_back(create_task(value_after(1h, 1)));
    tasks.push_back(create_task(value_after(0s, 2)));
    auto completed = as_completed(tasks, 3ms);
    const int first = co_await completed.next_result();
    log->push_back(std::to_string(first));
    for (int i = 0; i < 2; ++i) {
      try {
        co_await completed.next_result();
      } catch (const TimeoutError&) {
        log->push_back("timeout");
      }
    }
    EXPECT_FALSE(tasks[0].done());
    EXPECT_EQ(tasks[0].cancelling(), 0);
    tasks[0].cancel();
  };
  Log log;
  run(body(&log));
  tick(3);
  EXPECT_EQ(log, (Log{"2", "timeout", "timeout"}));
}

TEST_P(Completed, C0190_ATimeThatIsNotNeededLeavesNoTimer) {
  const auto body = [](EventLoop* loop) -> Coro<> {
    std::vector<Task<int>> tasks;
    tasks.push_back(create_task(value_after(0s, 1)));
    auto completed = as_completed(tasks, 1h);
    EXPECT_EQ(co_await completed.next_result(), 1);
    EXPECT_EQ(loop->stats().timers, 0u);
  };
  run(body(&loop()));
}

TEST_P(Completed, C0193_SeveralMayWaitAtOnceAndEachGetsAnother) {
  const auto waiter = [](AsCompleted<Task<int>>* completed, std::vector<int>* got) -> Coro<> {
    const int value = co_await completed->next_result();
    got->push_back(value);
  };
  const auto body = [](auto wait_for_one, std::vector<int>* got) -> Coro<> {
    std::vector<Task<int>> tasks;
    for (int i = 0; i < 3; ++i) {
      tasks.push_back(create_task(value_after(std::chrono::milliseconds(3 * i), i)));
    }
    auto completed = as_completed(tasks);
    std::vector<Task<>> waiting;
    for (int i = 0; i < 3; ++i) waiting.push_back(create_task(wait_for_one(&completed, got)));
    for (const Task<>& each : waiting) co_await each;
  };
  std::vector<int> got;
  run(body(waiter, &got));
  EXPECT_EQ(got, (std::vector<int>{0, 1, 2}));
}

TEST_P(Completed, OneOfThoseWhoWaitIsCancelledAndNothingIsLost) {
  const auto waiter = [](AsCompleted<Future<int>>* completed, std::vector<int>* got) -> Coro<> {
    const int value = co_await completed->next_result();
    got->push_back(value);
  };
  const Future<int> a(loop());
  const Future<int> b(loop());
  std::vector<Future<int>> both{a, b};
  auto completed = as_completed(both);
  std::vector<int> got;
  const Task<> first = start(waiter(&completed, &got));
  const Task<> second = start(waiter(&completed, &got));
  tick(2);
  a.set_result(1);
  tick(1);
  first.cancel();
  finish(first);
  b.set_result(2);
  finish(second);
  run(waiter(&completed, &got));
  EXPECT_EQ(got, (std::vector<int>{1, 2}));
}

TEST_P(Completed, C0194_TheSameOneTwiceCountsOnce) {
  const auto body = []() -> Coro<> {
    const Task<int> task = create_task(value_after(0s, 1));
    std::vector<Task<int>> tasks{task, task, task};
    auto completed = as_completed(tasks);
    EXPECT_EQ(completed.left(), 1u);
    const std::optional<Task<int>> one = co_await completed.next();
    EXPECT_TRUE(one.has_value());
    const std::optional<Task<int>> none = co_await completed.next();
    EXPECT_FALSE(none.has_value());
  };
  run(body());
}

TEST_P(Completed, DroppedEarlyItLeavesTheTasksRunning) {
  const auto body = [](std::vector<Task<int>> tasks) -> Coro<> {
    auto completed = as_completed(tasks, 1h);
    EXPECT_EQ(co_await completed.next_result(), 1);
  };
  std::vector<Task<int>> tasks;
  tasks.push_back(start(value_after(0s, 1)));
  tasks.push_back(start(value_after(2ms, 2)));
  run(body(tasks));
  EXPECT_EQ(loop().stats().timers, 1u);
  finish(tasks[1]);
  EXPECT_EQ(tasks[1].result(), 2);
}

TEST_P(Completed, ManyThousandsThatEndInAnyOrderAreGivenInThatOrder) {
  // Each twice. A search for each would take 10^10 steps here.
  static constexpr std::size_t kMany = 100'000;
  const auto body = [](std::vector<Future<std::size_t>> both) -> Coro<std::size_t> {
    auto completed = as_completed(std::move(both));
    EXPECT_EQ(completed.left(), kMany);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < kMany; ++i) {
      const std::size_t value = co_await completed.next_result();
      if (value != kMany - 1 - i) ++wrong;
    }
    EXPECT_EQ(completed.left(), 0u);
    co_return wrong;
  };
  std::vector<Future<std::size_t>> futures;
  for (std::size_t i = 0; i < kMany; ++i) futures.emplace_back(loop());
  std::vector<Future<std::size_t>> both = futures;
  both.insert(both.end(), futures.begin(), futures.end());
  const Task<std::size_t> task = start(body(std::move(both)));
  tick(1);
  for (std::size_t i = kMany; i-- > 0;) futures[i].set_result(i);
  EXPECT_EQ(loop().run_until_complete(task), 0u);
}

TEST_P(Completed, AResultMayBeAwaitedLaterThanItsFutureEnds) {
  const auto body = []() -> Coro<> {
    std::vector<Task<int>> tasks;
    for (int i = 0; i < 4; ++i) tasks.push_back(create_task(value_after(0s, i)));
    auto completed = as_completed(tasks);
    co_await turns(5);
    for (int i = 0; i < 4; ++i) EXPECT_EQ(co_await completed.next_result(), i);
  };
  run(body());
}

}  // namespace
}  // namespace ferry::test
