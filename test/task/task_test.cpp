// Task: a coroutine that the loop runs beside others.

#include "task_fixture.h"

#include <algorithm>
#include <set>

namespace ferry::test {
namespace {

class Tasks : public TaskTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, Tasks, ::testing::ValuesIn(kWorlds), world_name);

Coro<> note(Log* log, std::string what) {
  log->push_back(std::move(what));
  co_return;
}

TEST_P(Tasks, C0116_TheyStartInTheOrderOfCreationAndNotInside) {
  Log log;
  const Task<> a = start(note(&log, "a"));
  const Task<> b = start(note(&log, "b"));
  const Task<> c = start(note(&log, "c"));
  EXPECT_TRUE(log.empty());
  tick(1);
  EXPECT_EQ(log, (Log{"a", "b", "c"}));
  EXPECT_TRUE(a.done() && b.done() && c.done());
}

TEST_P(Tasks, ItsResultIsThatOfTheCoroutine) {
  const Task<std::string> task = start(value_after(1ms, std::string("value")));
  EXPECT_FALSE(task.done());
  EXPECT_THROW(static_cast<void>(task.result()), InvalidStateError);
  finish(task);
  EXPECT_EQ(task.result(), "value");
  EXPECT_FALSE(task.cancelled());
  EXPECT_EQ(task.exception(), nullptr);
}

TEST_P(Tasks, ItRunsWhenTheHandleIsDropped) {
  Log log;
  const auto body = [](Log* l) -> Coro<> {
    co_await sleep(1ms);
    l->push_back("ran");
  };
  static_cast<void>(start(body(&log)));
  EXPECT_EQ(loop().stats().tasks, 1u);
  run_until([&log] { return !log.empty(); });
  EXPECT_EQ(loop().stats().tasks, 0u);
  EXPECT_EQ(loop().stats().futures, 0u);
}

TEST_P(Tasks, AFailureThatNobodyLooksAtIsReported) {
  static_cast<void>(start(fail_after(0s, "nobody looks")));
  tick(4);
  const auto reports = take_exceptions();
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_NE(reports[0].to_string().find("nobody looks"), std::string::npos);
}

TEST_P(Tasks, ACancellationThatNobodyLooksAtIsNot) {
  start(nap(1s)).cancel();
  tick(3);
  EXPECT_EQ(loop().stats().tasks, 0u);
}

TEST_P(Tasks, C0152_AwaitingAFailedTaskTwiceGivesTheSameException) {
  const auto body = [](Task<> failed, Log* log) -> Coro<> {
    const std::exception* first = nullptr;
    try {
      co_await failed;
    } catch (const TestError& e) {
      first = &e;
      log->push_back(e.what());
    }
    try {
      co_await failed;
    } catch (const TestError& e) {
      EXPECT_EQ(&e, first);
      log->push_back(e.what());
    }
  };
  Log log;
  run(body(start(fail_after(1ms, "once")), &log));
  EXPECT_EQ(log, (Log{"once", "once"}));
}

TEST_P(Tasks, ManyMayAwaitOne) {
  const auto body = [](Task<std::string> task, Log* log) -> Coro<> {
    const std::string& value = co_await task;
    log->push_back(value);
  };
  Log log;
  const Task<std::string> task = start(value_after(1ms, std::string("shared")));
  std::vector<Task<>> waiting;
  for (int i = 0; i < 5; ++i) waiting.push_back(start(body(task, &log)));
  for (const Task<>& each : waiting) finish(each);
  EXPECT_EQ(log, Log(5, "shared"));
}

TEST_P(Tasks, AMoveOnlyResultIsMovedOutOfATemporary) {
  const auto body = []() -> Coro<int> {
    std::unique_ptr<int> box = co_await create_task(value_after(0s, std::make_unique<int>(3)));
    Task<std::unique_ptr<int>> task = create_task(value_after(0s, std::make_unique<int>(4)));
    const std::unique_ptr<int>& kept = co_await task;
    EXPECT_EQ(kept, task.result());
    std::unique_ptr<int> taken = co_await std::move(task);
    co_return *box * 10 + *taken;
  };
  EXPECT_EQ(run(body()), 34);
}

TEST_P(Tasks, DoneCallbacksAreCalledByTheLoopInOrder) {
  Log log;
  const Task<int> task = start(value_after(0s, 5));
  task.add_done_callback(
      [&log](const Future<int>& done) { log.push_back(std::to_string(done.result())); });
  const auto id = task.add_done_callback([&log] { log.push_back("removed"); });
  task.add_done_callback([&log] { log.push_back("last"); });
  EXPECT_EQ(task.remove_done_callback(id), 1u);
  finish(task);
  tick();
  EXPECT_EQ(log, (Log{"5", "last"}));
}

TEST_P(Tasks, C0144_NamesAreUniqueAndCanBeSet) {
  std::vector<Task<>> tasks;
  std::set<std::string> names;
  for (int i = 0; i < 10; ++i) {
    tasks.push_back(start(nap(0s)));
    names.insert(tasks.back().name());
    EXPECT_EQ(tasks.back().name().find("Task-"), 0u);
  }
  EXPECT_EQ(names.size(), 10u);
  tasks[0].set_name("worker");
  EXPECT_EQ(tasks[0].name(), "worker");
  const Task<> named = start(nap(0s), {.name = "given"});
  EXPECT_EQ(named.name(), "given");
  for (const Task<>& each : tasks) finish(each);
  finish(named);
  EXPECT_EQ(named.name(), "given");
}

TEST_P(Tasks, C0145_CurrentTaskIsTheOneThatRuns) {
  const auto body = [](std::string name, Log* log) -> Coro<> {
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(current_task()->name(), name);
      log->push_back(name);
      co_await sleep(0s);
    }
  };
  Log log;
  const Task<> a = start(body("a", &log), {.name = "a"});
  const Task<> b = start(body("b", &log), {.name = "b"});
  bool outside = false;
  loop().call_soon([&outside] { outside = current_task() == nullptr; });
  finish(a);
  finish(b);
  EXPECT_EQ(log, (Log{"a", "b", "a", "b", "a", "b"}));
  EXPECT_TRUE(outside);
  EXPECT_THROW(current_task(), std::logic_error);
}

