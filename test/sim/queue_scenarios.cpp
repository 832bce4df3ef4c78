// Queues of all kinds between tasks that are cancelled: every item once, in the queue's order.

#include "bench.h"
#include "scenarios.h"

#include <algorithm>
#include <chrono>
#include <list>

namespace ferry::test {

namespace {

using namespace std::chrono_literals;
using testing::Trial;

enum class Order { fifo, lifo, priority };

/// The queue as it should be: a plain list.
template <class Q>
struct QueueBench final : Bench {
  QueueBench(Trial& t, std::size_t maxsize, Order o) : Bench(t), queue(maxsize), order(o) {}
  bool stalled() const override {
    return (!queue.empty() && queue.n_getting() > 0) || (!queue.full() && queue.n_putting() > 0);
  }
  void put(int item) {
    ++steps;
    model.push_back(item);
    ++count;
  }
  void got(int item) {
    ++steps;
    auto place = model.begin();
    if (order == Order::lifo && !model.empty()) place = std::prev(model.end());
    if (order == Order::priority) place = std::min_element(model.begin(), model.end());
    if (place == model.end() || *place != item) {
      trial.complain("the queue gave another item than it should");
    } else {
      model.erase(place);
    }
  }

  Q queue;
  const Order order;
  std::list<int> model;
  int next = 0;
  std::size_t count = 0;
  bool shut = false;
};

template <class Q>
Coro<> produce(std::shared_ptr<QueueBench<Q>> bench, bool stubborn) {
  for (std::size_t rounds = bench->lot.between(1, 8); rounds > 0; --rounds) {
    // For the queue with priorities they are not in order.
    const int item = bench->next++ ^ 5;
    Duration limit{};
    try {
      if (bench->lot.permille(300)) co_await sleep(bench->pause());
      if (bench->lot.permille(200)) {
        limit = bench->pause();
        co_await wait_for(bench->queue.put(item), limit);
      } else {
        co_await bench->queue.put(item);
      }
      bench->put(item);
    } catch (const TimeoutError&) {
      bench->timed_out(limit, "timeout in Queue.put");
    } catch (const QueueShutDown&) {
      if (!bench->shut) bench->trial.complain("it is not shut down");
      co_return;
    } catch (const CancelledError&) {
      if (!stubborn) throw;
      current_task()->uncancel();
    }
  }
}

/// An item that was taken has been dealt with when this ends.
template <class Q>
class Dealt {
 public:
  explicit Dealt(QueueBench<Q>& bench) : bench_(bench) {}
  Dealt(const Dealt&) = delete;
  ~Dealt() { bench_.queue.task_done(); }

