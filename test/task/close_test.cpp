// The loop closes: tasks in every state are destroyed where they stand.

#include "task_fixture.h"

#include <ferry/barrier.h>
#include <ferry/condition.h>
#include <ferry/queue.h>
#include <ferry/semaphore.h>
#include <ferry/shield.h>
#include <ferry/task_group.h>
#include <ferry/timeout.h>
#include <ferry/wait.h>

#include <algorithm>

namespace ferry::test {
namespace {

class Closing : public TaskTest {
 protected:
  /// Closes the loop; gives the names of the tasks that it had to destroy. Handles may still be
  /// held: TearDown looks whether anything is left.
  Log close_and_name() {
    loop().close();
    Log names;
    for (const ExceptionContext& report : take_exceptions()) {
      const std::string& message = report.message;
      EXPECT_EQ(message.find("Task was destroyed but it is pending"), 0u) << message;
      names.push_back(message.substr(message.rfind(' ') + 1));
    }
    std::sort(names.begin(), names.end());
    return names;
  }
};
INSTANTIATE_TEST_SUITE_P(Worlds, Closing, ::testing::ValuesIn(kWorlds), world_name);

TEST_P(Closing, TasksInEveryState) {
  int alive = 0;
  struct Bodies {
    static Coro<> never(Alive) { co_return; }
    static Coro<> sleeping(Alive argument, int depth) {
      const Alive local(argument);
      if (depth > 0) {
        co_await sleeping(argument, depth - 1);
      } else {
        co_await sleep(1h);
      }
    }
    static Coro<> on_future(Alive, Future<int> future) { co_await future; }
    static Coro<> woken(Alive, Event* event) { co_await event->wait(); }
    static Coro<> shielding(Alive, Task<> inner) { co_await shield(Future<void>(inner)); }
    static Coro<> limited(Alive a) { co_await timeout(1h, sleeping(a, 1)); }
    static Coro<> waiting(Alive, std::vector<Task<>> tasks) {
      co_await wait(std::move(tasks), {.timeout = 1h});
    }
    static Coro<> gathering(Alive, std::vector<Task<>> tasks) { co_await gather(std::move(tasks)); }
    static Coro<> in_group(TaskGroup& group, Alive a) {
      group.create_task(sleeping(a, 0), {.name = "grouped"});
      co_await sleep(1h);
    }
  };
  {
    const Future<int> future(loop());
    const Future<int> done(loop());
    Event event;
    const Alive a(alive);
    const Task<> sleeper = start(Bodies::sleeping(a, 3), {.name = "sleeping"});
    const Task<> waiter = start(Bodies::on_future(a, future), {.name = "on-future"});
    const Task<> late = start(Bodies::on_future(a, done), {.name = "about-to-go-on"});
    const Task<> woken = start(Bodies::woken(a, &event), {.name = "woken"});
    const Task<> cancelled = start(Bodies::sleeping(a, 2), {.name = "cancelled"});
    static_cast<void>(start(Bodies::shielding(a, sleeper), {.name = "shielding"}));
    static_cast<void>(start(Bodies::limited(a), {.name = "limited"}));
    std::vector<Task<>> both{sleeper, waiter};
    static_cast<void>(start(Bodies::waiting(a, both), {.name = "waiting"}));
    static_cast<void>(start(Bodies::gathering(a, both), {.name = "gathering"}));
    static_cast<void>(start(task_group(Bodies::in_group, a), {.name = "group"}));
    tick(4);
    done.set_result(1);
    event.set();
    cancelled.cancel();
    const Task<> fresh = start(Bodies::never(a), {.name = "fresh"});
    EXPECT_EQ(close_and_name(),
              (Log{"about-to-go-on", "cancelled", "fresh", "gathering", "group", "grouped",
                   "limited", "on-future", "shielding", "sleeping", "waiting", "woken"}));
    EXPECT_FALSE(sleeper.done() || fresh.done());
    EXPECT_EQ(alive, 1);
  }
  EXPECT_EQ(alive, 0);
}

TEST_P(Closing, TasksThatWaitForTheSameThings) {
  Lock lock;
  Semaphore semaphore(0);
  Condition condition;
  Barrier barrier(5);
  Queue<int> empty;
  Queue<int> full(1);
  full.put_nowait(1);
  struct Bodies {
    static Coro<> on_lock(Lock* l) {
      const auto guard = co_await l->scoped();
      co_await sleep(1h);
    }
    static Coro<> on_semaphore(Semaphore* s) { const auto guard = co_await s->scoped(); }
    static Coro<> on_condition(Condition* c) {
      const auto guard = co_await c->scoped();
      co_await c->wait();
    }
    static Coro<> on_barrier(Barrier* b) { co_await b->wait(); }
    static Coro<> getting(Queue<int>* q) { co_await q->get(); }
    static Coro<> putting(Queue<int>* q) { co_await q->put(2); }
  };
  std::vector<Task<>> tasks;
  for (int i = 0; i < 3; ++i) {
    tasks.push_back(start(Bodies::on_lock(&lock)));
    tasks.push_back(start(Bodies::on_semaphore(&semaphore)));
    tasks.push_back(start(Bodies::on_condition(&condition)));
    tasks.push_back(start(Bodies::on_barrier(&barrier)));
    tasks.push_back(start(Bodies::getting(&empty)));
    tasks.push_back(start(Bodies::putting(&full)));
  }
  tick(5);
  empty.put_nowait(1);  // one is woken and will not run
  semaphore.release();
  EXPECT_EQ(close_and_name().size(), 18u);
}

/// Ends something of others' when it is destroyed, as guards do.
template <class F>
class AtEnd {
 public:
  explicit AtEnd(F f) : f_(std::move(f)) {}
  AtEnd(const AtEnd&) = delete;
  ~AtEnd() { f_(); }

