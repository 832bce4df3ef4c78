// gather: many at once, one result.

#include "task_fixture.h"

#include <ferry/gather.h>

#include <tuple>

namespace ferry::test {
namespace {

class Gather : public TaskTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, Gather, ::testing::ValuesIn(kWorlds), world_name);

/// Sleeps, and notes that it came to its end.
Coro<int> noted(Duration delay, int value, Log* log) {
  co_await sleep(delay);
  log->push_back(std::to_string(value));
  co_return value;
}
Coro<int> noted_failure(Duration delay, std::string what, Log* log) {
  co_await sleep(delay);
  log->push_back(what);
  throw TestError(what);
}

TEST_P(Gather, C0165_ResultsComeInTheOrderOfTheArguments) {
  const auto body = [](Log* log) -> Coro<> {
    const std::tuple<int, int, int> results =
        co_await gather(noted(100ms, 1, log), noted(0ms, 2, log), noted(50ms, 3, log));
    EXPECT_EQ(results, std::make_tuple(1, 2, 3));
  };
  Log log;
  run(body(&log));
  EXPECT_EQ(log, (Log{"2", "3", "1"}));
}

TEST_P(Gather, ItTakesCoroutinesTasksAndFuturesOfDifferentTypes) {
  const auto body = [](Future<std::string> future) -> Coro<> {
    const Task<std::unique_ptr<int>> task = create_task(value_after(1ms, std::make_unique<int>(2)));
    auto gathering = gather(nap(0s), future, task, value_after(0s, 4.5));
    future.set_result("text");
    auto& results = co_await gathering;
    static_assert(std::is_same_v<decltype(results),
                                 std::tuple<Nothing, std::string, std::unique_ptr<int>, double>&>);
    EXPECT_EQ(std::get<1>(results), "text");
    EXPECT_EQ(*std::get<2>(results), 2);
    EXPECT_EQ(std::get<3>(results), 4.5);
    EXPECT_EQ(future.result(), "text");  // a copy was taken
  };
  run(body(Future<std::string>(loop())));
}

TEST_P(Gather, ARangeGivesAVector) {
  const auto body = [](Log* log) -> Coro<> {
    std::vector<Coro<int>> calls;
    for (int i = 0; i < 10; ++i) calls.push_back(noted(std::chrono::milliseconds(i % 3), i, log));
    const std::vector<int> results = co_await gather(std::move(calls));
    EXPECT_EQ(results, (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
  };
  Log log;
  run(body(&log));
}

TEST_P(Gather, TheTasksStartInTheOrderOfTheArguments) {
  const auto child = [](std::string name, Log* log) -> Coro<> {
    log->push_back(std::move(name));
    co_return;
  };
  const auto body = [](auto make, Log* log) -> Coro<> {
    auto gathering = gather(make("a", log), make("b", log), make("c", log));
    co_await gathering;
  };
  Log log;
  run(body(child, &log));
  EXPECT_EQ(log, (Log{"a", "b", "c"}));
}

TEST_P(Gather, C0166_OfNothingIsDoneAtOnce) {
  const auto body = []() -> Coro<> {
    const auto none = gather();
    EXPECT_TRUE(none.done());
    const auto empty = gather(std::vector<Task<int>>());
    EXPECT_TRUE(empty.done());
    EXPECT_TRUE((co_await empty).empty());
    const auto failures = gather(return_exceptions, std::vector<Coro<>>());
    EXPECT_TRUE(failures.done());
  };
  run(body());
}

TEST_P(Gather, C0168_TheFirstFailureEndsItAndTheOthersRunOn) {
  const auto body = [](Log* log) -> Coro<> {
    const Task<int> slow = create_task(noted(10ms, 1, log));
    auto gathering = gather(slow, noted_failure(0ms, "failed", log));
    try {
      co_await gathering;
      ADD_FAILURE() << "it did not fail";
    } catch (const TestError& e) {
      log->push_back(std::string("caught ") + e.what());
    }
    EXPECT_FALSE(slow.done());
    EXPECT_EQ(slow.cancelling(), 0);
    EXPECT_EQ(co_await slow, 1);
  };
  Log log;
  run(body(&log));
  EXPECT_EQ(log, (Log{"failed", "caught failed", "1"}));
}

TEST_P(Gather, C0169_ASecondFailureIsNotReported) {
  const auto body = [](Log* log) -> Coro<> {
    auto gathering = gather(noted_failure(0ms, "first", log), noted_failure(1ms, "second", log));
    try {
      co_await gathering;
    } catch (const TestError& e) {
      log->push_back(std::string("caught ") + e.what());
    }
  };
  Log log;
  run(body(&log));
  run_until([&log] { return log.size() == 3; });
  tick(4);
  EXPECT_EQ(log, (Log{"first", "caught first", "second"}));
  EXPECT_TRUE(take_exceptions().empty());
}

TEST_P(Gather, C0170_FailuresCanBeResults) {
  const auto body = [](Log* log) -> Coro<> {
    const Task<int> cancelled = create_task(noted(1h, 3, log));
    auto gathering =
        gather(return_exceptions, noted(1ms, 1, log), noted_failure(0ms, "two", log), cancelled);
    co_await sleep(0s);
    cancelled.cancel("three");
    auto outcomes = co_await gathering;
    EXPECT_EQ(std::get<0>(outcomes).value(), 1);
    EXPECT_FALSE(std::get<1>(outcomes).has_value());
    EXPECT_THROW(std::get<1>(outcomes).value(), TestError);
    try {
      std::get<2>(outcomes).value();
      ADD_FAILURE() << "it was not cancelled";
    } catch (const CancelledError& error) {
      EXPECT_EQ(error.message(), "three");
    }
  };
  Log log;
  run(body(&log));
}

TEST_P(Gather, ACancelledChildIsAFailureAndTheGatheringIsNotCancelled) {
  const auto body = []() -> Coro<> {
    const Task<> child = create_task(nap(1h));
    const auto gathering = gather(child, nap(1ms));
    co_await sleep(0s);
    child.cancel("child");
    try {
      co_await gathering;
      ADD_FAILURE() << "it did not fail";
    } catch (const CancelledError& error) {
      EXPECT_EQ(error.message(), "child");
    }
    EXPECT_FALSE(gathering.cancelled());
  };
  run(body());
  run_until([this] { return loop().stats().tasks == 0; });
}

TEST_P(Gather, C0172_CancellingItCancelsAllAndWaitsForTheirEnds) {
  const auto child = [](int number, Log* log) -> Coro<> {
    bool cancelled = false;
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      cancelled = true;
    }
    co_await turns(number);
    log->push_back(std::to_string(number));
    if (cancelled) throw CancelledError();
  };
  const auto body = [](auto make, Log* log) -> Coro<> {
    auto gathering = gather(make(4, log), make(1, log), make(9, log));
    try {
      co_await gathering;
    } catch (const CancelledError&) {
      log->push_back("gathering");
      throw;
    }
  };
  Log log;
  const Task<> task = start(body(child, &log));
  tick(3);
  task.cancel();
  finish(task);
  EXPECT_TRUE(task.cancelled());
  EXPECT_EQ(log, (Log{"1", "4", "9", "gathering"}));
}

TEST_P(Gather, C0173_CancelledWithReturnExceptionsItStillThrowsWithTheMessage) {
  const auto body = []() -> Coro<std::string> {
    auto gathering = gather(return_exceptions, nap(1h), nap(1h));
    co_await sleep(0s);
    EXPECT_TRUE(gathering.cancel("why"));
    EXPECT_FALSE(gathering.done());
    try {
      co_await gathering;
    } catch (const CancelledError& cancelled) {
      co_return cancelled.message();
    }
    co_return "not cancelled";
  };
  EXPECT_EQ(run(body()), "why");
}

TEST_P(Gather, AChildThatIgnoresTheCancellationDoesNotSaveIt) {
  const auto stubborn = []() -> Coro<int> {
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
    }
    co_return 1;
  };
  const auto body = [](auto make) -> Coro<> {
    auto gathering = gather(make(), make());
    co_await gathering;
  };
  const Task<> task = start(body(stubborn));
  tick(3);
  task.cancel();
  finish(task);
  EXPECT_TRUE(task.cancelled());
}

TEST_P(Gather, C0174_WhenAllAreDoneButItIsNotCancelIsFalseAndTheResultKept) {
  const Future<int> child(loop());
  const auto body = [](Future<int> one) -> Coro<int> {
    auto gathering = gather(one);
    const auto results = co_await gathering;
    co_return std::get<0>(results);
  };
  const auto gathering = gather(std::vector<Future<int>>{child});
  child.set_result(5);
  EXPECT_FALSE(gathering.done());
  EXPECT_FALSE(gathering.cancel());
  tick(2);
  EXPECT_EQ(gathering.result(), std::vector<int>{5});
  EXPECT_EQ(run(body(child)), 5);
}

TEST_P(Gather, AfterItsEndCancelIsFalseAndTouchesNobody) {
  const auto body = []() -> Coro<> {
    const Task<> slow = create_task(nap(2ms));
    const auto gathering = gather(slow, fail_after(0s, "at once"));
    try {
      co_await gathering;
    } catch (const TestError&) {
    }
    EXPECT_FALSE(gathering.cancel());
    co_await slow;
    EXPECT_EQ(slow.cancelling(), 0);
  };
  run(body());
}

TEST_P(Gather, C0176_ChildrenOfTwoLoopsAreRefused) {
  EventLoop other(make_kernel(world()));
  const Future<int> here(loop());
  const Future<int> there(other);
  EXPECT_THROW(static_cast<void>(gather(here, there)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(gather(std::vector<Future<int>>{there, here})),
               std::invalid_argument);
  here.set_result(1);
  tick();
}

TEST_P(Gather, C0178_WhenAllAreDoneAlreadyItIsDoneAtOnce) {
  const Future<int> one(loop());
  const Future<int> two(loop());
  one.set_result(1);
  two.set_result(2);
  EXPECT_EQ(gather(one, two).result(), std::make_tuple(1, 2));
  const Future<int> failed(loop());
  failed.set_exception(TestError("x"));
  const auto failing = gather(one, failed);
  EXPECT_TRUE(failing.done());
  EXPECT_EQ(failure_text(failing), "x");
}

TEST_P(Gather, OneThatFailedAlreadyEndsItAtOnce) {
  const Future<int> pending(loop());
  const Future<int> failed(loop());
  failed.set_exception(TestError("x"));
  const auto gathering = gather(pending, failed);
  EXPECT_TRUE(gathering.done());
  EXPECT_EQ(failure_text(gathering), "x");
  pending.set_result(1);
  tick();
}

TEST_P(Gather, OneGivenTwiceRunsOnceAndFillsBothPlaces) {
  const auto body = [](Log* log) -> Coro<> {
    const Task<int> task = create_task(noted(0s, 7, log));
    const auto results = co_await gather(task, task, task);
    EXPECT_EQ(results, std::make_tuple(7, 7, 7));
  };
  Log log;
  run(body(&log));
  EXPECT_EQ(log.size(), 1u);
}

TEST_P(Gather, TenThousandAreGathered) {
  const auto body = []() -> Coro<long> {
    std::vector<Coro<int>> calls;
    for (int i = 0; i < 10'000; ++i) calls.push_back(value_after(0s, 1));
    const std::vector<int> results = co_await gather(std::move(calls));
    long sum = 0;
    for (const int each : results) sum += each;
    co_return sum;
  };
  EXPECT_EQ(run(body()), 10'000);
}

TEST_P(Gather, C0177_ABadArgumentIsRefusedAndThoseBeforeItRunOnInPeace) {
  const auto body = [](Log* log) -> Coro<> {
    const auto child = [](Log* to) -> Coro<int> {
      co_await sleep(0s);
      to->push_back("ran");
      co_return 1;
    };
    try {
      static_cast<void>(gather(child(log), Coro<int>()));
    } catch (const std::invalid_argument&) {
      log->push_back("refused");
    }
    co_await turns(5);
    EXPECT_EQ(all_tasks().size(), 1U);  // this one
  };
  Log log;
  run(body(&log));
  EXPECT_EQ(log, (Log{"refused", "ran"}));
}

/// Its copies throw.
struct RareCopy {
  RareCopy() = default;
  RareCopy(RareCopy&&) = default;
  RareCopy(const RareCopy&) { throw std::runtime_error("no copy"); }
  RareCopy& operator=(const RareCopy&) = default;
};

TEST_P(Gather, AValueWhoseCopyThrowsFailsTheGathering) {
  const auto body = []() -> Coro<> {
    const auto make = []() -> Coro<RareCopy> { co_return RareCopy(); };
    const Task<RareCopy> kept = create_task(make());
    try {
      co_await gather(kept, sleep(0s));
      ADD_FAILURE() << "no error";
    } catch (const std::runtime_error& error) {
      EXPECT_EQ(std::string(error.what()), "no copy");
    }
  };
  run(body());
}

}  // namespace
}  // namespace ferry::test
