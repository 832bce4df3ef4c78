// Lock, Semaphore, BoundedSemaphore, Event: tasks that come, wait, give up, and are cancelled.

#include "bench.h"
#include "scenarios.h"

#include <chrono>

namespace ferry::test {

namespace {

using namespace std::chrono_literals;
using testing::Trial;

/// What a Lock and a Semaphore have in common: so many may be inside at once.
template <class Lockable>
struct LockBench : Bench {
  LockBench(Trial& t, std::size_t permits, Lockable& l) : Bench(t), places(permits), lockable(l) {}
  bool stalled() const override { return inside < places && lockable.n_waiting() > 0; }

  void enter() {
    ++steps;
    if (++inside > places) trial.complain("more are inside than may be");
  }
  void leave() {
    ++steps;
    --inside;
    if (lot.permille(300)) {
      cancel_woken_by(trial, tasks, [this] { lockable.release(); });
    } else {
      lockable.release();
    }
  }

  const std::size_t places;
  Lockable& lockable;  // of the class that derives from this
  std::size_t inside = 0;
};

struct MutexBench final : LockBench<Lock> {
  explicit MutexBench(Trial& t) : LockBench(t, 1, lock) {}
  Lock lock;
};
template <class S>
struct PermitBench final : LockBench<S> {
  PermitBench(Trial& t, std::size_t permits)
      : LockBench<S>(t, permits, semaphore), semaphore(permits) {}
  S semaphore;
};

/// Leaves when it ends, however that is.
template <class Lockable>
class Inside {
 public:
  explicit Inside(LockBench<Lockable>& bench) : bench_(bench) { bench_.enter(); }
  Inside(const Inside&) = delete;
  ~Inside() { bench_.leave(); }

