// Whatever can be awaited goes into create_task, gather, wait_for and their kin; what cannot is
// refused by the compiler.

#include "task_fixture.h"

#include <ferry/as_completed.h>
#include <ferry/async_generator.h>
#include <ferry/event.h>
#include <ferry/gather.h>
#include <ferry/lock.h>
#include <ferry/queue.h>
#include <ferry/semaphore.h>
#include <ferry/shield.h>
#include <ferry/task_group.h>
#include <ferry/timeout.h>
#include <ferry/wait.h>

#include <coroutine>

namespace ferry::test {
namespace {

/// Of another library, as it were: it compiles wherever a coroutine handle is enough.
struct Foreign {
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<>) const noexcept {}
  int await_resume() const noexcept { return 1; }
};
/// What gives one of those.
struct ForeignOperation {
  Foreign operator co_await() const noexcept { return {}; }
};
/// A user's own operation, which awaits what is known: by a member, and by a free function.
struct Pause {
  Sleep operator co_await() const noexcept { return sleep(1ms); }
};
struct Nap {};
Sleep operator co_await(Nap) noexcept {
  return sleep(1ms);
}

static_assert(!Awaitable<std::suspend_always> && !Awaitable<std::suspend_never>);
static_assert(!Awaitable<Foreign> && !Awaitable<ForeignOperation>);
static_assert(!TaskAwaiter<Foreign> && !TaskAwaiter<std::suspend_always>);
static_assert(!Awaitable<int> && !Awaitable<std::string> && !Awaitable<AsyncGenerator<int>>);
static_assert(Awaitable<Coro<int>> && Awaitable<Future<int>> && Awaitable<Task<>>);
static_assert(Awaitable<Sleep> && Awaitable<SleepFor<int>> && Awaitable<Lock::Acquire>);
static_assert(Awaitable<Event::Wait> && Awaitable<Semaphore::Acquire>);
static_assert(Awaitable<Queue<int>::Get> && Awaitable<AsyncGenerator<int>::Next>);
static_assert(Awaitable<Pause> && Awaitable<Nap>);
static_assert(AwaitableObject<Sleep> && !AwaitableObject<Coro<>> && !AwaitableObject<Task<int>>);
static_assert(std::is_same_v<AwaitResult<SleepFor<std::string>>, std::string>);
static_assert(std::is_same_v<AwaitResult<Queue<int>::Get>, int>);
static_assert(std::is_same_v<AwaitResult<Coro<int>>, int>);
static_assert(std::is_same_v<AwaitResult<Task<std::string>>, std::string>);
static_assert(std::is_void_v<AwaitResult<Event::Wait>> && std::is_void_v<AwaitResult<Nap>>);
static_assert(std::is_same_v<decltype(ensure_future(std::declval<Queue<int>>().get())), Task<int>>);

class Awaitables : public TaskTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, Awaitables, ::testing::ValuesIn(kWorlds), world_name);

TEST_P(Awaitables, BecomeTasks) {
  const auto body = [](Lock* lock) -> Coro<> {
    Queue<std::string> queue;
    const Task<std::string> got = create_task(queue.get(), {.name = "the getter"});
    const Task<> locked = create_task(lock->acquire());
    const Task<int> slept = ensure_future(sleep(1ms, 7));
    EXPECT_EQ(got.name(), "the getter");
    co_await turns(2);
    EXPECT_FALSE(got.done());
    EXPECT_TRUE(locked.done());
    EXPECT_TRUE(lock->locked());
    queue.put_nowait("item");
    EXPECT_EQ(co_await got, "item");
    EXPECT_EQ(co_await slept, 7);
  };
  Lock lock;
  run(body(&lock));
  lock.release();
  loop().run_until_complete(create_task(loop(), lock.acquire()));
  EXPECT_TRUE(lock.locked());
  EXPECT_EQ(run_until_complete(loop(), sleep(1ms, std::string("slept"))), "slept");
}

TEST_P(Awaitables, OfAUsersOwnKindAreAwaitedInPlaceAndAsTasks) {
  const auto body = []() -> Coro<> {
    co_await Pause();
    co_await Nap();
    co_await create_task(Pause());
    co_await timeout(1h, Nap());
  };
  const TimePoint begin = loop().time();
  run(body());
  EXPECT_GE(loop().time() - begin, 4ms);
}

TEST_P(Awaitables, GoIntoGatherBesideCoroutinesAndFutures) {
  const auto body = [](EventLoop* loop) -> Coro<> {
    Queue<int> queue;
    const Future<std::string> future(*loop);
    Event event;
    auto all = gather(queue.get(), value_after(0s, 2), future, event.wait());
    co_await turns(2);
    queue.put_nowait(1);
    future.set_result("three");
    event.set();
    const auto results = co_await all;
    EXPECT_EQ(std::get<0>(results), 1);
    EXPECT_EQ(std::get<1>(results), 2);
    EXPECT_EQ(std::get<2>(results), "three");

    std::vector<Queue<int>::Get> gets;
    for (int i = 0; i < 3; ++i) gets.push_back(queue.get());
    auto many = gather(std::move(gets));
    for (int i = 10; i < 13; ++i) queue.put_nowait(i);
    const std::vector<int> values = co_await many;
    EXPECT_EQ(values, (std::vector<int>{10, 11, 12}));
  };
  run(body(&loop()));
}

