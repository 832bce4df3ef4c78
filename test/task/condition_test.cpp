// Condition: waiting for a change, with the lock in hand.

#include "task_fixture.h"

#include <ferry/condition.h>
#include <ferry/timeout.h>

namespace ferry::test {
namespace {

class Conditions : public TaskTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, Conditions, ::testing::ValuesIn(kWorlds), world_name);

/// Waits for one notification; the lock is held at the end, however that comes about.
Coro<> waiter(Condition* condition, std::string name, Log* log) {
  const auto guard = co_await condition->scoped();
  try {
    co_await condition->wait();
    log->push_back(name);
  } catch (const CancelledError&) {
    EXPECT_TRUE(condition->locked());
    log->push_back(name + " cancelled");
    throw;
  }
}
Coro<> notify(Condition* condition, std::size_t count) {
  const auto guard = co_await condition->scoped();
  condition->notify(count);
}

TEST_P(Conditions, C0274_WithoutTheLockNothingGoes) {
  const auto body = [](Condition* condition) -> Coro<> { co_await condition->wait(); };
  Condition condition;
  EXPECT_THROW(run(body(&condition)), std::logic_error);
  EXPECT_THROW(condition.notify(), std::logic_error);
  EXPECT_THROW(condition.notify_all(), std::logic_error);
  EXPECT_THROW(condition.release(), std::logic_error);
}

TEST_P(Conditions, ItWakesAsManyAsItIsToldInTheirOrder) {
  Condition condition;
  Log log;
  std::vector<Task<>> tasks;
  for (int i = 0; i < 4; ++i) tasks.push_back(start(waiter(&condition, std::to_string(i), &log)));
  tick(10);
  EXPECT_TRUE(log.empty());
  EXPECT_FALSE(condition.locked());
  run(notify(&condition, 1));
  tick(10);
  EXPECT_EQ(log, (Log{"0"}));
  run(notify(&condition, 2));
  tick(10);
  EXPECT_EQ(log, (Log{"0", "1", "2"}));
  run(notify(&condition, 100));
  for (const Task<>& each : tasks) finish(each);
  EXPECT_EQ(log, (Log{"0", "1", "2", "3"}));
  EXPECT_FALSE(condition.locked());
}

TEST_P(Conditions, NotifyAllWakesAllAndALaterWaiterWaits) {
  const auto all = [](Condition* condition) -> Coro<> {
    const auto guard = co_await condition->scoped();
    condition->notify_all();
  };
  Condition condition;
  Log log;
  std::vector<Task<>> tasks;
  for (int i = 0; i < 5; ++i) tasks.push_back(start(waiter(&condition, "x", &log)));
  tick(10);
  run(all(&condition));
  const Task<> late = start(waiter(&condition, "late", &log));
  for (const Task<>& each : tasks) finish(each);
  tick(5);
  EXPECT_FALSE(late.done());
  run(notify(&condition, 1));
  finish(late);
  EXPECT_EQ(log.size(), 6u);
}

TEST_P(Conditions, C0276_OneThatIsNotifiedRunsWhenTheLockIsReleased) {
  const auto notifier = [](Condition* condition, Log* log) -> Coro<> {
    const auto guard = co_await condition->scoped();
    condition->notify();
    for (int i = 0; i < 5; ++i) co_await sleep(0s);
    log->push_back("notifier");
  };
  Condition condition;
  Log log;
  const Task<> waits = start(waiter(&condition, "waiter", &log));
  tick(3);
  run(notifier(&condition, &log));
  finish(waits);
  EXPECT_EQ(log, (Log{"notifier", "waiter"}));
}

TEST_P(Conditions, C0277_CancelledItHoldsTheLockWhenItThrows) {
  Condition condition;
  Log log;
  const Task<> task = start(waiter(&condition, "a", &log));
  tick(3);
  EXPECT_FALSE(condition.locked());
  task.cancel("why");
  finish(task);
  EXPECT_EQ(log, (Log{"a cancelled"}));
  EXPECT_EQ(cancel_message(task), "why");
  EXPECT_FALSE(condition.locked());
}

TEST_P(Conditions, C0278_CancelledWhileItWaitsForTheLockItGetsItFirst) {
  Condition condition;
  Log log;
  const Task<> task = start(waiter(&condition, "a", &log));
  tick(3);
  run([](Condition* c) -> Coro<> { co_await c->acquire(); }(&condition));
  condition.notify();
  tick(5);
  EXPECT_TRUE(task.cancel("while acquiring"));
  tick(5);
  EXPECT_FALSE(task.done()) << "the lock is not free";
  EXPECT_TRUE(log.empty());
  task.cancel("the last");
  tick(5);
  EXPECT_FALSE(task.done());
  condition.release();
  finish(task);
  EXPECT_EQ(log, (Log{"a cancelled"}));
  EXPECT_EQ(cancel_message(task), "the last");
  EXPECT_FALSE(condition.locked());
}

TEST_P(Conditions, ANotificationIsNotLostWithACancelledWaiter) {
  Condition condition;
  Log log;
  const Task<> a = start(waiter(&condition, "a", &log));
  const Task<> b = start(waiter(&condition, "b", &log));
  tick(6);
  const Task<> notifier = start(notify(&condition, 1));
  tick(1);
  a.cancel();
  finish(a);
  finish(b);
  finish(notifier);
  EXPECT_EQ(log, (Log{"a cancelled", "b"}));
}

TEST_P(Conditions, C0280_WaitForAPredicateGivesWhatItGave) {
  struct State {
    Condition condition;
    int value = 0;
  } state;
  const auto body = [](State* s) -> Coro<int> {
    const auto guard = co_await s->condition.scoped();
    Coro<int> positive = s->condition.wait_for([s] { return s->value > 2 ? s->value : 0; });
    const int result = co_await std::move(positive);
    Coro<bool> at_once = s->condition.wait_for([] { return true; });
    EXPECT_TRUE(co_await std::move(at_once));
    co_return result;
  };
  const auto change = [](State* s) -> Coro<> {
    for (int i = 1; i <= 5; ++i) {
      const auto guard = co_await s->condition.scoped();
      s->value = i;
      s->condition.notify_all();
      co_await sleep(1ms);
    }
  };
  const Task<int> waits = start(body(&state));
  const Task<> changes = start(change(&state));
  finish(waits);
  finish(changes);
  EXPECT_EQ(waits.result(), 3);
}

TEST_P(Conditions, C0281_TwoMayShareALock) {
  Lock lock;
  Condition one(lock);
  Condition two(lock);
  Log log;
  const Task<> a = start(waiter(&one, "one", &log));
  const Task<> b = start(waiter(&two, "two", &log));
  tick(5);
  ASSERT_TRUE(lock.try_acquire());
  EXPECT_TRUE(one.locked() && two.locked());
  two.notify();
  lock.release();
  finish(b);
  EXPECT_EQ(log, (Log{"two"}));
  EXPECT_FALSE(a.done());
  ASSERT_TRUE(lock.try_acquire());
  one.notify_all();
  one.release();
  finish(a);
}

TEST_P(Conditions, C0282_ATimeoutAroundTheWaitLeavesTheLockHeld) {
  const auto body = [](Condition* condition, Log* log) -> Coro<> {
    const auto guard = co_await condition->scoped();
    try {
      co_await timeout(2ms, condition->wait());
    } catch (const TimeoutError&) {
      log->push_back(condition->locked() ? "held" : "lost");
    }
  };
  Condition condition;
  Log log;
  run(body(&condition, &log));
  EXPECT_EQ(log, (Log{"held"}));
  EXPECT_FALSE(condition.locked());
}

}  // namespace
}  // namespace ferry::test
