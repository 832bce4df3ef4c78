// Condition and Barrier.

#include "bench.h"
#include "scenarios.h"

#include <chrono>

namespace ferry::test {

namespace {

using namespace std::chrono_literals;
using testing::Trial;

// -- tokens, guarded by a condition

struct TokenBench final : Bench {
  using Bench::Bench;
  bool stalled() const override {
    return tokens > 0 && !condition.locked() && condition.n_waiting() > 0;
  }
  void enter() {
    ++steps;
    if (!condition.locked()) trial.complain("the lock is not held after a wait");
    if (std::exchange(inside, true)) trial.complain("two are inside");
  }
  void leave() { inside = false; }

  Condition condition;
  bool inside = false;
  std::size_t tokens = 0;
  std::size_t made = 0;
  std::size_t used = 0;
};
using TokenBenchPtr = std::shared_ptr<TokenBench>;

/// Has the lock between a wait and the next.
class Guarded {
 public:
  explicit Guarded(TokenBench& bench) : bench_(bench) { bench_.enter(); }
  Guarded(const Guarded&) = delete;
  ~Guarded() {
    bench_.leave();
    bench_.condition.release();
  }

 private:
  TokenBench& bench_;
};

Coro<> wait_once(TokenBenchPtr bench) {
  bench->leave();
  std::exception_ptr failure;
  Duration limit{};
  try {
    if (bench->lot.permille(300)) {
      limit = bench->pause();
      co_await wait_for(bench->condition.wait(), limit);
    } else {
      co_await bench->condition.wait();
    }
  } catch (const TimeoutError&) {
    failure = std::current_exception();
    bench->timed_out(limit, "timeout in Condition");
  } catch (...) {
    failure = std::current_exception();
  }
  bench->enter();
  if (failure) std::rethrow_exception(failure);
}

Coro<> consume_tokens(TokenBenchPtr bench, bool stubborn) {
  for (std::size_t rounds = bench->lot.between(1, 4); rounds > 0; --rounds) {
    try {
      co_await sleep(bench->pause());
      co_await bench->condition.acquire();
      const Guarded guarded(*bench);
      while (bench->tokens == 0) co_await wait_once(bench);
      --bench->tokens;
      ++bench->used;
      if (bench->lot.permille(200)) co_await sleep(bench->pause());
    } catch (const TimeoutError&) {
      // wait_for has started none when its time is zero: the lock is held, and released, as ever.
    } catch (const CancelledError&) {
      if (!stubborn) throw;
      current_task()->uncancel();
    }
  }
}

Coro<> produce_tokens(TokenBenchPtr bench, std::size_t count) {
  for (; count > 0; --count) {
    co_await sleep(bench->pause());
    co_await bench->condition.acquire();
    const Guarded guarded(*bench);
    ++bench->tokens;
    ++bench->made;
    const auto tell = [&bench] {
      if (bench->lot.permille(800)) return bench->condition.notify();
      bench->condition.notify_all();
    };
    if (bench->lot.permille(300)) {
      cancel_woken_by(bench->trial, bench->tasks, tell);
    } else {
      tell();
    }
    if (bench->lot.permille(200)) co_await sleep(bench->pause());
  }
}

Coro<> trade(TokenBenchPtr bench) {
  std::vector<Coro<>> work;
  bench->spared = 2;
  // As many as may be asked for, so that nobody has to wait for ever.
  work.push_back(produce_tokens(bench, 20));
  work.push_back(produce_tokens(bench, 12));
  for (std::size_t i = bench->lot.between(2, 8); i > 0; --i) {
    work.push_back(consume_tokens(bench, bench->lot.permille(300)));
  }
  co_await work_at(bench, std::move(work), bench->lot.below(10));
  if (bench->made != bench->used + bench->tokens) bench->trial.complain("tokens were lost");
  if (bench->condition.locked()) bench->trial.complain("the condition's lock was not released");
  if (bench->condition.n_waiting() > 0) bench->trial.complain("who waits for the condition?");
}

void conditions(Trial& trial) {
  play_bench(trial, trade(std::make_shared<TokenBench>(trial)));
}

// -- barriers

struct BarrierBench final : Bench {
  BarrierBench(Trial& t, std::size_t parties) : Bench(t), barrier(parties) {}
  bool stalled() const override { return barrier.n_waiting() >= barrier.parties(); }

