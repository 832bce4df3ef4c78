// What comes at one moment may come in any order, in one turn of the loop or in several: a wait
// that is satisfied, cancelled and out of time at once goes through all of them here.

#include "task_fixture.h"

#include <ferry/condition.h>
#include <ferry/lock.h>
#include <ferry/queue.h>
#include <ferry/semaphore.h>
#include <ferry/task_group.h>
#include <ferry/testing/explore.h>
#include <ferry/testing/sim_kernel.h>
#include <ferry/timeout.h>

#include <functional>
#include <optional>
#include <set>

namespace ferry::test {
namespace {

using testing::explore;
using testing::ExploreResult;
using testing::format_choices;
using testing::SimChooser;
using testing::SimGate;
using testing::SimKernel;
using testing::SimOptions;

/// A loop on which some things happen at one moment, 10 ms from its beginning.
class Moment {
 public:
  explicit Moment(SimChooser& chooser) : gate_(chooser) {
    auto made = std::make_unique<SimKernel>(SimOptions{.chooser = &gate_, .most_looks = 3});
    kernel_ = made.get();
    loop_ = std::make_unique<EventLoop>(std::move(made));
    kernel_->set_stuck([] { return false; });
    then_ = kernel_->now() + 10ms;
  }

  EventLoop& loop() { return *loop_; }
  void add(std::function<void()> act) { acts_.push_back(std::move(act)); }

  /// Until nothing more can happen.
  void play() {
    kernel_->at(then_, [this] {
      gate_.open = true;
      act();
    });
    loop_->run_forever();
  }

 private:
  /// One of those that are left, by choice, now or in the kernel's next look.
  void act() {
    while (!acts_.empty()) {
      if (later_ < 3 && gate_.choose(2) == 1) {
        ++later_;
        return kernel_->at(then_, [this] { act(); });
      }
      const auto next = acts_.begin() + static_cast<std::ptrdiff_t>(gate_.choose(acts_.size()));
      loop_->call_soon_threadsafe([act = *next] { act(); });
      acts_.erase(next);
    }
  }

