// TaskGroup: what fails in it, and what comes out.

#include "task_fixture.h"

#include <ferry/task_group.h>

#include <algorithm>

namespace ferry::test {
namespace {

class GroupErrors : public TaskTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, GroupErrors, ::testing::ValuesIn(kWorlds), world_name);

/// What the group holds, groups inside in brackets.
std::string text(const ExceptionGroup& group) {
  std::string result = "{";
  for (const std::exception_ptr& each : group.exceptions()) {
    if (result.size() > 1) result += ",";
    try {
      std::rethrow_exception(each);
    } catch (const ExceptionGroup& inner) {
      result += text(inner);
    } catch (const std::exception& e) {
      result += e.what();
    } catch (...) {
      result += "?";
    }
  }
  return result + "}";
}

/// Runs `work`, and says how it ended and how many cancellations are left.
Coro<std::string> outcome_of(Coro<> work) {
  std::string result = "ended";
  try {
    co_await std::move(work);
  } catch (const ExceptionGroup& group) {
    result = text(group);
  } catch (const CancelledError&) {
    result = "cancelled";
  } catch (const LoopExit& exit) {
    result = "exit " + std::to_string(exit.code);
  }
  result += " " + std::to_string(current_task()->cancelling());
  try {
    co_await sleep(0s);  // the task is still good for something
  } catch (const CancelledError&) {
    result += " cancelled again";
  }
  co_return result;
}

Coro<> wait_for_ever(Log* log, std::string name) {
  try {
    co_await sleep(1h);
  } catch (const CancelledError&) {
    log->push_back(name);
    throw;
  }
}

/// Throws in its cleaning up.
Coro<> fail_when_cancelled(std::string what) {
  try {
    co_await sleep(1h);
  } catch (const CancelledError&) {
    throw TestError(what);
  }
}

TEST_P(GroupErrors, C0204_SeveralFailuresOfOneTurnAreAllThere) {
  const auto body = [](TaskGroup& group) -> Coro<> {
    for (int i = 0; i < 3; ++i) group.create_task(fail_after(0s, "e"));
    co_return;
  };
  EXPECT_EQ(run(outcome_of(task_group(body))), "{e,e,e} 0");
}

TEST_P(GroupErrors, C0205_AFailureCancelsTheBodyAndTheRest) {
  const auto body = [](TaskGroup& group, Log* log) -> Coro<> {
    group.create_task(wait_for_ever(log, "task"));
    group.create_task(fail_after(1ms, "e"));
    co_await wait_for_ever(log, "body");
  };
  Log log;
  EXPECT_EQ(run(outcome_of(task_group(body, &log))), "{e} 0");
  std::sort(log.begin(), log.end());
  EXPECT_EQ(log, (Log{"body", "task"}));
}

TEST_P(GroupErrors, AFailureWhileTheGroupWaits) {
  const auto body = [](TaskGroup& group, Log* log) -> Coro<> {
    group.create_task(wait_for_ever(log, "task"));
    group.create_task(fail_after(1ms, "e"));
    co_return;
  };
  Log log;
  EXPECT_EQ(run(outcome_of(task_group(body, &log))), "{e} 0");
  EXPECT_EQ(log, (Log{"task"}));
}

TEST_P(GroupErrors, C0208_FailuresInTheCleaningUpAfterACancellation) {
  const auto body = [](TaskGroup& group) -> Coro<> {
    for (int i = 0; i < 5; ++i) group.create_task(fail_when_cancelled("e"));
    co_return;
  };
  const Task<std::string> runner = start(outcome_of(task_group(body)));
  tick(3);
  runner.cancel();
  finish(runner);
  // The cancellation from outside is not lost: it comes out of the next wait.
  EXPECT_EQ(runner.result(), "{e,e,e,e,e} 1 cancelled again");
}

TEST_P(GroupErrors, C0209_TheBodyFails) {
  const auto body = [](TaskGroup& group, Log* log) -> Coro<> {
    group.create_task(wait_for_ever(log, "1"));
    group.create_task(wait_for_ever(log, "2"));
    co_await sleep(1ms);
    throw TestError("b");
  };
  Log log;
  EXPECT_EQ(run(outcome_of(task_group(body, &log))), "{b} 0");
  EXPECT_EQ(log, (Log{"1", "2"}));
}

TEST_P(GroupErrors, C0210_TheBodyFailsBeforeTheTasksBegin) {
  const auto child = [](Alive, bool* ran) -> Coro<> {
    *ran = true;
    co_return;
  };
  const auto body = [](TaskGroup& group, auto make, int* alive, bool* ran) -> Coro<> {
    group.create_task(make(Alive(*alive), ran));
    group.create_task(make(Alive(*alive), ran));
    throw TestError("b");
    co_return;
  };
  int alive = 0;
  bool ran = false;
  EXPECT_EQ(run(outcome_of(task_group(body, child, &alive, &ran))), "{b} 0");
  EXPECT_FALSE(ran);
  EXPECT_EQ(alive, 0);
}

TEST_P(GroupErrors, C0212_NestedAFailureOutsideEndsTheInnerOneQuietly) {
  const auto inner = [](TaskGroup& group, Log* log) -> Coro<> {
    group.create_task(wait_for_ever(log, "inner task"));
    co_return;
  };
  const auto outer = [](TaskGroup& group, auto in, Log* log) -> Coro<> {
    group.create_task(fail_after(1ms, "e"));
    co_await task_group(in, log);
    log->push_back("not reached");
  };
  Log log;
  EXPECT_EQ(run(outcome_of(task_group(outer, inner, &log))), "{e} 0");
  EXPECT_EQ(log, (Log{"inner task"}));
}

TEST_P(GroupErrors, C0213_NestedAFailureInside) {
  const auto inner = [](TaskGroup& group) -> Coro<> {
    group.create_task(fail_after(1ms, "e"));
    co_return;
  };
  const auto outer = [](TaskGroup& group, auto in, Log* log) -> Coro<> {
    group.create_task(wait_for_ever(log, "outer task"));
    co_await task_group(in);
  };
  Log log;
  EXPECT_EQ(run(outcome_of(task_group(outer, inner, &log))), "{{e}} 0");
  EXPECT_EQ(log, (Log{"outer task"}));
}

/// When cancelled, takes its time.
Coro<> clean_up_slowly(Duration time) {
  bool cancelled = false;
  try {
    co_await sleep(1h);
  } catch (const CancelledError&) {
    cancelled = true;
  }
  co_await sleep(time);
  if (cancelled) throw CancelledError();
}

TEST_P(GroupErrors, C0216_TheBodyFailsInItsCleaningUp) {
  const auto body = [](TaskGroup& group) -> Coro<> {
    group.create_task(fail_after(1ms, "e"));
    co_await fail_when_cancelled("m");
  };
  EXPECT_EQ(run(outcome_of(task_group(body))), "{e,m} 0");
}

TEST_P(GroupErrors, C0217_AnExitInTheBodyComesAloneAndTheRestIsReported) {
  const auto body = [](TaskGroup& group) -> Coro<> {
    group.create_task(fail_after(0s, "e"));
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      throw LoopExit{4};
    }
  };
  EXPECT_EQ(run(outcome_of(task_group(body))), "exit 4 0");
  const auto reports = take_exceptions();
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_NE(reports[0].to_string().find("e"), std::string::npos);
}