  /// The last to come gets the greatest number, and opens; the others follow from 0 on.
  void passed(std::size_t index) {
    ++steps;
    if (index + 1 == barrier.parties()) {
      if (inside < barrier.parties()) trial.complain("it opened too early");
      next = 0;
      ++rounds;
    } else if (index != next++) {
      trial.complain("the barrier's numbers are not one for each");
    }
  }

  Barrier barrier;
  std::size_t inside = 0;
  std::size_t next = 0;
  std::size_t rounds = 0;
};
using BarrierBenchPtr = std::shared_ptr<BarrierBench>;

Coro<> meet(BarrierBenchPtr bench) {
  struct Inside {
    BarrierBench& bench;
    explicit Inside(BarrierBench& b) : bench(b) { ++bench.inside; }
    ~Inside() { --bench.inside; }
  };
  const Inside inside(*bench);
  const std::size_t index = co_await bench->barrier.wait();
  bench->passed(index);
}

Coro<> meet_often(BarrierBenchPtr bench, bool stubborn) {
  for (std::size_t rounds = bench->lot.between(1, 4); rounds > 0; --rounds) {
    Duration limit{};
    try {
      co_await sleep(bench->pause());
      if (bench->lot.permille(400)) {
        limit = bench->pause();
        co_await wait_for(meet(bench), limit);
      } else {
        co_await meet(bench);
      }
    } catch (const TimeoutError&) {
      bench->timed_out(limit, "timeout in Barrier");
    } catch (const BrokenBarrierError&) {
      bench->trial.reached("a barrier broken while tasks wait");
      co_return;
    } catch (const CancelledError&) {
      if (!stubborn) throw;
      current_task()->uncancel();
    }
  }
}

/// Comes itself, and cancels somebody who has been let through.
Coro<> open_and_cancel(BarrierBenchPtr bench) {
  for (int i = 0; i < 3; ++i) {
    co_await sleep(bench->pause());
    Barrier& barrier = bench->barrier;
    if (barrier.n_waiting() + 1 != barrier.parties() || barrier.parties() < 2) continue;
    Task<> last;
    TaskOptions options;
    options.eager = true;
    cancel_woken_by(bench->trial, bench->tasks, [&] { last = create_task(meet(bench), options); });
    co_await last;
  }
}

/// Some are left over in the end: they are sent away.
Coro<> end_it(BarrierBenchPtr bench) {
  co_await sleep(bench->lot.between(5, 40) * 1ms);
  if (bench->lot.permille(300)) {
    bench->barrier.reset();
    co_await sleep(bench->lot.between(5, 40) * 1ms);
  }
  bench->barrier.abort();
}

Coro<> gather_at_barrier(BarrierBenchPtr bench) {
  std::vector<Coro<>> work;
  bench->spared = 2;
  work.push_back(end_it(bench));
  work.push_back(open_and_cancel(bench));
  for (std::size_t i = bench->lot.between(3, 10); i > 0; --i) {
    work.push_back(meet_often(bench, bench->lot.permille(300)));
  }
  co_await work_at(bench, std::move(work), bench->lot.below(14));
  if (bench->barrier.n_waiting() > 0) bench->trial.complain("who waits at the barrier?");
  bench->barrier.reset();
  bench->tasks.clear();
  bench->spared = 0;
  std::vector<Coro<>> again;
  for (std::size_t i = 0; i < bench->barrier.parties(); ++i) again.push_back(meet(bench));
  const std::size_t before = bench->rounds;
  co_await work_at(bench, std::move(again), 0);
  if (bench->rounds != before + 1) bench->trial.complain("the barrier does not work afresh");
}

void barriers(Trial& trial) {
  const std::size_t parties = trial.lot("parties").between(1, 4);
  play_bench(trial, gather_at_barrier(std::make_shared<BarrierBench>(trial, parties)));
}

}  // namespace

void add_condition_scenarios(std::vector<testing::Scenario>& all) {
  add(all, "sync-condition", conditions);
  add(all, "sync-barrier", barriers);
}

}  // namespace ferry::test
