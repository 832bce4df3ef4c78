// TaskGroup: how it ends.

#include "task_fixture.h"

#include <ferry/task_group.h>

namespace ferry::test {
namespace {

class Groups : public TaskTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, Groups, ::testing::ValuesIn(kWorlds), world_name);

/// Sleeps for ever, notes its cancellation.
Coro<> wait_for_ever(Log* log, std::string name) {
  try {
    co_await sleep(1h);
  } catch (const CancelledError&) {
    log->push_back(name);
    throw;
  }
}

TEST_P(Groups, C0201_ItEndsWhenAllHaveEnded) {
  const auto body = [](TaskGroup& group, std::vector<Task<int>>* tasks) -> Coro<> {
    tasks->push_back(group.create_task(value_after(2ms, 42)));
    co_await sleep(3ms);
    tasks->push_back(group.create_task(value_after(4ms, 11)));
  };
  std::vector<Task<int>> tasks;
  run(task_group(body, &tasks));
  EXPECT_EQ(tasks.at(0).result(), 42);
  EXPECT_EQ(tasks.at(1).result(), 11);
}

TEST_P(Groups, TheValueOfTheBodyIsThatOfTheGroup) {
  const auto body = [](TaskGroup& group, int factor) -> Coro<std::unique_ptr<int>> {
    const Task<int> task = group.create_task(value_after(1ms, 6));
    co_return std::make_unique<int>(factor * co_await task);
  };
  EXPECT_EQ(*run(task_group(body, 7)), 42);
}

TEST_P(Groups, AnEmptyOneEndsWithItsBody) {
  const auto body = [](TaskGroup& group) -> Coro<> {
    EXPECT_EQ(group.size(), 0u);
    co_return;
  };
  run(task_group(body));
}

TEST_P(Groups, TasksMayAddTasksWhileTheGroupWaits) {
  struct Bodies {
    static Coro<> child(TaskGroup* group, int depth, Log* log) {
      co_await sleep(0s);
      log->push_back(std::to_string(depth));
      if (depth > 0) group->create_task(child(group, depth - 1, log));
    }
    static Coro<> body(TaskGroup& group, Log* log) {
      group.create_task(child(&group, 3, log));
      co_return;
    }
  };
  Log log;
  run(task_group(Bodies::body, &log));
  EXPECT_EQ(log, (Log{"3", "2", "1", "0"}));
}

TEST_P(Groups, C0202_ATaskThatIsCancelledIsNoFailure) {
  const auto body = [](TaskGroup& group, Task<int>* second) -> Coro<Task<>> {
    const Task<> first = group.create_task(nap(1h));
    co_await sleep(1ms);
    first.cancel();
    *second = group.create_task(value_after(1ms, 11));
    co_return first;
  };
  Task<int> second;
  const Task<> first = run(task_group(body, &second));
  EXPECT_TRUE(first.cancelled());
  EXPECT_EQ(second.result(), 11);
}

TEST_P(Groups, C0206_CancelledWhileItWaitsItCancelsAllTasks) {
  const auto body = [](TaskGroup& group, Log* log) -> Coro<> {
    for (int i = 0; i < 5; ++i) group.create_task(wait_for_ever(log, std::to_string(i)));
    co_return;
  };
  Log log;
  const Task<> runner = start(task_group(body, &log));
  tick(3);
  EXPECT_FALSE(runner.done());
  runner.cancel("outside");
  finish(runner);
  EXPECT_EQ(cancel_message(runner), "outside");
  EXPECT_EQ(log, (Log{"0", "1", "2", "3", "4"}));
}

TEST_P(Groups, C0218_AnEmptyOneCancelledInItsBodyIsCancelled) {
  const auto body = [](TaskGroup&, Log* log) -> Coro<> { co_await wait_for_ever(log, "body"); };
  Log log;
  const Task<> runner = start(task_group(body, &log));
  tick(2);
  runner.cancel();
  finish(runner);
  EXPECT_TRUE(runner.cancelled());
  EXPECT_EQ(log, (Log{"body"}));
}

TEST_P(Groups, C0220_NoTasksOutsideOfItsTime) {
  int alive = 0;
  const auto unused = [](Alive) -> Coro<> { co_return; };
  TaskGroup group;
  const auto refused = [&](const char* word) {
    try {
      static_cast<void>(group.create_task(unused(Alive(alive))));
      ADD_FAILURE() << "it took the task";
    } catch (const std::logic_error& e) {
      EXPECT_NE(std::string(e.what()).find(word), std::string::npos) << e.what();
    }
    EXPECT_EQ(alive, 0);
  };
  refused("not been entered");
  run(group.run(nap(0s)));
  refused("finished");
}

TEST_P(Groups, C0220_NoTasksAfterAFailure) {
  const auto late = [](TaskGroup* group, int* alive, Log* log) -> Coro<> {
    const auto unused = [](Alive) -> Coro<> { co_return; };
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      try {
        static_cast<void>(group->create_task(unused(Alive(*alive))));
      } catch (const std::logic_error& e) {
        log->push_back(e.what());
      }
      throw;
    }
  };
  const auto body = [](TaskGroup& group, auto make, int* alive, Log* log) -> Coro<> {
    group.create_task(make(&group, alive, log));
    group.create_task(fail_after(0s, "x"));
    co_return;
  };
  int alive = 0;
  Log log;
  EXPECT_THROW(run(task_group(body, late, &alive, &log)), ExceptionGroup);
  ASSERT_EQ(log.size(), 1u);
  EXPECT_NE(log[0].find("shutting down"), std::string::npos) << log[0];
  EXPECT_EQ(alive, 0);
}

