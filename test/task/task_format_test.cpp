// The states of things as text.

#include "task_fixture.h"

#include <ferry/task_format.h>

#include <sstream>

namespace ferry::test {
namespace {

template <class X>
std::string printed(const X& object) {
  std::ostringstream out;
  out << object;
  EXPECT_EQ(out.str(), to_string(object));
  return out.str();
}
bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

class Formats : public TaskTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, Formats, ::testing::ValuesIn(kWorlds), world_name);

struct NotPrintable {};

TEST_P(Formats, C0640_OfFuturesShowTheStateAndTheValue) {
  const Future<int> future(loop());
  EXPECT_EQ(printed(future), "<Future pending>");
  EXPECT_EQ(printed(AnyFuture(future)), "<Future pending>");
  future.set_result(3);
  EXPECT_EQ(printed(future), "<Future finished result=3>");
  const Future<void> nothing(loop());
  nothing.set_result();
  EXPECT_EQ(printed(nothing), "<Future finished>");
  const Future<NotPrintable> opaque(loop());
  opaque.set_result();
  EXPECT_EQ(printed(opaque), "<Future finished>");
  const Future<int> cancelled(loop());
  cancelled.cancel();
  EXPECT_EQ(printed(cancelled), "<Future cancelled>");
  EXPECT_EQ(printed(Future<int>()), "<Future: none>");
  EXPECT_EQ(printed(AnyFuture()), "<Future: none>");
}

TEST_P(Formats, C0640_OfAFailedFutureDoNotCountAsRetrievingTheException) {
  {
    const Future<int> failed(loop());
    failed.set_exception(TestError("x"));
    EXPECT_EQ(printed(failed), "<Future finished exception>");
  }
  EXPECT_EQ(take_exceptions().size(), 1u);
}

Coro<int> wait_for_event(Event* event) {
  co_await event->wait();
  co_return 7;
}

TEST_P(Formats, C0640_OfTasksShowNamePlaceAndWhatTheyWaitFor) {
  Event event;
  const Task<int> task = start(wait_for_event(&event), {.name = "waiter"});
  const Task<int> other = start(await_future(Future<int>(task)), {.name = "other"});
  tick(1);
  const std::string text = printed(task);
  EXPECT_EQ(text.find("<Task pending name='waiter' coro=<"), 0u) << text;
  EXPECT_TRUE(contains(text, "task_format_test.cpp:")) << text;
  EXPECT_TRUE(contains(text, "wait_for_event)> wait_for=<event>>")) << text;
  EXPECT_TRUE(contains(printed(other), "wait_for=<Task pending name='waiter'>>")) << printed(other);
  EXPECT_EQ(to_string(*all_tasks(loop()).at(0)), text);
  EXPECT_EQ(printed(AnyFuture(task)), text);
  EXPECT_EQ(printed(static_cast<const Future<int>&>(task)), text);
  event.set();
  finish(other);
  EXPECT_EQ(printed(task), "<Task finished name='waiter' result=7>");

  event.clear();
  const Task<int> stopped = start(wait_for_event(&event), {.name = "stopped"});
  tick(1);
  stopped.cancel();
  EXPECT_EQ(printed(stopped).find("<Task cancelling name='stopped'"), 0u);
  finish(stopped);
  EXPECT_EQ(printed(stopped), "<Task cancelled name='stopped'>");
}

TEST_P(Formats, C0640_OfLocksAndTheirKinShowWhoWaits) {
  const auto acquire = [](auto* lock) -> Coro<> {
    co_await lock->acquire();
    lock->release();
  };
  Lock lock;
  EXPECT_EQ(printed(lock), "<Lock [unlocked]>");
  ASSERT_TRUE(lock.try_acquire());
  EXPECT_EQ(printed(lock), "<Lock [locked]>");
  const Task<> first = start(acquire(&lock));
  const Task<> second = start(acquire(&lock));
  tick(1);
  EXPECT_EQ(printed(lock), "<Lock [locked, waiters:2]>");
  lock.release();
  finish(second);

  Semaphore semaphore(2);
  EXPECT_EQ(printed(semaphore), "<Semaphore [unlocked, value:2]>");
  BoundedSemaphore bounded(1);
  ASSERT_TRUE(bounded.try_acquire());
  const Task<> third = start(acquire(&bounded));
  tick(1);
  EXPECT_EQ(printed(bounded), "<BoundedSemaphore [locked, waiters:1]>");
  bounded.release();
  finish(third);

  Event event;
  EXPECT_EQ(printed(event), "<Event [unset]>");
  const Task<int> fourth = start(wait_for_event(&event));
  tick(1);
  EXPECT_EQ(printed(event), "<Event [unset, waiters:1]>");
  event.set();
  EXPECT_EQ(printed(event).find("<Event [set"), 0u);
  finish(fourth);
  EXPECT_EQ(printed(event), "<Event [set]>");
}

TEST_P(Formats, C0640_OfConditionsAndBarriers) {
  const auto wait = [](Condition* condition) -> Coro<> {
    const auto guard = co_await condition->scoped();
    co_await condition->wait();
  };
  const auto meet = [](Barrier* barrier) -> Coro<> { co_await barrier->wait(); };
  Condition condition;
  EXPECT_EQ(printed(condition), "<Condition [unlocked]>");
  const Task<> waiter = start(wait(&condition));
  tick(1);
  EXPECT_EQ(printed(condition), "<Condition [unlocked, waiters:1]>");
  waiter.cancel();
  finish(waiter);

  Barrier barrier(2);
  EXPECT_EQ(printed(barrier), "<Barrier [filling, waiters:0/2]>");
  const Task<> one = start(meet(&barrier));
  tick(1);
  EXPECT_EQ(printed(barrier), "<Barrier [filling, waiters:1/2]>");
  const Task<> two = start(meet(&barrier));
  finish(one);
  finish(two);
  barrier.abort();
  EXPECT_EQ(printed(barrier), "<Barrier [broken]>");
}

TEST_P(Formats, C0640_OfQueuesShowWhatIsInThemAndWhoWaits) {
  const auto put = [](Queue<int>* queue) -> Coro<> { co_await queue->put(9); };
  const auto get = [](LifoQueue<int>* queue) -> Coro<> { co_await queue->get(); };
  Queue<int> queue(1);
  EXPECT_EQ(printed(queue), "<Queue maxsize=1 size=0>");
  queue.put_nowait(1);
  const Task<> putter = start(put(&queue));
  tick(1);
  EXPECT_EQ(printed(queue), "<Queue maxsize=1 size=1 putters[1] tasks=1>");
  EXPECT_EQ(queue.get_nowait(), 1);
  finish(putter);
  queue.shutdown();
  EXPECT_EQ(printed(queue), "<Queue maxsize=1 size=1 tasks=2 shutdown>");

  LifoQueue<int> lifo;
  const Task<> getter = start(get(&lifo));
  tick(1);
  EXPECT_EQ(printed(lifo), "<LifoQueue maxsize=0 size=0 getters[1]>");
  lifo.put_nowait(1);
  finish(getter);
  const PriorityQueue<int> priority;
  EXPECT_EQ(printed(priority), "<PriorityQueue maxsize=0 size=0>");
}

TEST_P(Formats, C0640_OfGroupsAndTimeLimits) {
  const auto body = [](TaskGroup* group, Event* event) -> Coro<> {
    EXPECT_EQ(printed(*group), "<TaskGroup entered>");
    group->create_task(wait_for_event(event));
    EXPECT_EQ(printed(*group), "<TaskGroup tasks=1 entered>");
    group->create_task(fail_after(0s, "no"));
    co_await sleep(1h);
  };
  TaskGroup group;
  Event event;
  EXPECT_EQ(printed(group), "<TaskGroup>");
  EXPECT_THROW(run(group.run(body(&group, &event))), ExceptionGroup);
  EXPECT_EQ(printed(group), "<TaskGroup cancelling>");

  Timeout limit(1ms);
  EXPECT_EQ(printed(limit), "<Timeout [created]>");
  const auto slow = [](Timeout* own) -> Coro<> {
    EXPECT_EQ(printed(*own).find("<Timeout [active] when="), 0u);
    co_await sleep(1h);
  };
  EXPECT_THROW(run(limit.run(slow(&limit))), TimeoutError);
  EXPECT_EQ(printed(limit), "<Timeout [expired]>");
  Timeout none;
  run(none.run(turns(1)));
  EXPECT_EQ(printed(none), "<Timeout [finished]>");
}

}  // namespace
}  // namespace ferry::test
