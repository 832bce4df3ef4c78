// shield: cancelling who waits, not what it waits for.

#include "task_fixture.h"

#include <ferry/shield.h>

namespace ferry::test {
namespace {

class Shield : public TaskTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, Shield, ::testing::ValuesIn(kWorlds), world_name);

template <class T>
Coro<T> await_shielded(Future<T> inner) {
  co_return co_await shield(inner);
}

TEST_P(Shield, C0196_ResultsAndFailuresPassThrough) {
  const auto body = []() -> Coro<> {
    EXPECT_EQ(co_await shield(value_after(1ms, 3)), 3);
    std::unique_ptr<int> box = co_await shield(value_after(0s, std::make_unique<int>(4)));
    EXPECT_EQ(*box, 4);
    co_await shield(nap(0s));
    Log caught;
    try {
      co_await shield(fail_after(0s, "inner"));
    } catch (const TestError& e) {
      caught.push_back(e.what());
    }
    EXPECT_EQ(caught, (Log{"inner"}));
  };
  run(body());
}

TEST_P(Shield, C0196_WhenTheInnerIsCancelledSoIsTheOuter) {
  const Future<int> inner(loop());
  const Future<int> outer = shield(inner);
  inner.cancel("inner");
  tick();
  EXPECT_EQ(cancel_message(outer), "inner");
}

TEST_P(Shield, C0197_OfADoneFutureIsThatFuture) {
  const Future<int> inner(loop());
  inner.set_result(1);
  EXPECT_TRUE(shield(inner) == inner);
}

TEST_P(Shield, CancellingTheOuterLeavesTheInnerRunning) {
  const Task<int> inner = start(value_after(2ms, 5));
  const Task<int> waiter = start(await_shielded<int>(inner));
  tick(2);
  waiter.cancel("waiter");
  finish(waiter);
  EXPECT_EQ(cancel_message(waiter), "waiter");
  EXPECT_EQ(inner.cancelling(), 0);
  finish(inner);
  EXPECT_EQ(inner.result(), 5);
}

TEST_P(Shield, OneWaiterOfSeveralIsCancelledAlone) {
  const Task<int> inner = start(value_after(2ms, 5));
  const Task<int> a = start(await_shielded<int>(inner));
  const Task<int> b = start(await_shielded<int>(inner));
  tick(2);
  a.cancel();
  finish(b);
  EXPECT_TRUE(a.cancelled());
  EXPECT_EQ(b.result(), 5);
}

TEST_P(Shield, AFailureAfterTheOuterWasCancelledIsReported) {
  Task<> inner = start(fail_after(1ms, "late"));
  {
    const Task<> waiter = start(await_shielded<void>(inner));
    tick(2);
    waiter.cancel();
    finish(waiter);
  }
  finish(inner);
  inner = {};
  tick(2);
  const auto reports = take_exceptions();
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_NE(reports[0].to_string().find("late"), std::string::npos);
}

TEST_P(Shield, AFailureThatPassedThroughIsNotReportedTwice) {
  const auto body = [](Log* log) -> Coro<> {
    try {
      co_await shield(fail_after(0s, "once"));
    } catch (const TestError& e) {
      log->push_back(e.what());
    }
  };
  Log log;
  run(body(&log));
  tick(2);
  EXPECT_EQ(log, (Log{"once"}));
}

TEST_P(Shield, C0198_OfAGatheringKeepsTheChildren) {
  const Task<int> one = start(value_after(2ms, 1));
  const Task<int> two = start(value_after(3ms, 2));
  const auto gathering = gather(one, two);
  const auto outer = shield(gathering);
  tick();
  outer.cancel();
  finish(gathering);
  EXPECT_EQ(gathering.result(), std::make_tuple(1, 2));
  EXPECT_TRUE(outer.cancelled());
  EXPECT_EQ(one.cancelling() + two.cancelling(), 0);
}

TEST_P(Shield, C0198_InAGatheringOnlyTheShieldsAreCancelled) {
  const Task<int> one = start(value_after(2ms, 1));
  const Task<int> two = start(value_after(3ms, 2));
  const auto first = shield(Future<int>(one));
  const auto second = shield(Future<int>(two));
  const auto gathering = gather(first, second);
  tick();
  EXPECT_TRUE(gathering.cancel());
  finish(gathering);
  EXPECT_THROW(static_cast<void>(gathering.result()), CancelledError);
  EXPECT_TRUE(first.cancelled() && second.cancelled());
  finish(one);
  finish(two);
  EXPECT_EQ(one.result() + two.result(), 3);
}

}  // namespace
}  // namespace ferry::test
