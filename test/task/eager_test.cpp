// Tasks whose first step is run in place.

#include "task_fixture.h"

#include <ferry/gather.h>
#include <ferry/task_group.h>

namespace ferry::test {
namespace {

class Eager : public TaskTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, Eager, ::testing::ValuesIn(kWorlds), world_name);

constexpr bool kEager = true;

Coro<int> number(int value) {
  co_return value;
}

TEST_P(Eager, C0153_OneThatNeverWaitsIsDoneAtOnceAndItsCallbacksComeLater) {
  const auto body = [](EventLoop* loop) -> Coro<> {
    bool other = false;
    loop->call_soon([&other] { other = true; });
    const Task<int> task = create_task(number(4), {.eager = kEager});
    EXPECT_TRUE(task.done());
    EXPECT_EQ(task.result(), 4);
    bool called = false;
    task.add_done_callback([&called] { called = true; });
    EXPECT_FALSE(called);
    EXPECT_EQ(co_await task, 4);
    EXPECT_FALSE(other);
    co_await sleep(0s);
    EXPECT_TRUE(called);
    EXPECT_TRUE(other);
  };
  run(body(&loop()));
}

TEST_P(Eager, ItsFailureIsKeptForTheAwaiter) {
  const auto failing = []() -> Coro<> {
    throw TestError("at once");
    co_return;
  };
  const auto body = [](auto fail) -> Coro<std::string> {
    const Task<> task = create_task(fail(), {.eager = kEager});
    EXPECT_TRUE(task.done());
    co_return failure_text(task);
  };
  EXPECT_EQ(run(body(failing)), "at once");
}

TEST_P(Eager, C0154_OneThatWaitsGoesOnAsAnOrdinaryTask) {
  const auto child = [](Log* log) -> Coro<int> {
    log->push_back("first");
    co_await sleep(1ms);
    log->push_back("second");
    co_return 5;
  };
  const auto body = [](auto make, Log* log) -> Coro<> {
    const Task<int> task = create_task(make(log), {.eager = kEager});
    log->push_back("created");
    EXPECT_FALSE(task.done());
    EXPECT_EQ(co_await task, 5);
  };
  Log log;
  run(body(child, &log));
  EXPECT_EQ(log, (Log{"first", "created", "second"}));
}

TEST_P(Eager, C0156_OneThatWaitsCanBeCancelledWithAMessage) {
  const auto body = []() -> Coro<std::string> {
    const Task<> task = create_task(nap(1h), {.eager = kEager});
    task.cancel("enough");
    try {
      co_await task;
    } catch (const CancelledError&) {
      // looked at below
    }
    co_return cancel_message(task);
  };
  EXPECT_EQ(run(body()), "enough");
}

TEST_P(Eager, C0157_CurrentTaskIsTheChildAndThenTheParentAgain) {
  const auto child = [](Log* log) -> Coro<> {
    log->push_back(current_task()->name());
    co_await sleep(0s);
    log->push_back(current_task()->name());
  };
  const auto body = [](auto make, Log* log) -> Coro<> {
    const Task<> task = create_task(make(log), {.name = "child", .eager = kEager});
    log->push_back(current_task()->name());
    co_await task;
    log->push_back(current_task()->name());
  };
  Log log;
  const Task<> task = start(body(child, &log), {.name = "parent"});
  finish(task);
  EXPECT_EQ(log, (Log{"child", "parent", "child", "parent"}));
}

TEST_P(Eager, AChildThatWaitsDoesNotMixItsWaitWithItsParents) {
  // The parent is in the middle of a step, and about to wait itself.
  const auto body = [](Log* log) -> Coro<> {
    const Task<> task = create_task(nap(2ms), {.eager = kEager});
    EXPECT_EQ(current_task()->waiting_for(), nullptr);
    co_await sleep(1ms);
    log->push_back(task.done() ? "child first" : "parent first");
    co_await task;
  };
  Log log;
  run(body(&log));
  EXPECT_EQ(log.size(), 1u);
}

TEST_P(Eager, C0158_AllTasksHoldsItWhileItRunsAndWhileItWaits) {
  const auto child = [](bool wait) -> Coro<std::size_t> {
    const std::size_t inside = all_tasks().size();
    if (wait) co_await sleep(0s);
    co_return inside;
  };
  const auto body = [](auto make) -> Coro<> {
    EXPECT_EQ(all_tasks().size(), 1u);
    const Task<std::size_t> at_once = create_task(make(false), {.eager = kEager});
    EXPECT_EQ(at_once.result(), 2u);
    EXPECT_EQ(all_tasks().size(), 1u);
    const Task<std::size_t> later = create_task(make(true), {.eager = kEager});
    EXPECT_EQ(all_tasks().size(), 2u);
    EXPECT_EQ(co_await later, 2u);
    EXPECT_EQ(all_tasks().size(), 1u);
  };
  run(body(child));
}

TEST_P(Eager, C0160_WhenTheLoopDoesNotRunItBeginsLater) {
  bool ran = false;
  const auto body = [](bool* r) -> Coro<> {
    *r = true;
    co_return;
  };
  const Task<> task = start(body(&ran), {.eager = kEager});
  EXPECT_FALSE(ran);
  EXPECT_FALSE(task.done());
  tick(1);
  EXPECT_TRUE(ran);
  EXPECT_TRUE(task.done());
}

Coro<long> tree(int depth) {
  if (depth == 0) co_return 1;
  std::vector<Task<long>> children;
  for (int i = 0; i < 5; ++i) children.push_back(create_task(tree(depth - 1), {.eager = kEager}));
  const std::vector<long> counts = co_await gather(std::move(children));
  long sum = 0;
  for (const long count : counts) sum += count;
  co_return sum;
}

TEST_P(Eager, C0161_ATreeOfGatheringsThatNeverWaitNeedsNoTurn) {
  const auto body = [](EventLoop* loop) -> Coro<long> {
    bool other = false;
    loop->call_soon([&other] { other = true; });
    const long leaves = co_await tree(4);
    EXPECT_FALSE(other);
    co_await sleep(0s);
    co_return leaves;
  };
  EXPECT_EQ(run(body(&loop())), 625);
}

Coro<> group_tree(int depth, int* leaves) {
  if (depth == 0) {
    ++*leaves;
    co_return;
  }
  const auto body = [](TaskGroup& group, int d, int* count) -> Coro<> {
    for (int i = 0; i < 5; ++i) group.create_task(group_tree(d - 1, count), {.eager = kEager});
    co_return;
  };
  co_await task_group(body, depth, leaves);
}

TEST_P(Eager, C0161_SoDoesATreeOfGroupsEachOfWhichEndsInATurn) {
  int leaves = 0;
  run(group_tree(4, &leaves));
  EXPECT_EQ(leaves, 625);
}

TEST_P(Eager, C0164_AChildThatCancelsItsGroupInItsFirstStepIsCancelledItself) {
  const auto child = [](TaskGroup* group, Log* log) -> Coro<> {
    group->cancel();
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      log->push_back("cancelled");
      throw;
    }
  };
  const auto body = [](TaskGroup& group, auto make, Log* log) -> Coro<> {
    group.create_task(make(&group, log), {.eager = kEager});
    co_return;
  };
  Log log;
  run(task_group(body, child, &log));
  EXPECT_EQ(log, (Log{"cancelled"}));
}

TEST_P(Eager, AnExitInTheFirstStepComesOutOfCreateTask) {
  const auto exits = []() -> Coro<> {
    throw LoopExit{2};
    co_return;
  };
  const auto body = [](auto make) -> Coro<int> {
    try {
      static_cast<void>(create_task(make(), {.eager = kEager}));
    } catch (const LoopExit& exit) {
      co_return exit.code;
    }
    co_return 0;
  };
  EXPECT_EQ(run(body(exits)), 2);
  static_cast<void>(take_exceptions());
  EXPECT_EQ(loop().stats().tasks, 0u);
}

}  // namespace
}  // namespace ferry::test