TEST_P(Tasks, C0146_AllTasksAreThoseThatAreNotDoneOfTheirLoop) {
  const Task<> first = start(turns(1), {.name = "first"});
  const Task<> second = start(nap(1s), {.name = "second"});
  const auto names = [this] {
    Log found;
    for (const TaskCore* task : all_tasks(loop())) found.push_back(task->name());
    return found;
  };
  EXPECT_EQ(names(), (Log{"first", "second"}));
  tick(3);
  EXPECT_TRUE(first.done());
  EXPECT_EQ(names(), (Log{"second"}));
  EXPECT_EQ(loop().stats().tasks, 1u);
  EventLoop other(make_kernel(world()));
  EXPECT_TRUE(all_tasks(other).empty());
  second.cancel();
  tick(3);
  EXPECT_EQ(names(), Log());
  EXPECT_THROW(all_tasks(), std::logic_error);
}

TEST_P(Tasks, C0148_OneThatCannotBeScheduledLeavesNothingBehind) {
  EventLoop closed(make_kernel(world()));
  closed.close();
  int alive = 0;
  const auto body = [](Alive) -> Coro<> { co_return; };
  EXPECT_THROW(static_cast<void>(create_task(closed, body(Alive(alive)))), std::logic_error);
  EXPECT_EQ(alive, 0);
  EXPECT_TRUE(all_tasks(closed).empty());
  EXPECT_THROW(static_cast<void>(create_task(body(Alive(alive)))), std::logic_error);
  EXPECT_EQ(alive, 0);
  EXPECT_THROW(static_cast<void>(create_task(loop(), Coro<>())), std::invalid_argument);
  EXPECT_TRUE(all_tasks(loop()).empty());
}