TEST_P(Groups, C0221_OneRunOnly) {
  const auto body = [](TaskGroup* group, Log* log) -> Coro<> {
    try {
      co_await group->run(nap(0s));
    } catch (const std::logic_error& e) {
      log->push_back(e.what());
    }
    group->create_task(wait_for_ever(log, "the first use goes on")).cancel();
    co_await sleep(0s);
  };
  Log log;
  TaskGroup group;
  run(group.run(body(&group, &log)));
  ASSERT_EQ(log.size(), 1u);
  EXPECT_NE(log[0].find("already"), std::string::npos);
  EXPECT_THROW(run(group.run(nap(0s))), std::logic_error);
}

TEST_P(Groups, C0224_TasksThatHaveEndedAreDropped) {
  const auto body = [](TaskGroup& group) -> Coro<> {
    for (int i = 0; i < 10; ++i) {
      group.create_task(nap(0s));
      co_await turns(4);
      EXPECT_LT(group.size(), 5u);
    }
    co_await turns(4);
    EXPECT_EQ(group.size(), 0u);
    EXPECT_EQ(all_tasks().size(), 1u);
  };
  run(task_group(body));
}

TEST_P(Groups, C0229_CancelInTheBody) {
  const auto body = [](TaskGroup& group, Log* log) -> Coro<> {
    group.create_task(wait_for_ever(log, "task"));
    co_await turns(2);
    group.cancel();
    group.cancel();
    co_await wait_for_ever(log, "body");
  };
  const auto outer = [](auto b, Log* log) -> Coro<> {
    co_await task_group(b, log);
    EXPECT_EQ(current_task()->cancelling(), 0);
    co_await sleep(0s);
    log->push_back("after");
  };
  Log log;
  run(outer(body, &log));
  EXPECT_EQ(log, (Log{"task", "body", "after"}));
}

TEST_P(Groups, C0229_CancelInATask) {
  const auto canceller = [](TaskGroup* group) -> Coro<> {
    co_await sleep(1ms);
    group->cancel();
  };
  const auto body = [](TaskGroup& group, auto make, bool wait, Log* log) -> Coro<> {
    group.create_task(wait_for_ever(log, "task"));
    group.create_task(make(&group));
    if (wait) co_await sleep(1h);
  };
  const auto outer = [](auto b, auto make, bool wait, Log* log) -> Coro<> {
    co_await task_group(b, make, wait, log);
    EXPECT_EQ(current_task()->cancelling(), 0);
    co_await sleep(0s);
  };
  for (const bool wait : {true, false}) {
    Log log;
    run(outer(body, canceller, wait, &log));
    EXPECT_EQ(log, (Log{"task"}));
  }
}

TEST_P(Groups, C0229_CancelBeforeItBegins) {
  const auto body = [](TaskGroup* group, bool wait, Log* log) -> Coro<> {
    try {
      static_cast<void>(group->create_task(wait_for_ever(log, "task")));
    } catch (const std::logic_error&) {
      log->push_back("refused");
    }
    if (wait) {
      co_await sleep(1h);
      log->push_back("body waited");
    }
  };
  const auto outer = [](auto b, bool wait, Log* log) -> Coro<> {
    TaskGroup group;
    group.cancel();
    co_await group.run(b(&group, wait, log));
    EXPECT_EQ(current_task()->cancelling(), 0);
    co_await sleep(0s);
    log->push_back("after");
  };
  for (const bool wait : {true, false}) {
    Log log;
    const Task<> task = start(outer(body, wait, &log));
    tick(10);
    EXPECT_TRUE(task.done()) << "it waits for a task that nobody stops";
    if (!task.done()) task.cancel();
    finish(task);
    EXPECT_EQ(log.back(), "after");
    EXPECT_EQ(std::count(log.begin(), log.end(), "body waited"), 0);
  }
}

TEST_P(Groups, C0229_CancelAfterTheEndHasNoEffect) {
  const auto outer = []() -> Coro<> {
    TaskGroup group;
    co_await group.run(nap(0s));
    group.cancel();
    EXPECT_EQ(current_task()->cancelling(), 0);
    co_await sleep(0s);
  };
  run(outer());
}

TEST_P(Groups, C0230_ItsCancelDoesNotSwallowOneFromOutside) {
  const auto body = [](TaskGroup& group, TaskGroup** place, bool wait, Log* log) -> Coro<> {
    *place = &group;
    group.create_task(wait_for_ever(log, "task"));
    if (wait) co_await sleep(1h);
  };
  for (const bool wait : {true, false}) {
    for (const bool group_first : {true, false}) {
      Log log;
      TaskGroup* group = nullptr;
      const Task<> runner = start(task_group(body, &group, wait, &log));
      tick(3);
      if (group_first) group->cancel();
      runner.cancel();
      if (!group_first) group->cancel();
      finish(runner);
      EXPECT_TRUE(runner.cancelled()) << wait << group_first;
      EXPECT_EQ(log, (Log{"task"}));
    }
  }
}

TEST_P(Groups, AHundredThousandTasksEnd) {
  const auto body = [](TaskGroup& group, int* ended) -> Coro<> {
    const auto child = [](int* count) -> Coro<> {
      co_await sleep(0s);
      ++*count;
    };
    for (int i = 0; i < 100'000; ++i) group.create_task(child(ended));
    co_return;
  };
  int ended = 0;
  run(task_group(body, &ended));
  EXPECT_EQ(ended, 100'000);
}

}  // namespace
}  // namespace ferry::test
