// Every awaitable, cancelled in each turn of its life: nothing leaks, and what was waited for still
// works.

#include "task_fixture.h"

#include <ferry/barrier.h>
#include <ferry/condition.h>
#include <ferry/event.h>
#include <ferry/queue.h>
#include <ferry/semaphore.h>
#include <ferry/shield.h>
#include <ferry/task_group.h>
#include <ferry/timeout.h>
#include <ferry/wait.h>

#include <algorithm>

namespace ferry::test {
namespace {

class CancelPoints : public TaskTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, CancelPoints, ::testing::ValuesIn(kWorlds), world_name);

/// Cancelled, or at its end; never anything else.
template <class T>
void expect_clean(const Future<T>& task) {
  ASSERT_TRUE(task.done());
  if (task.cancelled()) {
    EXPECT_EQ(cancel_message(task), "stop");
  } else {
    EXPECT_EQ(failure_text(task), "");
  }
}

TEST_P(CancelPoints, Sleeping) {
  const auto body = []() -> Coro<> {
    co_await sleep(0s);
    co_await sleep(2ms);
    co_await sleep(0s);
  };
  const int points = cancel_at_each_turn([&] { return start(body()); },
                                         [&](const Task<>& task) {
                                           expect_clean(task);
                                           EXPECT_EQ(loop().stats().timers, 0u);
                                         });
  EXPECT_GE(points, 4);
}

TEST_P(CancelPoints, AFutureAndATask) {
  const auto helper = [](Future<int> future) -> Coro<int> {
    co_await sleep(1ms);
    future.try_set_result(1);
    co_return 2;
  };
  const auto body = [](EventLoop* loop, auto help) -> Coro<int> {
    const Future<int> future(*loop);
    const Task<int> task = create_task(help(future));
    const int a = co_await future;
    const int b = co_await task;
    co_return a + b;
  };
  const int points = cancel_at_each_turn([&] { return start(body(&loop(), helper)); },
                                         [&](const Task<int>& task) {
                                           expect_clean(task);
                                           tick(4);
                                           run_for(2ms);
                                           EXPECT_EQ(loop().stats().tasks, 0u);
                                         });
  EXPECT_GE(points, 3);
}

TEST_P(CancelPoints, ALock) {
  const auto holder = [](Lock* lock) -> Coro<> {
    const auto guard = co_await lock->scoped();
    co_await turns(2);
  };
  const auto body = [](Lock* lock) -> Coro<> {
    const auto guard = co_await lock->scoped();
    co_await turns(2);
  };
  Lock lock;
  std::vector<Task<>> others;
  const int points = cancel_at_each_turn(
      [&] {
        others.clear();
        others.push_back(start(holder(&lock)));
        Task<> task = start(body(&lock));
        others.push_back(start(holder(&lock)));
        return task;
      },
      [&](const Task<>& task) {
        expect_clean(task);
        for (const Task<>& each : others) finish(each);
        EXPECT_FALSE(lock.locked());
        EXPECT_TRUE(lock.try_acquire());
        lock.release();
      });
  EXPECT_GE(points, 4);
}

TEST_P(CancelPoints, ASemaphore) {
  const auto body = [](Semaphore* semaphore) -> Coro<> {
    const auto guard = co_await semaphore->scoped();
    co_await turns(2);
  };
  BoundedSemaphore semaphore(2);
  std::vector<Task<>> others;
  const int points = cancel_at_each_turn(
      [&] {
        others.clear();
        for (int i = 0; i < 2; ++i) others.push_back(start(body(&semaphore)));
        Task<> task = start(body(&semaphore));
        for (int i = 0; i < 3; ++i) others.push_back(start(body(&semaphore)));
        return task;
      },
      [&](const Task<>& task) {
        expect_clean(task);
        for (const Task<>& each : others) finish(each);
        EXPECT_TRUE(semaphore.try_acquire());
        EXPECT_TRUE(semaphore.try_acquire());
        EXPECT_FALSE(semaphore.try_acquire());
        semaphore.release();
        semaphore.release();
        EXPECT_THROW(semaphore.release(), std::invalid_argument);
      });
  EXPECT_GE(points, 4);
}

TEST_P(CancelPoints, AnEvent) {
  const auto setter = [](Event* event) -> Coro<> {
    co_await turns(2);
    event->set();
    event->clear();
  };
  const auto body = [](Event* event, int* woken) -> Coro<> {
    co_await event->wait();
    ++*woken;
    co_await sleep(0s);
  };
  Event event;
  int first_woken = 0;
  const int points = cancel_at_each_turn(
      [&] {
        Task<> task = start(body(&event, &first_woken));
        static_cast<void>(start(setter(&event)));
        return task;
      },
      [&](const Task<>& task) {
        expect_clean(task);
        run_until([&] { return loop().stats().tasks == 0; });
        int woken = 0;
        const Task<> next = start(body(&event, &woken));
        tick(2);
        event.set();
        event.clear();
        finish(next);
        EXPECT_EQ(woken, 1);
      });
  EXPECT_GE(points, 3);
}

TEST_P(CancelPoints, ACondition) {
  struct State {
    Condition condition;
    int items = 0;
  } state;
  const auto consume = [](State* s) -> Coro<> {
    const auto guard = co_await s->condition.scoped();
    while (s->items == 0) co_await s->condition.wait();
    --s->items;
    co_await sleep(0s);
  };
  const auto produce = [](State* s) -> Coro<> {
    for (int i = 0; i < 2; ++i) {
      const auto guard = co_await s->condition.scoped();
      ++s->items;
      s->condition.notify();
      co_await sleep(0s);
    }
  };
  Task<> other;
  Task<> producer;
  const int points = cancel_at_each_turn(
      [&] {
        state.items = 0;
        Task<> task = start(consume(&state));
        other = start(consume(&state));
        producer = start(produce(&state));
        return task;
      },
      [&](const Task<>& task) {
        expect_clean(task);
        finish(producer);
        finish(other);  // whatever became of the first, this one gets an item
        EXPECT_FALSE(state.condition.locked());
        if (!task.cancelled()) {
          EXPECT_EQ(state.items, 0);
        }
      });
  other = producer = {};
  EXPECT_GE(points, 4);
}

TEST_P(CancelPoints, ABarrier) {
  const auto body = [](Barrier* barrier) -> Coro<std::size_t> {
    co_await sleep(0s);
    const std::size_t index = co_await barrier->wait();
    co_await sleep(0s);
    co_return index;
  };
  Barrier barrier(2);
  Task<std::size_t> other;
  const int points = cancel_at_each_turn(
      [&] {
        Task<std::size_t> task = start(body(&barrier));
        other = start(body(&barrier));
        return task;
      },
      [&](const Task<std::size_t>& task) {
        expect_clean(task);
        tick(6);
        if (!other.done()) finish(start(body(&barrier)));  // it was left alone
        finish(other);
        EXPECT_FALSE(barrier.broken());
        EXPECT_EQ(barrier.n_waiting(), 0u);
      });
  other = {};
  EXPECT_GE(points, 3);
}

TEST_P(CancelPoints, GettingFromAQueue) {
  const auto body = [](Queue<int>* queue, std::vector<int>* got) -> Coro<> {
    for (int i = 0; i < 2; ++i) got->push_back(co_await queue->get());
  };
  const auto producer = [](Queue<int>* queue) -> Coro<> {
    for (int i = 0; i < 4; ++i) {
      co_await sleep(0s);
      co_await queue->put(i);
    }
  };
  Queue<int> queue(1);
  std::vector<int> got;
  Task<> other;
  Task<> producing;
  const int points = cancel_at_each_turn(
      [&] {
        got.clear();
        Task<> task = start(body(&queue, &got));
        other = start(body(&queue, &got));
        producing = start(producer(&queue));
        return task;
      },
      [&](const Task<>& task) {
        expect_clean(task);
        run_until([&] {
          while (auto item = other.done() ? queue.try_get() : std::nullopt) got.push_back(*item);
          return other.done() && producing.done() && queue.empty();
        });
        std::sort(got.begin(), got.end());
        EXPECT_EQ(got, (std::vector<int>{0, 1, 2, 3})) << "nothing is lost or doubled";
      });
  other = producing = {};
  EXPECT_GE(points, 3);
}

TEST_P(CancelPoints, PuttingIntoAQueue) {
  const auto body = [](Queue<int>* queue, int from, int* put) -> Coro<> {
    for (int i = 0; i < 2; ++i) {
      co_await queue->put(from + i);
      ++*put;
    }
  };
  const auto consumer = [](Queue<int>* queue, int* got) -> Coro<> {
    for (;;) {
      co_await sleep(0s);
      const int item = co_await queue->get();
      static_cast<void>(item);
      ++*got;
    }
  };
  int put = 0;
  int got = 0;
  std::unique_ptr<Queue<int>> queue;
  Task<> other;
  Task<> consuming;
  const int points = cancel_at_each_turn(
      [&] {
        put = got = 0;
        queue = std::make_unique<Queue<int>>(1);
        Task<> task = start(body(queue.get(), 0, &put));
        other = start(body(queue.get(), 10, &put));
        consuming = start(consumer(queue.get(), &got));
        return task;
      },
      [&](const Task<>& task) {
        expect_clean(task);
        finish(other);
        tick(8);
        EXPECT_EQ(got, put);
        EXPECT_TRUE(queue->empty());
        consuming.cancel();
        finish(consuming);
      });
  other = consuming = {};
  EXPECT_GE(points, 2);
}

TEST_P(CancelPoints, Combinators) {
  const auto gathering = []() -> Coro<> {
    auto both = gather(turns(2), nap(1ms));
    co_await both;
  };
  const auto waiting = []() -> Coro<> {
    std::vector<Task<>> tasks;
    tasks.push_back(create_task(turns(2)));
    tasks.push_back(create_task(nap(1ms)));
    co_await wait(std::move(tasks), {.timeout = 1h});
  };
  const auto group = []() -> Coro<> {
    const auto body = [](TaskGroup& g) -> Coro<> {
      g.create_task(turns(2));
      g.create_task(nap(1ms));
      co_await sleep(0s);
    };
    co_await task_group(body);
  };
  const auto limited = []() -> Coro<> {
    co_await timeout(1h, turns(2));
    co_await wait_for(create_task(turns(2)), 1h);
  };
  const auto shielded = []() -> Coro<> { co_await shield(turns(3)); };
  const auto sweep = [this](auto scenario) {
    const int points = cancel_at_each_turn([&] { return start(scenario()); },
                                           [&](const Task<>& task) {
                                             expect_clean(task);
                                             run_until([&] { return loop().stats().tasks == 0; });
                                             EXPECT_EQ(loop().stats().timers, 0u);
                                           });
    EXPECT_GE(points, 3);
  };
  sweep(gathering);
  sweep(waiting);
  sweep(group);
  sweep(limited);
  sweep(shielded);
}

}  // namespace
}  // namespace ferry::test
