// Loops that close while tasks are at work: by Runner, which cancels them and waits; and by force,
// which destroys them where they stand.

#include "bench.h"
#include "scenarios.h"

#include <ferry/testing/sim_kernel.h>

#include <chrono>
#include <memory>

namespace ferry::test {

namespace {

using namespace std::chrono_literals;
using testing::Trial;

/// Things to wait for, and tasks that do.
struct Town {
  explicit Town(Trial& t) : trial(t), lot(t.lot()) {}

  Trial& trial;  // outlives the loops in here
  testing::Seed lot;
  Lock lock;
  Semaphore semaphore{2};
  Event event;
  Condition condition;
  Barrier barrier{3};
  Queue<int> queue{2};
  std::size_t began = 0;
  std::size_t alive = 0;
  std::size_t cleaned = 0;  // that were cancelled, and ended in their own time
  std::size_t failed = 0;   // on the way out
  std::size_t reported = 0;
};
using TownPtr = std::shared_ptr<Town>;

struct Resident {
  Town& town;
  explicit Resident(Town& t) : town(t) {
    ++town.alive;
    ++town.began;
  }
  Resident(const Resident&) = delete;
  ~Resident() { --town.alive; }
};

Coro<> wait_in_condition(TownPtr town) {
  const auto guard = co_await town->condition.scoped();
  if (town->lot.permille(300)) town->condition.notify_all();
  co_await town->condition.wait();
}

Coro<> hold(TownPtr town, Duration time) {
  const auto guard = co_await town->lock.scoped();
  co_await sleep(time);
}

Coro<> share(TownPtr town, Duration time) {
  const auto guard = co_await town->semaphore.scoped();
  co_await sleep(time);
}

Coro<> two_in_a_group(TaskGroup& group, TownPtr town, Duration time) {
  group.create_task(hold(town, time));
  group.create_task(share(town, time));
  co_await sleep(time);
}

Coro<> do_something(TownPtr town) {
  const Duration time = town->lot.below(4) * 1ms;
  switch (town->lot.below(11)) {
    case 0:
      co_return co_await hold(town, time);
    case 1:
      co_return co_await share(town, time);
    case 2:
      if (town->lot.permille(500)) town->event.set();
      town->event.clear();
      co_return co_await town->event.wait();
    case 3:
      co_return co_await wait_in_condition(town);
    case 4: {
      const std::size_t index = co_await town->barrier.wait();
      static_cast<void>(index);
      co_return;
    }
    case 5:
      co_return co_await town->queue.put(1);
    case 6: {
      const int got = co_await town->queue.get();
      static_cast<void>(got);
      co_return;
    }
    case 7:
      co_return co_await task_group(two_in_a_group, town, time);
    case 8:
      try {
        co_await wait_for(hold(town, 10ms), time);
      } catch (const TimeoutError&) {
      }
      co_return;
    case 9: {
      const auto both = gather(hold(town, time), share(town, time));
      co_await both;
      co_return;
    }
    default:
      co_return co_await shield(share(town, time));
  }
}

struct Oops : std::runtime_error {
  Oops() : std::runtime_error("oops") {}
};

Coro<> live(TownPtr town) {
  const Resident resident(*town);
  bool cancelled = false;
  try {
    while (true) {
      co_await do_something(town);
      co_await sleep(town->lot.below(2) * 1ms);
    }
  } catch (const CancelledError&) {
    cancelled = true;
  }
  if (town->lot.permille(500)) co_await sleep(town->lot.below(5) * 1ms);
  if (cancelled) ++town->cleaned;
  if (town->lot.permille(100)) {
    ++town->failed;
    throw Oops();
  }
  throw CancelledError();
}

Coro<int> main_coroutine(TownPtr town) {
  for (std::size_t i = town->lot.between(5, 20); i > 0; --i) {
    static_cast<void>(create_task(live(town)));
    if (town->lot.permille(200)) co_await sleep(town->lot.below(3) * 1ms);
  }
  co_await sleep(town->lot.below(20) * 1ms);
  if (town->lot.permille(300)) throw Oops();
  co_return 42;
}

std::unique_ptr<EventLoop> make_loop(const TownPtr& town) {
  auto loop = std::make_unique<EventLoop>(testing::make_sim_kernel());
  loop->set_exception_handler([town = town.get()](EventLoop&, const ExceptionContext& context) {
    if (context.exception) ++town->reported;
  });
  return loop;
}

void runner(Trial& trial) {
  const auto town = std::make_shared<Town>(trial);
  RunOptions options;
  options.handle_sigint = false;
  options.loop_factory = [&town] { return make_loop(town); };
  Runner runner(std::move(options));
  for (int round = 0; round < 2; ++round) {
    try {
      if (runner.run(main_coroutine(town)) != 42) trial.complain("run gave another result");
    } catch (const Oops&) {
      trial.reached("run ends by an exception, with tasks at work");
    }
  }
  runner.close();
  if (town->alive != 0) trial.complain("tasks outlive their loop");
  if (town->cleaned != town->began) trial.complain("a task was not cancelled, or not waited for");
  if (town->reported != town->failed) trial.complain("failures on the way out were not reported");
}

/// What the tasks do is cut off anywhere, even before their first step.
void loop_close(Trial& trial) {
  const auto town = std::make_shared<Town>(trial);
  const std::unique_ptr<EventLoop> loop = make_loop(town);
  std::vector<Task<>> kept;
  for (std::size_t i = town->lot.between(5, 20); i > 0; --i) {
    kept.push_back(create_task(*loop, live(town)));
  }
  for (std::size_t turns = town->lot.below(60); turns > 0; --turns) {
    loop->call_soon([&loop] { loop->stop(); });
    loop->run_forever();
  }
  for (std::size_t i = town->lot.below(5); i > 0; --i) {
    cancel_noting(trial, kept[town->lot.below(kept.size())]);
  }
  if (town->lock.n_waiting() > 0) trial.reached("the loop closes while tasks wait for a Lock");
  if (town->alive > 0) trial.reached("the loop closes while tasks are at work");
  if (town->lot.permille(500)) kept.clear();
  loop->close();
  if (town->alive != 0) trial.complain("tasks outlive their loop");
  if (loop->stats().tasks != 0) trial.complain("a closed loop has tasks");
  if (town->lock.n_waiting() > 0 || town->queue.n_getting() > 0) {
    trial.complain("a task that is destroyed still waits");
  }
}

}  // namespace

void add_close_scenarios(std::vector<testing::Scenario>& all) {
  add(all, "runner", runner);
  add(all, "loop-close", loop_close);
}

}  // namespace ferry::test