 private:
  QueueBench<Q>& bench_;
};

template <class Q>
Coro<> consume(std::shared_ptr<QueueBench<Q>> bench, bool stubborn) {
  while (true) {
    Duration limit{};
    try {
      int item = 0;
      if (bench->lot.permille(200)) {
        limit = bench->pause();
        item = co_await wait_for(bench->queue.get(), limit);
      } else {
        item = co_await bench->queue.get();
      }
      bench->got(item);
      const Dealt<Q> dealt(*bench);
      if (bench->lot.permille(500)) co_await sleep(bench->pause());
    } catch (const TimeoutError&) {
      bench->timed_out(limit, "timeout in Queue.get");
    } catch (const QueueShutDown&) {
      if (!bench->shut) bench->trial.complain("it is not shut down");
      co_return;
    } catch (const CancelledError&) {
      if (!stubborn) throw;
      current_task()->uncancel();
    }
  }
}

/// Puts and takes without waiting, and cancels who was woken by that.
template <class Q>
Coro<> interfere(std::shared_ptr<QueueBench<Q>> bench) {
  for (int i = 0; i < 8 && !bench->shut; ++i) {
    co_await sleep(bench->pause());
    if (bench->shut) break;
    if (bench->lot.permille(500)) {
      int item = bench->next++ ^ 5;
      cancel_woken_by(bench->trial, bench->tasks, [&] {
        if (bench->queue.try_put(item)) bench->put(item);
      });
    } else {
      std::optional<int> item;
      cancel_woken_by(bench->trial, bench->tasks, [&] { item = bench->queue.try_get(); });
      if (!item) continue;
      bench->got(*item);
      bench->queue.task_done();
    }
  }
}

/// Waits for the producers, and until all that they made has been dealt with.
template <class Q>
Coro<> finish(std::shared_ptr<QueueBench<Q>> bench, std::size_t producers) {
  std::vector<Task<>> all;
  // Without memory they may be fewer.
  for (std::size_t i = 0; i < producers && bench->spared + i < bench->tasks.size(); ++i) {
    all.push_back(bench->tasks[bench->spared + i]);
  }
  WaitOptions options;
  options.timeout = bench->patience();
  co_await wait(std::move(all), options);
  if (bench->queue.unfinished_tasks() > 0) bench->trial.reached("join with items left");
  try {
    co_await wait_for(bench->queue.join(), bench->patience());
  } catch (const TimeoutError&) {
    bench->trial.complain("join does not end");
  }
  bench->shut = true;
  bench->queue.shutdown();
}

/// Shuts it down while everybody is at work.
template <class Q>
Coro<> shut_down_soon(std::shared_ptr<QueueBench<Q>> bench) {
  co_await sleep(bench->lot.below(15) * 1ms);
  bench->shut = true;
  const bool immediate = bench->lot.permille(500);
  if (bench->queue.n_putting() > 0) bench->trial.reached("shutdown while tasks wait to put");
  if (bench->queue.n_getting() > 0) bench->trial.reached("shutdown while tasks wait to get");
  bench->queue.shutdown(immediate);
  if (immediate) bench->model.clear();
}

/// Lets all go who wait, when not all that was to begin could.
template <class Q>
class ShutAtLast {
 public:
  explicit ShutAtLast(QueueBench<Q>& bench) : bench_(bench) {}
  ShutAtLast(const ShutAtLast&) = delete;
  ~ShutAtLast() {
    bench_.shut = true;
    bench_.queue.shutdown(true);
  }

 private:
  QueueBench<Q>& bench_;
};

template <class Q>
Coro<> trade(std::shared_ptr<QueueBench<Q>> bench, bool abrupt) {
  const ShutAtLast<Q> at_last(*bench);
  std::vector<Coro<>> work;
  const std::size_t producers = bench->lot.between(2, 5);
  // Some queues are shut down without anybody who takes anything.
  const bool nobody = abrupt && bench->lot.permille(600);
  // Never cancelled: who ends it, and one who takes what is left when the others are gone.
  work.push_back(abrupt ? shut_down_soon<Q>(bench) : finish<Q>(bench, producers + 1));
  if (!nobody) work.push_back(consume<Q>(bench, true));
  bench->spared = work.size();
  work.push_back(interfere<Q>(bench));
  for (std::size_t i = 0; i < producers; ++i) {
    work.push_back(produce<Q>(bench, bench->lot.permille(300)));
  }
  for (std::size_t i = nobody ? 0 : bench->lot.between(1, 4); i > 0; --i) {
    work.push_back(consume<Q>(bench, bench->lot.permille(300)));
  }
  co_await work_at(bench, std::move(work), bench->lot.below(10));
  while (const std::optional<int> item = nobody ? bench->queue.try_get() : std::nullopt) {
    bench->got(*item);
    bench->queue.task_done();
  }
  if (!bench->model.empty() || !bench->queue.empty()) bench->trial.complain("items are left");
  if (bench->queue.unfinished_tasks() > 0) bench->trial.complain("unfinished tasks");
}

template <class Q, Order kOrder, bool kAbrupt = false>
void queues(Trial& trial) {
  const std::size_t maxsize = trial.lot("maxsize").below(4);
  play_bench(trial, trade<Q>(std::make_shared<QueueBench<Q>>(trial, maxsize, kOrder), kAbrupt));
}

}  // namespace

void add_queue_scenarios(std::vector<testing::Scenario>& all) {
  add(all, "queue", queues<Queue<int>, Order::fifo>);
  add(all, "queue-lifo", queues<LifoQueue<int>, Order::lifo>);
  add(all, "queue-priority", queues<PriorityQueue<int>, Order::priority>);
  add(all, "queue-shutdown", queues<Queue<int>, Order::fifo, true>);
}

}  // namespace ferry::test
