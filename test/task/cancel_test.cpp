// Cancellation of tasks: where it is delivered, and what becomes of it.

#include "task_fixture.h"

#include <ferry/event.h>

namespace ferry::test {
namespace {

class Cancelling : public TaskTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, Cancelling, ::testing::ValuesIn(kWorlds), world_name);

TEST_P(Cancelling, C0120_BeforeTheFirstStepTheBodyNeverRunsAndItsArgumentsDie) {
  const auto body = [](Alive, bool* ran) -> Coro<> {
    *ran = true;
    co_return;
  };
  int alive = 0;
  bool ran = false;
  const Task<> task = start(body(Alive(alive), &ran));
  EXPECT_EQ(alive, 1);
  EXPECT_TRUE(task.cancel());
  EXPECT_FALSE(task.cancelled());
  tick(1);
  EXPECT_TRUE(task.cancelled());
  EXPECT_FALSE(ran);
  EXPECT_EQ(alive, 0);
}

TEST_P(Cancelling, C0121_TheMessageReachesTheAwaiter) {
  const auto awaiter = [](Task<> task) -> Coro<std::string> {
    try {
      co_await task;
    } catch (const CancelledError& cancelled) {
      co_return cancelled.message();
    }
    co_return "not cancelled";
  };
  for (const int turns_before : {0, 1, 2}) {
    const Task<> task = start(nap(1s));
    tick(turns_before);
    const Task<std::string> waits = start(awaiter(task));
    tick(turns_before);
    task.cancel("the message");
    finish(waits);
    EXPECT_EQ(waits.result(), "the message");
    EXPECT_EQ(cancel_message(task), "the message");
  }
}

TEST_P(Cancelling, OfTwoRequestsForOneWaitTheFirstGivesTheMessage) {
  const auto three_waits = [](Event* event, Future<int> future) -> Coro<std::string> {
    std::string messages;
    for (int wait = 0; wait < 3; ++wait) {
      try {
        if (wait == 0) co_await sleep(1h);
        if (wait == 1) co_await event->wait();
        if (wait == 2) co_await future;
      } catch (const CancelledError& cancelled) {
        messages += cancelled.message() + ";";
      }
    }
    co_await sleep(0s);
    co_return messages;
  };
  Event event;
  const Future<int> future(loop());
  const Task<std::string> task = start(three_waits(&event, future));
  tick();
  for (const std::string wait : {"1", "2", "3"}) {
    EXPECT_TRUE(task.cancel("first " + wait));
    EXPECT_TRUE(task.cancel("second " + wait));
    tick();
  }
  finish(task);
  EXPECT_EQ(task.result(), "first 1;first 2;first 3;");
  EXPECT_EQ(task.cancelling(), 6);
}

TEST_P(Cancelling, C0122_WhileItAwaitsAFutureThatIsCancelledAtOnceAndTheTaskATurnLater) {
  const Future<int> future(loop());
  const Task<int> task = start(await_future(future));
  tick();
  EXPECT_TRUE(task.cancel("x"));
  EXPECT_TRUE(future.cancelled());
  EXPECT_FALSE(task.done());
  tick();
  EXPECT_TRUE(task.cancelled());
  EXPECT_EQ(task.cancelling(), 1);
  EXPECT_EQ(cancel_message(task), "x");
}

TEST_P(Cancelling, C0124_WhileItAwaitsAnotherTaskThatOneIsCancelledFirst) {
  Log log;
  const auto inner = [](Log* l) -> Coro<> {
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      l->push_back("inner");
      throw;
    }
  };
  const auto outer = [](Task<> task, Log* l) -> Coro<> {
    try {
      co_await task;
    } catch (const CancelledError&) {
      l->push_back("outer");
      throw;
    }
  };
  const Task<> in = start(inner(&log));
  const Task<> out = start(outer(in, &log));
  tick();
  EXPECT_TRUE(out.cancel());
  finish(out);
  EXPECT_TRUE(in.cancelled());
  EXPECT_TRUE(out.cancelled());
  EXPECT_EQ(in.cancelling(), 1);
  EXPECT_EQ(log, (Log{"inner", "outer"}));
}

TEST_P(Cancelling, C0125_AFutureCancelledByAThirdPartyCancelsWhoAwaitsIt) {
  const Future<int> future(loop());
  const Task<int> task = start(await_future(future));
  tick();
  future.cancel();
  finish(task);
  EXPECT_TRUE(task.cancelled());
  EXPECT_EQ(task.cancelling(), 0);
}

TEST_P(Cancelling, C0126_TaskAndFutureInTheSameTurnIsOneCancellation) {
  int caught = 0;
  const auto body = [](Future<int> future, int* count) -> Coro<> {
    try {
      co_await future;
    } catch (const CancelledError&) {
      ++*count;
    }
    try {
      co_await sleep(0s);
    } catch (const CancelledError&) {
      ++*count;
    }
  };
  for (const bool task_first : {true, false}) {
    caught = 0;
    const Future<int> future(loop());
    const Task<> task = start(body(future, &caught));
    tick();
    if (task_first) task.cancel();
    future.cancel();
    if (!task_first) task.cancel();
    finish(task);
    EXPECT_EQ(caught, 1);
    EXPECT_FALSE(task.cancelled());
  }
}

