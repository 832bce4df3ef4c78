// Lock and Event.

#include "task_fixture.h"

#include <ferry/event.h>
#include <ferry/lock.h>

namespace ferry::test {
namespace {

class Locks : public TaskTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, Locks, ::testing::ValuesIn(kWorlds), world_name);

Coro<> hold(Lock* lock, std::string name, Log* log) {
  co_await lock->acquire();
  log->push_back(name);
}

TEST_P(Locks, C0264_AFreeLockIsTakenWithoutATurn) {
  const auto body = [](EventLoop* loop) -> Coro<> {
    Lock lock;
    bool other = false;
    loop->call_soon([&other] { other = true; });
    co_await lock.acquire();
    EXPECT_TRUE(lock.locked());
    lock.release();
    EXPECT_FALSE(lock.locked());
    {
      const auto guard = co_await lock.scoped();
      EXPECT_TRUE(lock.locked());
    }
    EXPECT_FALSE(lock.locked());
    EXPECT_FALSE(other);
    co_await sleep(0s);
  };
  run(body(&loop()));
}

TEST_P(Locks, C0265_ReleasingAFreeOneIsAnError) {
  Lock lock;
  EXPECT_THROW(lock.release(), std::logic_error);
  EXPECT_TRUE(lock.try_acquire());
  EXPECT_FALSE(lock.try_acquire());
  lock.release();
  EXPECT_THROW(lock.release(), std::logic_error);
}

TEST_P(Locks, FirstComeFirstServedAndNewcomersStandBehind) {
  const auto worker = [](Lock* lock, int number, Log* log) -> Coro<> {
    for (int i = 0; i < 2; ++i) {
      const auto guard = co_await lock->scoped();
      log->push_back(std::to_string(number));
      co_await sleep(0s);
    }
  };
  Lock lock;
  Log log;
  std::vector<Task<>> tasks;
  for (int i = 0; i < 3; ++i) tasks.push_back(start(worker(&lock, i, &log)));
  for (const Task<>& each : tasks) finish(each);
  EXPECT_EQ(log, (Log{"0", "1", "2", "0", "1", "2"}));
  EXPECT_FALSE(lock.locked());
}

TEST_P(Locks, BetweenReleaseAndTheNextNobodySlipsIn) {
  Lock lock;
  Log log;
  ASSERT_TRUE(lock.try_acquire());
  const Task<> first = start(hold(&lock, "first", &log));
  tick(2);
  lock.release();
  EXPECT_FALSE(lock.try_acquire());
  const Task<> late = start(hold(&lock, "late", &log));
  finish(first);
  EXPECT_EQ(log, (Log{"first"}));
  EXPECT_TRUE(lock.locked());
  lock.release();
  finish(late);
  lock.release();
}

TEST_P(Locks, C0266_AWaiterThatIsCancelledLeavesTheQueue) {
  Lock lock;
  Log log;
  ASSERT_TRUE(lock.try_acquire());
  const Task<> waiter = start(hold(&lock, "waiter", &log));
  tick(2);
  waiter.cancel("gone");
  finish(waiter);
  EXPECT_EQ(cancel_message(waiter), "gone");
  EXPECT_TRUE(lock.locked());
  lock.release();
  EXPECT_TRUE(lock.try_acquire());
  lock.release();
  EXPECT_TRUE(log.empty());
}

TEST_P(Locks, C0268_ACancellationAndAReleaseInOneTurnLetExactlyOneIn) {
  for (const bool cancel_first : {true, false}) {
    Lock lock;
    Log log;
    ASSERT_TRUE(lock.try_acquire());
    std::vector<Task<>> tasks;
    for (int i = 0; i < 3; ++i) tasks.push_back(start(hold(&lock, std::to_string(i), &log)));
    tick(2);
    if (cancel_first) tasks[0].cancel();
    lock.release();
    if (!cancel_first) tasks[0].cancel();
    tick(5);
    EXPECT_TRUE(tasks[0].cancelled());
    EXPECT_EQ(log, (Log{"1"}));
    lock.release();
    tick(5);
    EXPECT_EQ(log, (Log{"1", "2"}));
    lock.release();
    EXPECT_FALSE(lock.locked());
  }
}

TEST_P(Locks, C0269_OneWokenAndThenCancelledHandsOver) {
  Lock lock;
  Log log;
  ASSERT_TRUE(lock.try_acquire());
  const Task<> first = start(hold(&lock, "first", &log));
  tick(2);
  lock.release();
  first.cancel();
  finish(first);
  EXPECT_TRUE(first.cancelled());
  EXPECT_FALSE(lock.locked());
  EXPECT_TRUE(lock.try_acquire());
  lock.release();
}

TEST_P(Locks, C0270_TheGuardReleasesOnAFailureAndOnACancellation) {
  const auto fails = [](Lock* lock) -> Coro<> {
    const auto guard = co_await lock->scoped();
    throw TestError("inside");
  };
  const auto waits = [](Lock* lock) -> Coro<> {
    const auto guard = co_await lock->scoped();
    co_await sleep(1h);
  };
  Lock lock;
  EXPECT_THROW(run(fails(&lock)), TestError);
  EXPECT_FALSE(lock.locked());
  const Task<> task = start(waits(&lock));
  tick(2);
  EXPECT_TRUE(lock.locked());
  task.cancel();
  finish(task);
  EXPECT_FALSE(lock.locked());
}

TEST_P(Locks, AGuardCanBeMovedAndReleasedEarly) {
  const auto body = [](Lock* lock) -> Coro<> {
    auto guard = co_await lock->scoped();
    auto moved = std::move(guard);
    EXPECT_TRUE(lock->locked());
    moved.release();
    EXPECT_FALSE(lock->locked());
    moved.release();
    moved = co_await lock->scoped();
    EXPECT_TRUE(lock->locked());
  };
  Lock lock;
  run(body(&lock));
  EXPECT_FALSE(lock.locked());
}

TEST_P(Locks, TasksOfTwoLoopsCannotWaitForOne) {
  EventLoop other(make_kernel(world()));
  Lock lock;
  Log log;
  ASSERT_TRUE(lock.try_acquire());
  const Task<> here = start(hold(&lock, "here", &log));
  tick(2);
  {
    const Task<> there = create_task(other, hold(&lock, "there", &log));
    EXPECT_THROW(other.run_until_complete(Future<void>(there)), std::logic_error);
  }
  lock.release();
  finish(here);
  EXPECT_EQ(log, (Log{"here"}));
}

class Events : public TaskTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, Events, ::testing::ValuesIn(kWorlds), world_name);