 private:
  LockBench<Lockable>& bench_;
};

template <class Lockable>
Coro<bool> get_in(std::shared_ptr<LockBench<Lockable>> bench) {
  Lockable& lockable = bench->lockable;
  switch (bench->lot.below(4)) {
    case 0:
      co_return lockable.try_acquire();
    case 1: {
      const Duration limit = bench->pause();
      try {
        co_await wait_for(lockable.acquire(), limit);
      } catch (const TimeoutError&) {
        bench->timed_out(limit, "timeout in acquire");
        co_return false;
      }
      co_return true;
    }
    default:
      co_await lockable.acquire();
      co_return true;
  }
}

template <class Lockable>
Coro<> come_and_go(std::shared_ptr<LockBench<Lockable>> bench, bool stubborn) {
  for (std::size_t rounds = bench->lot.between(1, 5); rounds > 0; --rounds) {
    try {
      if (bench->lot.permille(600)) co_await sleep(bench->pause());
      const bool in = co_await get_in(bench);
      if (!in) continue;
      const Inside<Lockable> inside(*bench);
      if (bench->lot.permille(800)) co_await sleep(bench->pause());
    } catch (const CancelledError&) {
      if (!stubborn) throw;
      current_task()->uncancel();
    }
  }
}

template <class Lockable>
Coro<> acquire_afresh(std::shared_ptr<LockBench<Lockable>> bench) {
  for (std::size_t i = 0; i < bench->places; ++i) {
    if (!bench->lockable.try_acquire()) bench->trial.complain("a place was lost");
  }
  if (bench->lockable.try_acquire()) bench->trial.complain("a place too many");
  bench->lockable.release();
  co_await wait_for(bench->lockable.acquire(), 1s);
  for (std::size_t i = 0; i < bench->places; ++i) bench->lockable.release();
  if (bench->lockable.n_waiting() != 0) bench->trial.complain("who waits, if all have left?");
}

template <class Lockable>
Coro<> compete(std::shared_ptr<LockBench<Lockable>> bench) {
  std::vector<Coro<>> work;
  for (std::size_t i = bench->lot.between(3, 12); i > 0; --i) {
    work.push_back(come_and_go<Lockable>(bench, bench->lot.permille(300)));
  }
  co_await work_at(bench, std::move(work), bench->lot.below(12));
  co_await acquire_afresh<Lockable>(bench);
}

void locks(Trial& trial) {
  play_bench(trial, compete<Lock>(std::make_shared<MutexBench>(trial)));
}

void semaphores(Trial& trial) {
  const std::size_t permits = trial.lot("permits").between(1, 4);
  play_bench(trial, compete<Semaphore>(std::make_shared<PermitBench<Semaphore>>(trial, permits)));
}

Coro<> compete_bounded(std::shared_ptr<LockBench<BoundedSemaphore>> bench) {
  co_await compete<BoundedSemaphore>(bench);
  bool refused = false;
  try {
    bench->lockable.release();
  } catch (const std::invalid_argument&) {
    refused = true;
  }
  if (!refused) bench->trial.complain("a bounded semaphore took a permit too many");
}

void bounded_semaphores(Trial& trial) {
  const std::size_t permits = trial.lot("permits").between(1, 4);
  play_bench(trial,
             compete_bounded(std::make_shared<PermitBench<BoundedSemaphore>>(trial, permits)));
}

// -- events

struct EventBench final : Bench {
  using Bench::Bench;
  bool stalled() const override { return event.is_set() && event.n_waiting() > 0; }
  Event event;
  std::uint64_t sets = 0;
};

Coro<> wait_for_event(std::shared_ptr<EventBench> bench, bool stubborn) {
  for (std::size_t rounds = bench->lot.between(1, 4); rounds > 0; --rounds) {
    Duration limit{};
    try {
      co_await sleep(bench->pause());
      const bool was_set = bench->event.is_set();
      const std::uint64_t sets = bench->sets;
      if (bench->lot.permille(300)) {
        limit = bench->pause();
        co_await wait_for(bench->event.wait(), limit);
      } else {
        co_await bench->event.wait();
      }
      ++bench->steps;
      if (!was_set && bench->sets == sets) bench->trial.complain("woken without a set");
    } catch (const TimeoutError&) {
      bench->timed_out(limit, "timeout in Event");
    } catch (const CancelledError&) {
      if (!stubborn) throw;
      current_task()->uncancel();
    }
  }
}

Coro<> set_and_clear(std::shared_ptr<EventBench> bench) {
  for (std::size_t rounds = bench->lot.between(3, 12); rounds > 0; --rounds) {
    co_await sleep(bench->pause());
    const std::size_t waiting = bench->event.n_waiting();
    ++bench->sets;
    if (bench->lot.permille(300)) {
      cancel_woken_by(bench->trial, bench->tasks, [&bench] { bench->event.set(); });
    } else {
      bench->event.set();
    }
    if (bench->lot.permille(500)) {
      bench->event.clear();
      if (waiting > 0) bench->trial.reached("Event set and cleared in one turn");
    } else {
      co_await sleep(bench->pause());
      bench->event.clear();
    }
  }
  ++bench->sets;
  bench->event.set();
}

Coro<> signal(std::shared_ptr<EventBench> bench) {
  std::vector<Coro<>> work;
  bench->spared = 1;
  work.push_back(set_and_clear(bench));
  for (std::size_t i = bench->lot.between(3, 10); i > 0; --i) {
    work.push_back(wait_for_event(bench, bench->lot.permille(300)));
  }
  co_await work_at(bench, std::move(work), bench->lot.below(10));
  if (bench->event.n_waiting() != 0) bench->trial.complain("who waits for an event that is set?");
}

void events(Trial& trial) {
  play_bench(trial, signal(std::make_shared<EventBench>(trial)));
}

}  // namespace

void add_sync_scenarios(std::vector<testing::Scenario>& all) {
  add(all, "sync-lock", locks);
  add(all, "sync-semaphore", semaphores);
  add(all, "sync-bounded-semaphore", bounded_semaphores);
  add(all, "sync-event", events);
}

}  // namespace ferry::test