TEST_P(Awaitables, HaveATimeLimitAndLoseNothingWhenItIsOver) {
  const auto body = [](Log* log) -> Coro<> {
    Queue<std::string> queue;
    try {
      co_await wait_for(queue.get(), 1ms);
    } catch (const TimeoutError&) {
      log->push_back("wait_for");
    }
    try {
      co_await timeout(1ms, queue.get());
    } catch (const TimeoutError&) {
      log->push_back("timeout");
    }
    try {
      co_await wait_for(queue.get(), 0s);
    } catch (const TimeoutError&) {
      log->push_back("at once");
    }
    queue.put_nowait("kept");
    EXPECT_EQ(queue.qsize(), 1u);
    log->push_back(co_await wait_for(queue.get(), 1h));
    queue.put_nowait("again");
    log->push_back(co_await timeout(std::nullopt, queue.get()));
  };
  Log log;
  run(body(&log));
  EXPECT_EQ(log, (Log{"wait_for", "timeout", "at once", "kept", "again"}));
}

TEST_P(Awaitables, ALockWhoseWaiterRanOutOfTimeIsFreeForTheNext) {
  const auto body = []() -> Coro<> {
    Lock lock;
    co_await lock.acquire();
    bool late = false;
    try {
      auto guard = co_await wait_for(lock.scoped(), 1ms);
    } catch (const TimeoutError&) {
      late = true;
    }
    EXPECT_TRUE(late);
    lock.release();
    EXPECT_FALSE(lock.locked());
    {
      auto guard = co_await wait_for(lock.scoped(), 1h);
      EXPECT_TRUE(lock.locked());
    }
    EXPECT_FALSE(lock.locked());
  };
  run(body());
}

TEST_P(Awaitables, AreShielded) {
  const auto body = [](Log* log) -> Coro<> {
    Queue<int> queue;
    Future<int> shielded = shield(queue.get());
    co_await turns(1);
    shielded.cancel();
    co_await turns(1);
    queue.put_nowait(1);
    co_await turns(2);
    log->push_back(std::to_string(queue.qsize()));  // the getter was not cancelled
  };
  Log log;
  run(body(&log));
  EXPECT_EQ(log, (Log{"0"}));
}

TEST_P(Awaitables, AreTasksOfAGroup) {
  const auto body = [](TaskGroup& group, Queue<int>* queue, Event* event, Log* log) -> Coro<> {
    const Task<int> got = group.create_task(queue->get(), {.name = "getter"});
    group.create_task(event->wait());
    co_await turns(1);
    queue->put_nowait(5);
    log->push_back(std::to_string(co_await got));
    event->set();
  };
  Queue<int> queue;
  Event event;
  Log log;
  run(task_group(body, &queue, &event, &log));
  EXPECT_EQ(log, (Log{"5"}));
}

TEST_P(Awaitables, FinishInAnyOrder) {
  const auto body = [](Log* log) -> Coro<> {
    std::vector<SleepFor<int>> sleeps;
    for (const int delay : {100, 1, 50}) sleeps.push_back(sleep(delay * 1ms, int{delay}));
    auto completed = as_completed(std::move(sleeps));
    while (completed.left() > 0) log->push_back(std::to_string(co_await completed.next_result()));
  };
  Log log;
  run(body(&log));
  EXPECT_EQ(log, (Log{"1", "50", "100"}));
}

TEST_P(Awaitables, AreCancelledWithTheTaskThatHasThem) {
  const auto body = [](Queue<int>* queue, bool* cancelled) -> Coro<> {
    try {
      co_await wait_for(queue->get(), 1h);
    } catch (const CancelledError&) {
      *cancelled = true;
      throw;
    }
  };
  Queue<int> queue;
  bool cancelled = false;
  const Task<> task = start(body(&queue, &cancelled));
  tick(2);
  task.cancel();
  finish(task);
  EXPECT_TRUE(cancelled);
  EXPECT_EQ(loop().stats().timers, 0u);
  queue.put_nowait(1);
  EXPECT_EQ(queue.qsize(), 1u);
}

TEST_P(Awaitables, NeverBegunLeaveNothingBehind) {
  Queue<std::string> queue;
  Lock lock;
  {
    auto get = queue.get();
    auto acquire = lock.acquire();
    auto moved = std::move(acquire);
    const auto coro = as_coro(std::move(moved));
    const auto other = as_coro(std::move(get));
  }
  EXPECT_FALSE(lock.locked());
  queue.put_nowait("kept");
  EXPECT_EQ(queue.qsize(), 1u);
}

TEST_P(Awaitables, AsCoroStandsWhereItIsCalled) {
  const auto coro = as_coro(sleep(1ms, 5));
  const auto* const promise = &coro.handle().promise();
  EXPECT_EQ(promise->where().line(), 0u);  // it has not begun
  const Task<int> task = create_task(loop(), sleep(1ms, 5));
  const SourceLocation here = SourceLocation::current();
  tick(1);
  TaskCore* const core = all_tasks(loop()).at(0);
  EXPECT_STREQ(core->coroutine()->where().file_name(), here.file_name());
  EXPECT_EQ(core->coroutine()->where().line(), here.line() - 1);
  finish(task);
  EXPECT_EQ(task.result(), 5);
}

}  // namespace
}  // namespace ferry::test