TEST_P(GroupErrors, C0222_OutsideOfATaskThereIsNoGroup) {
  TaskGroup group;
  int alive = 0;
  const auto child = [](Alive) -> Coro<> { co_return; };
  const Coro<> work = group.run(child(Alive(alive)));
  // Driven by hand, as no task would.
  work.handle().resume();
  const std::exception_ptr failure = work.handle().promise().take_exception();
  ASSERT_TRUE(failure);
  try {
    std::rethrow_exception(failure);
  } catch (const std::logic_error& e) {
    EXPECT_NE(std::string(e.what()).find("parent task"), std::string::npos);
  }
  try {
    static_cast<void>(group.create_task(child(Alive(alive))));
    ADD_FAILURE() << "it took the task";
  } catch (const std::logic_error& e) {
    EXPECT_NE(std::string(e.what()).find("not been entered"), std::string::npos);
  }
}

TEST_P(GroupErrors, C0225_AfterAGroupErrorNoCancellationIsLeft) {
  const auto body = [](TaskGroup& group) -> Coro<> {
    group.create_task(fail_after(0s, "e"));
    co_await sleep(1h);
  };
  for (int i = 0; i < 3; ++i) EXPECT_EQ(run(outcome_of(task_group(body))), "{e} 0");
}

TEST_P(GroupErrors, C0226_NestedGroupsThatAreCancelledAtOnce) {
  const auto inner = [](TaskGroup& group) -> Coro<> {
    group.create_task(fail_after(0s, "r"));
    co_await sleep(1h);
  };
  const auto outer = [](TaskGroup& group, auto in, Log* log) -> Coro<> {
    group.create_task(fail_after(0s, "v"));
    try {
      co_await task_group(in);
    } catch (const ExceptionGroup& failures) {
      log->push_back(text(failures) + std::to_string(current_task()->cancelling()));
    }
    co_await sleep(1h);
  };
  Log log;
  EXPECT_EQ(run(outcome_of(task_group(outer, inner, &log))), "{v} 0");
  EXPECT_EQ(log, (Log{"{r}1"}));
}