 private:
  F f_;
};

TEST_P(Closing, DestructorsMayWakeAndCancelOthers) {
  struct Bodies {
    static Coro<> sleeping_with_lock(Lock* lock) {
      co_await sleep(0s);
      const auto guard = co_await lock->scoped();
      co_await sleep(1h);
    }
    static Coro<> canceller(Task<>* other, Future<int> future, Event* event) {
      const AtEnd end([other, future, event] {
        other->cancel();
        future.try_set_result(1);
        event->set();
      });
      co_await sleep(1h);
    }
    static Coro<> on_future(Future<int> future) { co_await future; }
    static Coro<> on_event(Event* event) { co_await event->wait(); }
  };
  for (const bool debug : {false, true}) {
    TearDown();
    SetUp();
    loop().set_debug(debug);
    Lock lock;
    Event event;
    Task<> sleeper;
    const Future<int> future(loop());
    // Those who wait are destroyed after those who hold, and before.
    std::vector<Task<>> tasks;
    for (int i = 0; i < 3; ++i) {
      tasks.push_back(start(Bodies::sleeping_with_lock(&lock)));
      tasks.push_back(start(Bodies::on_future(future)));
      tasks.push_back(start(Bodies::on_event(&event)));
      tasks.push_back(start(Bodies::canceller(&sleeper, future, &event)));
      if (i == 0) sleeper = start(nap(1h));
    }
    tick(5);
    EXPECT_EQ(close_and_name().size(), 13u);
    static_cast<void>(take_log());
  }
}

TEST_P(Closing, AfterwardsTheHandlesAreHarmless) {
  const Task<> task = start(nap(1h));
  const Task<int> done = start(value_after(0s, 5));
  tick(4);
  EXPECT_EQ(close_and_name().size(), 1u);
  EXPECT_FALSE(task.done());
  EXPECT_EQ(done.result(), 5);
  EXPECT_THROW(task.result(), InvalidStateError);
}

TEST_P(Closing, ACancelledTaskThatRunsToItsEndFirstIsNotReported) {
  const Task<> task = start(nap(1h));
  tick(2);
  task.cancel();
  finish(task);
  EXPECT_TRUE(close_and_name().empty());
}

}  // namespace
}  // namespace ferry::test