  SimGate gate_;
  SimKernel* kernel_;  // the loop's
  std::unique_ptr<EventLoop> loop_;
  TimePoint then_;
  std::vector<std::function<void()>> acts_;
  int later_ = 0;  // how often it was put off
};

/// Plays it in every order, and gives all that came out.
std::set<std::string> outcomes(std::string (*play)(Moment&)) {
  std::set<std::string> all;
  const ExploreResult result = explore(
      [&](SimChooser& chooser) {
        Moment moment(chooser);
        all.insert(play(moment));
        EXPECT_EQ(moment.loop().stats().tasks, 0u);
        EXPECT_EQ(moment.loop().stats().timers, 0u);
      },
      {.failed = ::testing::Test::HasFailure});
  EXPECT_TRUE(result.complete) << "failed with choices "
                               << (result.failure ? format_choices(*result.failure) : "none");
  EXPECT_GT(result.runs, 3u);
  return all;
}

/// How it ended.
std::string end_of(const Future<void>& task) {
  if (!task.done()) return "not at all";
  if (task.cancelled()) return "cancelled";
  if (!task.exception()) return "done";
  try {
    task.result();
  } catch (const TimeoutError&) {
    return "out of time";
  } catch (const std::exception&) {
  }
  return "failed";
}

using Outcomes = std::set<std::string>;

Coro<> wait_ten(Future<void> result) {
  co_await wait_for(result, 10ms);
}

TEST(EveryOrder, AWaitIsSatisfiedOutOfTimeOrCancelledAndNothingElse) {
  EXPECT_EQ(outcomes([](Moment& moment) {
              const Future<void> result(moment.loop());
              const Task<> task = create_task(moment.loop(), wait_ten(result));
              moment.add([&] { result.try_set_result(); });
              moment.add([&] { task.cancel(); });
              moment.play();
              EXPECT_TRUE(result.done());
              return end_of(task);
            }),
            (Outcomes{"cancelled", "done", "out of time"}));
}

/// Cancelled from outside while its time runs out: what comes after the wait shows whether the
/// request was kept.
Coro<> go_on_after(std::string* log) {
  try {
    co_await timeout(10ms, nap(1h));
  } catch (const TimeoutError&) {
    *log += "out of time, ";
  }
  co_await sleep(1ms);
  *log += "went on, ";
}

TEST(EveryOrder, ATimeLimitNeverSwallowsACancelFromOutside) {
  EXPECT_EQ(outcomes([](Moment& moment) {
              std::string log;
              const Task<> task = create_task(moment.loop(), go_on_after(&log));
              moment.add([&] { EXPECT_TRUE(task.cancel()); });
              moment.play();
              return log + end_of(task);
            }),
            (Outcomes{"cancelled", "out of time, cancelled"}));
}

Coro<> fail_with(Future<void> trigger) {
  co_await trigger;
  throw TestError("a child");
}
Coro<> group_of(TaskGroup& group, Future<void> trigger) {
  group.create_task(fail_with(trigger));
  co_await sleep(1h);
}
Coro<> go_on_after_group(Future<void> trigger, std::string* log) {
  try {
    co_await task_group(group_of, trigger);
  } catch (const ExceptionGroup&) {
    *log += "group, ";
  }
  co_await sleep(1ms);
  *log += "went on, ";
}

TEST(EveryOrder, ATaskGroupNeverSwallowsACancelFromOutside) {
  EXPECT_EQ(outcomes([](Moment& moment) {
              std::string log;
              const Future<void> trigger(moment.loop());
              const Task<> task = create_task(moment.loop(), go_on_after_group(trigger, &log));
              moment.add([&] { trigger.try_set_result(); });
              moment.add([&] { EXPECT_TRUE(task.cancel()); });
              moment.play();
              return log + end_of(task);
            }),
            (Outcomes{"cancelled", "group, cancelled"}));
}

// -- what is handed on: the first that waits is cancelled as it gets it

Coro<> take_lock(Lock* lock) {
  const auto guard = co_await lock->scoped();
}

TEST(EveryOrder, ALockIsNotLostWithAWaiterThatIsCancelled) {
  EXPECT_EQ(outcomes([](Moment& moment) {
              Lock lock;
              EXPECT_TRUE(lock.try_acquire());
              const Task<> first = create_task(moment.loop(), take_lock(&lock));
              const Task<> second = create_task(moment.loop(), take_lock(&lock));
              moment.add([&] { lock.release(); });
              moment.add([&] { first.cancel(); });
              moment.play();
              EXPECT_FALSE(lock.locked());
              return end_of(first) + ", " + end_of(second);
            }),
            (Outcomes{"cancelled, done", "done, done"}));
}

Coro<> take_place(Semaphore* semaphore) {
  const auto guard = co_await semaphore->scoped();
}

TEST(EveryOrder, ASemaphoresPlaceIsNotLostWithAWaiterThatIsCancelled) {
  EXPECT_EQ(outcomes([](Moment& moment) {
              Semaphore semaphore(0);
              const Task<> first = create_task(moment.loop(), take_place(&semaphore));
              const Task<> second = create_task(moment.loop(), take_place(&semaphore));
              moment.add([&] { semaphore.release(); });
              moment.add([&] { first.cancel(); });
              moment.play();
              EXPECT_FALSE(semaphore.locked());
              return end_of(first) + ", " + end_of(second);
            }),
            (Outcomes{"cancelled, done", "done, done"}));
}

Coro<> get_one(Queue<int>* queue, std::optional<int>* got) {
  *got = co_await queue->get();
}

TEST(EveryOrder, AnItemIsNotLostWithAGetterThatIsCancelled) {
  EXPECT_EQ(outcomes([](Moment& moment) {
              Queue<int> queue;
              std::optional<int> first_got;
              std::optional<int> second_got;
              const Task<> first = create_task(moment.loop(), get_one(&queue, &first_got));
              const Task<> second = create_task(moment.loop(), get_one(&queue, &second_got));
              moment.add([&] { queue.put_nowait(1); });
              moment.add([&] { first.cancel(); });
              moment.play();
              EXPECT_EQ(queue.qsize(), 0u);
              EXPECT_EQ(first_got.has_value() + second_got.has_value(), 1);
              const std::string end = end_of(first) + ", " + end_of(second);
              second.cancel();  // it may wait still
              moment.loop().call_soon([&] { moment.loop().stop(); });
              moment.loop().run_forever();
              return end;
            }),
            (Outcomes{"cancelled, done", "done, not at all"}));
}

Coro<> put_one(Queue<int>* queue, int item) {
  co_await queue->put(item);
}

TEST(EveryOrder, RoomInAQueueIsNotLostWithAPutterThatIsCancelled) {
  EXPECT_EQ(outcomes([](Moment& moment) {
              Queue<int> queue(1);
              queue.put_nowait(0);
              const Task<> first = create_task(moment.loop(), put_one(&queue, 1));
              const Task<> second = create_task(moment.loop(), put_one(&queue, 2));
              moment.add([&] { static_cast<void>(queue.get_nowait()); });
              moment.add([&] { first.cancel(); });
              moment.play();
              const std::string end =
                  end_of(first) + ", " + end_of(second) + ": " + std::to_string(queue.get_nowait());
              moment.loop().call_soon([&] { second.cancel(); });
              moment.loop().call_later(1ms, [&] { moment.loop().stop(); });
              moment.loop().run_forever();
              return end;
            }),
            (Outcomes{"cancelled, done: 2", "done, not at all: 1"}));
}

Coro<> wait_notified(Condition* condition) {
  const auto guard = co_await condition->scoped();
  co_await condition->wait();
}

TEST(EveryOrder, ANotificationIsNotLostWithAWaiterThatIsCancelled) {
  EXPECT_EQ(outcomes([](Moment& moment) {
              Lock lock;
              Condition condition(lock);
              const Task<> first = create_task(moment.loop(), wait_notified(&condition));
              const Task<> second = create_task(moment.loop(), wait_notified(&condition));
              moment.add([&] {
                EXPECT_TRUE(lock.try_acquire());
                condition.notify();
                condition.release();
              });
              moment.add([&] { first.cancel(); });
              moment.play();
              EXPECT_FALSE(condition.locked());
              const std::string end = end_of(first) + ", " + end_of(second);
              second.cancel();  // it may wait still
              moment.loop().call_later(1ms, [&] { moment.loop().stop(); });
              moment.loop().run_forever();
              return end;
            }),
            (Outcomes{"cancelled, done", "done, not at all"}));
}

}  // namespace
}  // namespace ferry::test