TEST_P(Cancelling, C0128_WhoCatchesItGoesOnAwaiting) {
  const auto body = [](Future<int> first, Future<int> second) -> Coro<int> {
    try {
      co_await first;
    } catch (const CancelledError&) {
    }
    co_return co_await second;
  };
  const Future<int> first(loop());
  const Future<int> second(loop());
  const Task<int> task = start(body(first, second));
  tick();
  task.cancel();
  tick();
  EXPECT_FALSE(task.done());
  EXPECT_FALSE(second.done());
  second.set_result(42);
  finish(task);
  EXPECT_EQ(task.result(), 42);
  EXPECT_EQ(task.cancelling(), 1);
}

TEST_P(Cancelling, C0129_ASecondOneInterruptsTheCleaningUp) {
  const auto body = [](Log* log) -> Coro<> {
    bool cancelled = false;
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      cancelled = true;
    }
    if (cancelled) {
      log->push_back("cleaning");
      try {
        co_await sleep(1h);
      } catch (const CancelledError& again) {
        log->push_back(again.message());
        throw;
      }
      log->push_back("clean");
    }
  };
  Log log;
  const Task<> task = start(body(&log));
  tick();
  task.cancel("first");
  tick(2);
  EXPECT_EQ(log, (Log{"cleaning"}));
  task.cancel("second");
  finish(task);
  EXPECT_EQ(log, (Log{"cleaning", "second"}));
  EXPECT_EQ(task.cancelling(), 2);
  EXPECT_EQ(cancel_message(task), "second");
}

TEST_P(Cancelling, TwoBeforeItRunsAgainAreDeliveredOnce) {
  const auto body = [](int* caught) -> Coro<> {
    for (int i = 0; i < 3; ++i) {
      try {
        co_await sleep(1ms);
      } catch (const CancelledError&) {
        ++*caught;
      }
    }
  };
  int caught = 0;
  const Task<> task = start(body(&caught));
  tick();
  EXPECT_TRUE(task.cancel());
  EXPECT_TRUE(task.cancel());
  finish(task);
  EXPECT_EQ(caught, 1);
  EXPECT_EQ(task.cancelling(), 2);
}

TEST_P(Cancelling, C0130_OfItselfComesOutOfTheNextAwaitWhateverItWouldWaitFor) {
  const auto body = [](int kind, Future<int> future, Event* event) -> Coro<> {
    TaskCore::current()->cancel("self");
    switch (kind) {
      case 0:
        co_await sleep(0s);
        break;
      case 1:
        co_await sleep(1h);
        break;
      case 2:
        co_await future;
        break;
      default:
        co_await event->wait();
    }
    ADD_FAILURE() << "it waited";
  };
  for (const int kind : {0, 1, 2, 3}) {
    const Future<int> future(loop());
    Event event;
    const Task<> task = start(body(kind, future, &event));
    tick(3);
    EXPECT_TRUE(task.done());
    EXPECT_EQ(cancel_message(task), "self");
    EXPECT_EQ(loop().stats().timers, 0u);
  }
}

TEST_P(Cancelling, C0132_OfItselfThenAwaitingAFreshTaskCancelsThatAndItsFuture) {
  const auto body = [](Future<int> future, Task<int>* made, bool let_it_start) -> Coro<int> {
    *made = create_task(await_future(future));
    if (let_it_start) co_await sleep(0s);
    TaskCore::current()->cancel();
    co_return co_await *made;
  };
  for (const bool let_it_start : {false, true}) {
    const Future<int> future(loop());
    Task<int> made;
    const Task<int> task = start(body(future, &made, let_it_start));
    finish(task);
    EXPECT_TRUE(task.cancelled());
    EXPECT_TRUE(made.cancelled());
    EXPECT_EQ(future.cancelled(), let_it_start);
  }
}

TEST_P(Cancelling, C0133_WhenTheFutureIsDoneButTheTaskHasNotRunAgainItThrowsAllTheSame) {
  const Future<int> future(loop());
  const Task<int> task = start(await_future(future));
  tick();
  future.set_result(1);
  EXPECT_TRUE(task.cancel("late"));
  finish(task);
  EXPECT_EQ(cancel_message(task), "late");
  EXPECT_EQ(future.result(), 1);
}

TEST_P(Cancelling, C0134_OfADoneTaskIsFalseAndChangesNothing) {
  const Task<int> task = start(value_after(0s, 1));
  finish(task);
  EXPECT_FALSE(task.cancel());
  EXPECT_EQ(task.result(), 1);
  EXPECT_EQ(task.cancelling(), 0);
  const Task<> cancelled = start(nap(0s));
  cancelled.cancel("a");
  finish(cancelled);
  EXPECT_FALSE(cancelled.cancel("b"));
  EXPECT_EQ(cancel_message(cancelled), "a");
}

