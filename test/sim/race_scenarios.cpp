// Generators, staggered races, futures whose callbacks cancel each other, and loops that close
// while tasks are at work.

#include "bench.h"
#include "scenarios.h"

#include <chrono>

namespace ferry::test {

namespace {

using namespace std::chrono_literals;
using testing::Trial;

struct Oops : std::runtime_error {
  Oops() : std::runtime_error("oops") {}
};

// -- generators

struct GeneratorBench final : Bench {
  using Bench::Bench;
  int alive = 0;  // bodies
};
using GeneratorBenchPtr = std::shared_ptr<GeneratorBench>;

AsyncGenerator<int> count_up(GeneratorBenchPtr bench, int count, bool fails) {
  struct Alive {
    GeneratorBench& bench;
    explicit Alive(GeneratorBench& b) : bench(b) { ++bench.alive; }
    ~Alive() { --bench.alive; }
  };
  const Alive alive(*bench);
  for (int i = 0; i < count; ++i) {
    if (bench->lot.permille(500)) co_await sleep(bench->pause());
    bool thrown = false;
    try {
      co_yield i;
    } catch (const Oops&) {
      thrown = true;
    }
    if (thrown) co_yield 1000;
  }
  if (fails) throw Oops();
}

/// One generator over another one.
AsyncGenerator<int> doubled(AsyncGenerator<int> inner) {
  while (const auto value = co_await inner.next()) co_yield *value * 2;
}

Coro<> read_generator(GeneratorBenchPtr bench) {
  const int count = static_cast<int>(bench->lot.below(8));
  const bool fails = bench->lot.permille(200);
  const bool twice = bench->lot.permille(500);
  AsyncGenerator<int> numbers = count_up(bench, count, fails);
  if (twice) numbers = doubled(std::move(numbers));
  int next = 0;
  bool failed = false;
  bool at_number = false;  // where it catches what is thrown in
  try {
    while (true) {
      std::optional<int> value;
      if (!twice && at_number && bench->lot.permille(150)) {
        at_number = false;
        const std::exception_ptr oops = std::make_exception_ptr(Oops());
        value = co_await numbers.next_with(oops);
        if (value != 1000) bench->trial.complain("the generator did not see the exception");
        continue;
      }
      value = co_await numbers.next();
      if (!value) break;
      at_number = true;
      if (*value != next++ * (twice ? 2 : 1)) bench->trial.complain("a value out of order");
      if (bench->lot.permille(50)) co_return bench->trial.reached("a generator dropped half way");
    }
  } catch (const Oops&) {
    failed = true;
  } catch (const CancelledError&) {
    bench->trial.reached("cancel inside a generator");
    throw;
  }
  if (next != count || fails != failed) bench->trial.complain("a generator ended too early");
  const auto after = co_await numbers.next();
  if (after) bench->trial.complain("a value after the end");
}

Coro<> read_generators(GeneratorBenchPtr bench) {
  std::vector<Coro<>> work;
  for (std::size_t i = bench->lot.between(3, 8); i > 0; --i) work.push_back(read_generator(bench));
  co_await work_at(bench, std::move(work), bench->lot.below(6));
  if (bench->alive != 0) bench->trial.complain("a generator's body was not destroyed");
}

void generators(Trial& trial) {
  play_bench(trial, read_generators(std::make_shared<GeneratorBench>(trial)));
}

// -- staggered races

struct RaceBench final : Bench {
  struct Racer {
    Duration length{};
    bool fails = false;
    bool began = false;
    bool won = false;
    bool ended = false;
  };
  using Bench::Bench;
  std::vector<Racer> racers;
};
using RaceBenchPtr = std::shared_ptr<RaceBench>;

Coro<int> run_in_race(RaceBenchPtr bench, std::size_t number) {
  RaceBench::Racer& self = bench->racers[number];
  struct Ended {
    RaceBench::Racer& racer;
    explicit Ended(RaceBench::Racer& r) : racer(r) { racer.began = true; }
    ~Ended() { racer.ended = true; }
  };
  const Ended ended(self);
  co_await sleep(self.length);
  if (self.fails) throw Oops();
  self.won = true;
  co_return static_cast<int>(number);
}

Coro<> one_race(RaceBenchPtr bench) {
  bench->racers.clear();
  bench->racers.resize(bench->lot.between(1, 5));
  using Begin = Function<Coro<int>()>;
  std::vector<Begin> begin;
  for (std::size_t i = 0; i < bench->racers.size(); ++i) {
    bench->racers[i].length = bench->pause();
    bench->racers[i].fails = bench->lot.permille(400);
    begin.push_back([bench, i] { return run_in_race(bench, i); });
  }
  std::optional<Duration> delay;
  if (bench->lot.permille(700)) delay = bench->pause();
  if (bench->lot.permille(300)) {  // all come in at the same moment
    delay = 1ms;
    for (std::size_t i = 0; i < bench->racers.size(); ++i) {
      bench->racers[i].length = static_cast<int>(6 - i) * 1ms;
    }
  }
  std::exception_ptr cancelled;
  try {
    const auto result = co_await staggered_race(std::move(begin), delay);
    std::size_t finished = 0;
    for (const auto& racer : bench->racers) finished += racer.won ? 1 : 0;
    if (finished > 1) bench->trial.reached("two racers come in at once");
    if (result.winner.has_value() != (finished > 0))
      bench->trial.complain("the wrong end of a race");
    if (result.winner) {
      if (!bench->racers[*result.winner].won || result.value != static_cast<int>(*result.winner)) {
        bench->trial.complain("the winner is another one");
      }
    } else {
      for (const auto& racer : bench->racers) {
        if (!racer.began) bench->trial.complain("nobody won, and not all have tried");
      }
    }
  } catch (const CancelledError&) {
    cancelled = std::current_exception();
    bench->trial.reached("cancel of a race");
  }
  for (const auto& racer : bench->racers) {
    if (racer.began && !racer.ended) bench->trial.complain("a racer runs on after the race");
  }
  if (cancelled) std::rethrow_exception(cancelled);
}

Coro<> races(Trial* trial) {
  const auto bench = std::make_shared<RaceBench>(*trial);
  for (int i = 0; i < 4; ++i) {
    const Task<> task = create_task(one_race(bench));
    bench->tasks.assign(1, task);
    if (bench->lot.permille(400)) {
      co_await sleep(bench->pause());
      task.cancel();
    }
    co_await all_end(bench);
  }
}

void staggered_races(Trial& trial) {
  play_bench(trial, races(&trial));
}

// -- futures

struct FutureBench final : Bench {
  explicit FutureBench(Trial& t) : Bench(t) {
    for (std::size_t i = lot.between(3, 8); i > 0; --i) futures.emplace_back(trial.loop());
    called.resize(futures.size());
    woken.resize(futures.size());
  }
  std::vector<Future<int>> futures;
  std::vector<int> called;  // callbacks of each
  std::vector<int> woken;   // tasks that waited for each
  std::size_t expected = 0;
  std::size_t count = 0;
};
using FutureBenchPtr = std::shared_ptr<FutureBench>;

/// Ends some future in some way.
void end_one(FutureBench& bench, std::size_t which, std::size_t how) {
  const Future<int>& future = bench.futures[which];
  if (future.done()) {
    if (future.cancel() || future.try_set_result(1)) bench.trial.complain("a future ended twice");
    return;
  }
  if (how == 0) {
    future.cancel("enough");
  } else if (how == 1) {
    future.set_exception(Oops());
  } else {
    future.set_result(static_cast<int>(which));
  }
  if (!future.done()) bench.trial.complain("a future is not done");
}

void watch(const FutureBenchPtr& bench, std::size_t which) {
  ++bench->expected;
  bench->futures[which].add_done_callback([bench, which](const Future<int>& future) {
    ++bench->count;
    ++bench->called[which];
    if (!future.done()) bench->trial.complain("a callback before the end");
    // Callbacks that end others, which have callbacks in turn.
    const std::size_t other = bench->lot.below(bench->futures.size());
    if (!bench->futures[other].done() && bench->lot.permille(300)) {
      bench->trial.reached("a future's callback ends another");
      end_one(*bench, other, bench->lot.below(3));
    }
    if (bench->lot.permille(100) && bench->expected < 60) watch(bench, other);
  });
}

Coro<> await_future(FutureBenchPtr bench, std::size_t which) {
  struct Woken {
    int& count;
    ~Woken() { ++count; }
  };
  const Woken woken{bench->woken[which]};
  const Future<int> future = bench->futures[which];
  try {
    // To cancel the task cancels the future: the others who wait for it hear of that, too.
    const int got = co_await future;
    if (got != static_cast<int>(which)) bench->trial.complain("another future's result");
  } catch (const Oops&) {
  }
}

Coro<> end_all(FutureBenchPtr bench) {
  for (int i = 0; i < 6; ++i) {
    co_await sleep(bench->pause());
    end_one(*bench, bench->lot.below(bench->futures.size()), bench->lot.below(3));
  }
  for (std::size_t i = 0; i < bench->futures.size(); ++i) {
    if (!bench->futures[i].done()) end_one(*bench, i, bench->lot.below(3));
  }
}

Coro<> juggle(FutureBenchPtr bench) {
  std::vector<Coro<>> work;
  bench->spared = 1;
  work.push_back(end_all(bench));
  for (std::size_t i = 0; i < bench->futures.size(); ++i) {
    for (std::size_t n = bench->lot.below(3); n > 0; --n) watch(bench, i);
    for (std::size_t n = bench->lot.below(3); n > 0; --n) work.push_back(await_future(bench, i));
  }
  co_await work_at(bench, std::move(work), bench->lot.below(5));
  for (int i = 0; i < 3; ++i) co_await sleep(0s);
  if (bench->count != bench->expected) bench->trial.complain("callbacks were lost, or doubled");
  for (const Future<int>& future : bench->futures) {
    if (!future.done()) bench->trial.complain("a future did not end");
    if (!future.cancelled()) static_cast<void>(future.exception());  // somebody has looked
  }
  bench->futures.clear();
}

void futures(Trial& trial) {
  play_bench(trial, juggle(std::make_shared<FutureBench>(trial)));
}

}  // namespace

void add_race_scenarios(std::vector<testing::Scenario>& all) {
  add(all, "generator", generators);
  add(all, "staggered-race", staggered_races);
  add(all, "futures", futures);
}

}  // namespace ferry::test