TEST_P(GroupErrors, C0228_AScopeInTheBodyThatThrowsAtItsEnd) {
  const auto body = [](TaskGroup& group) -> Coro<> {
    group.create_task(fail_after(0s, "c"));
    std::exception_ptr failure;
    try {
      co_await sleep(1h);
    } catch (...) {
      failure = std::current_exception();
    }
    throw TestError("c");
  };
  EXPECT_EQ(run(outcome_of(task_group(body))), "{c,c} 0");
}

TEST_P(GroupErrors, TheGroupCanBeSearchedAndSplit) {
  const auto inner = [](TaskGroup& group) -> Coro<> {
    group.create_task(fail_after(0s, "deep"));
    co_return;
  };
  const auto other = []() -> Coro<> {
    co_await sleep(0s);
    throw std::out_of_range("other");
  };
  const auto body = [](TaskGroup& group, auto in, auto o) -> Coro<> {
    group.create_task(o());
    co_await task_group(in);
  };
  try {
    run(task_group(body, inner, other));
    ADD_FAILURE() << "it did not fail";
  } catch (const ExceptionGroup& group) {
    Log found;
    const std::size_t count =
        group.for_each<TestError>([&](const TestError& e) { found.push_back(e.what()); });
    EXPECT_EQ(count, 1u);
    EXPECT_EQ(found, (Log{"deep"}));
    const auto [tests, rest] = group.split<TestError>();
    EXPECT_EQ(tests.size(), 1u);
    EXPECT_EQ(rest.size(), 1u);
    EXPECT_NE(std::string(group.what()).find("(2 exceptions)"), std::string::npos);
  }
}

class GroupErrorsInTime : public SimTaskTest {};

TEST_F(GroupErrorsInTime, C0214_ATaskFailsWhileTheCancelledBodyCleansUp) {
  const auto body = [](TaskGroup& group) -> Coro<> {
    group.create_task(fail_after(300ms, "e"));
    co_await clean_up_slowly(500ms);
  };
  const auto nested = [](auto b) -> Coro<> { co_await create_task(task_group(b)); };
  for (const bool nest : {false, true}) {
    const Task<> runner = start(nest ? nested(body) : task_group(body));
    run_for(100ms);
    runner.cancel();
    finish(runner);
    EXPECT_TRUE(failure_text(runner).find("TaskGroup") != std::string::npos) << nest;
  }
}

}  // namespace
}  // namespace ferry::test