TEST_P(Cancelling, C0136_TakenBackBeforeItIsDeliveredItIsGone) {
  const Future<int> future(loop());
  const Task<int> task = start(await_future(future));
  tick();
  future.set_result(42);
  task.cancel();
  EXPECT_EQ(task.cancelling(), 1);
  EXPECT_EQ(task.uncancel(), 0);
  finish(task);
  EXPECT_EQ(task.result(), 42);
}

TEST_P(Cancelling, OneOfTwoTakenBackIsStillDelivered) {
  const Future<int> future(loop());
  const Task<int> task = start(await_future(future));
  tick();
  future.set_result(42);
  task.cancel();
  task.cancel();
  EXPECT_EQ(task.uncancel(), 1);
  finish(task);
  EXPECT_TRUE(task.cancelled());
  EXPECT_EQ(task.uncancel(), 0);
  EXPECT_EQ(task.uncancel(), 0);
}

TEST_P(Cancelling, BeforeTheFirstStepTakenBackTheBodyRuns) {
  const Task<int> task = start(value_after(0s, 7));
  task.cancel();
  EXPECT_EQ(task.uncancel(), 0);
  finish(task);
  EXPECT_EQ(task.result(), 7);
}

TEST_P(Cancelling, C0137_UncancelAfterTheEndHasNoEffect) {
  const Task<> task = start(nap(1s));
  task.cancel();
  finish(task);
  EXPECT_EQ(task.uncancel(), 0);
  EXPECT_TRUE(task.cancelled());
}

TEST_P(Cancelling, C0138_AScopeThatCancelsAndTakesBackLeavesNoTrace) {
  const auto scope = [](EventLoop* loop) -> Coro<std::string> {
    TaskCore* const task = TaskCore::current();
    TimerHandle timer = loop->call_later(1ms, [task] { task->cancel(); });
    std::string result = "finished";
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      result = task->uncancel() == 0 ? "timed out" : "cancelled";
    }
    timer.cancel();
    co_await sleep(0s);
    EXPECT_EQ(task->cancelling(), 0);
    co_return result;
  };
  const Task<std::string> task = start(scope(&loop()));
  finish(task);
  EXPECT_EQ(task.result(), "timed out");
}

TEST_P(Cancelling, C0140_AnExitThrownWhileCancelledLeavesTheLoopAndIsTheTasksException) {
  const auto body = []() -> Coro<> {
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      throw LoopExit{5};
    }
  };
  const Task<> task = start(body());
  tick();
  task.cancel();
  bool exited = false;
  try {
    for (int i = 0; i < 3; ++i) tick();
  } catch (const LoopExit& exit) {
    exited = exit.code == 5;
  }
  EXPECT_TRUE(exited);
  ASSERT_TRUE(task.done());
  EXPECT_THROW(task.result(), LoopExit);
  EXPECT_EQ(loop().stats().tasks, 0u);
  tick();
}

TEST_P(Cancelling, InTheStepThatReturnsTheValueIsLost) {
  const auto body = []() -> Coro<int> {
    co_await sleep(0s);
    TaskCore::current()->cancel("at the end");
    co_return 1;
  };
  const Task<int> task = start(body());
  finish(task);
  EXPECT_EQ(cancel_message(task), "at the end");
}

TEST_P(Cancelling, InTheStepThatThrowsTheExceptionIsKept) {
  const auto body = []() -> Coro<int> {
    co_await sleep(0s);
    TaskCore::current()->cancel();
    throw TestError("kept");
  };
  const Task<int> task = start(body());
  finish(task);
  EXPECT_EQ(failure_text(task), "kept");
}

TEST_P(Cancelling, ACancelledErrorThatEscapesMakesTheTaskCancelledWithoutARequest) {
  const auto body = []() -> Coro<int> {
    co_await sleep(0s);
    throw CancelledError("own");
  };
  const Task<int> task = start(body());
  finish(task);
  EXPECT_EQ(cancel_message(task), "own");
  EXPECT_EQ(task.cancelling(), 0);
}

TEST_P(Cancelling, ItReachesTheInnermostOfAChainOfCalls) {
  struct Bodies {
    static Coro<> down(int depth, Log* log) {
      try {
        if (depth == 0) {
          co_await sleep(1h);
        } else {
          co_await down(depth - 1, log);
        }
      } catch (const CancelledError&) {
        log->push_back(std::to_string(depth));
        throw;
      }
    }
  };
  Log log;
  const Task<> task = start(Bodies::down(3, &log));
  tick();
  task.cancel();
  finish(task);
  EXPECT_EQ(log, (Log{"0", "1", "2", "3"}));
  EXPECT_TRUE(task.cancelled());
}

TEST_P(Cancelling, TwoTasksThatAwaitEachOtherAreBothCancelled) {
  const auto body = [](const Task<>* other) -> Coro<> { co_await *other; };
  Task<> a;
  Task<> b;
  a = start(body(&b));
  b = start(body(&a));
  tick();
  EXPECT_TRUE(a.cancel());
  finish(a);
  finish(b);
  EXPECT_TRUE(a.cancelled());
  EXPECT_TRUE(b.cancelled());
}

}  // namespace
}  // namespace ferry::test