Coro<> wait_for_event(Event* event, std::string name, Log* log) {
  co_await event->wait();
  log->push_back(name);
}

TEST_P(Events, AWaitEndsWhenItIsSet) {
  Event event;
  Log log;
  EXPECT_FALSE(event.is_set());
  const Task<> a = start(wait_for_event(&event, "a", &log));
  const Task<> b = start(wait_for_event(&event, "b", &log));
  tick(3);
  EXPECT_TRUE(log.empty());
  event.set();
  event.set();
  EXPECT_TRUE(event.is_set());
  finish(a);
  finish(b);
  EXPECT_EQ(log, (Log{"a", "b"}));
}

TEST_P(Events, AWaitForOneThatIsSetDoesNotTakeATurn) {
  const auto body = [](EventLoop* loop, Event* event) -> Coro<> {
    bool other = false;
    loop->call_soon([&other] { other = true; });
    co_await event->wait();
    EXPECT_FALSE(other);
    co_await sleep(0s);
  };
  Event event;
  event.set();
  run(body(&loop(), &event));
}

TEST_P(Events, C0272_SetAndClearedAtOnceStillWakes) {
  Event event;
  Log log;
  const Task<> a = start(wait_for_event(&event, "a", &log));
  tick(2);
  event.set();
  event.clear();
  const Task<> late = start(wait_for_event(&event, "late", &log));
  finish(a);
  tick(2);
  EXPECT_EQ(log, (Log{"a"}));
  EXPECT_FALSE(late.done());
  event.set();
  finish(late);
}

TEST_P(Events, C0273_AWaitThatIsCancelledLeavesNothing) {
  Log log;
  {
    Event event;
    const Task<> a = start(wait_for_event(&event, "a", &log));
    tick(2);
    a.cancel("a");
    event.set();
    finish(a);
    EXPECT_EQ(cancel_message(a), "a");
  }
  tick(2);
  EXPECT_TRUE(log.empty());
}

TEST_P(Events, OneWokenAndThenCancelledIsCancelled) {
  Event event;
  Log log;
  const Task<> a = start(wait_for_event(&event, "a", &log));
  tick(2);
  event.set();
  a.cancel();
  finish(a);
  EXPECT_TRUE(a.cancelled());
  EXPECT_TRUE(log.empty());
}

TEST_P(Events, OneThatIsDestroyedLeavesItsWaitersToBeCancelled) {
  Log log;
  auto event = std::make_unique<Event>();
  const Task<> a = start(wait_for_event(event.get(), "a", &log));
  const Task<> b = start(wait_for_event(event.get(), "b", &log));
  tick(2);
  event.reset();
  a.cancel();
  b.cancel();
  finish(a);
  finish(b);
  EXPECT_TRUE(a.cancelled() && b.cancelled());
}

}  // namespace
}  // namespace ferry::test