TEST_P(Tasks, C0141_AwaitingAFutureOfAnotherLoopThrowsAtThatPoint) {
  EventLoop other(make_kernel(world()));
  const auto body = [](Future<int> foreign) -> Coro<std::string> {
    std::string result = "waited";
    try {
      co_await foreign;
    } catch (const std::logic_error&) {
      result = "refused";
    }
    co_await sleep(0s);
    co_return result;
  };
  const Future<int> foreign(other);
  EXPECT_EQ(run(body(foreign)), "refused");
  EXPECT_FALSE(foreign.done());
}

TEST_P(Tasks, C0142_ATaskCannotAwaitItself) {
  const auto body = [](Task<std::string>* self) -> Coro<std::string> {
    try {
      co_await *self;
    } catch (const std::logic_error&) {
      co_return "refused";
    }
    co_return "waited";
  };
  Task<std::string> task;
  task = start(body(&task));
  finish(task);
  EXPECT_EQ(task.result(), "refused");
  task = {};
}

TEST_P(Tasks, C0112_EnsureFutureTakesFuturesAsTheyAreAndMakesTasksOfCoroutines) {
  const auto body = [](Future<int> future) -> Coro<int> {
    const Future<int> same = ensure_future(future);
    EXPECT_TRUE(same == future);
    const Task<int> task = create_task(value_after(0s, 1));
    EXPECT_TRUE(ensure_future(task) == task);
    const Task<int> made = ensure_future(value_after(0s, 2));
    const int a = co_await task;
    const int b = co_await made;
    co_return a + b;
  };
  const Future<int> future(loop());
  EXPECT_EQ(run(body(future)), 3);
}

TEST_P(Tasks, C0108_AwaitingADoneFutureDoesNotYield) {
  const auto body = [](EventLoop* loop, Future<int> ready) -> Coro<> {
    bool other = false;
    loop->call_soon([&other] { other = true; });
    EXPECT_EQ(co_await ready, 3);
    const Task<int> task = create_task(value_after(0s, 1), {.eager = false});
    EXPECT_FALSE(other);
    co_await task;
    EXPECT_TRUE(other);
    bool another = false;
    loop->call_soon([&another] { another = true; });
    EXPECT_EQ(co_await task, 1);
    EXPECT_FALSE(another);
    co_await sleep(0s);
    EXPECT_TRUE(another);
  };
  const Future<int> ready(loop());
  ready.set_result(3);
  run(body(&loop(), ready));
}

TEST_P(Tasks, C0101_TheAwaiterOfACancelledFutureSeesItsMessage) {
  const auto body = [](Future<int> future) -> Coro<std::string> {
    try {
      co_await future;
    } catch (const CancelledError& cancelled) {
      co_return cancelled.message();
    }
    co_return "not cancelled";
  };
  for (const std::string message : {"", "because"}) {
    const Future<int> future(loop());
    const Task<std::string> task = start(body(future));
    tick();
    future.cancel(message);
    finish(task);
    EXPECT_EQ(task.result(), message);
  }
}

TEST_P(Tasks, RunUntilCompleteOfACoroutineThatExitsGivesTheExitAndNoReport) {
  const auto body = []() -> Coro<> {
    co_await sleep(0s);
    throw LoopExit{3};
  };
  try {
    run(body());
    ADD_FAILURE() << "it returned";
  } catch (const LoopExit& exit) {
    EXPECT_EQ(exit.code, 3);
  }
  tick();
  EXPECT_TRUE(take_exceptions().empty());
}

TEST_P(Tasks, ResumptionsOfManyTasksInterleaveInTurn) {
  const auto body = [](int number, Log* log) -> Coro<> {
    for (int i = 0; i < 3; ++i) {
      log->push_back(std::to_string(number));
      co_await sleep(0s);
    }
  };
  Log log;
  std::vector<Task<>> tasks;
  for (int i = 0; i < 3; ++i) tasks.push_back(start(body(i, &log)));
  for (const Task<>& each : tasks) finish(each);
  EXPECT_EQ(log, (Log{"0", "1", "2", "0", "1", "2", "0", "1", "2"}));
}

}  // namespace
}  // namespace ferry::test
