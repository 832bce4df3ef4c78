// Loops that close while tasks are at work: by Runner, which cancels them and waits; and by force,
// which destroys them where they stand.

#include "bench.h"
#include "counted_kernel.h"
#include "scenarios.h"

#include <ferry/kernel.h>
#include <ferry/streams.h>
#include <ferry/testing/fault_kernel.h>
#include <ferry/testing/sim_kernel.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <utility>

namespace ferry::test {

namespace {

using namespace std::chrono_literals;
using testing::Trial;

/// In a turn, as Trial has it.
constexpr std::uint64_t kMostCallbacks = 61;

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
  std::shared_ptr<Server> server;
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

/// However its task ends, the connection does as well.
struct Line {
  Stream stream;
  explicit Line(Stream s) : stream(std::move(s)) {}
  Line(const Line&) = delete;
  ~Line() { stream.writer.transport()->abort(); }
};

Coro<> answer(TownPtr town, StreamReader reader, StreamWriter writer) {
  const Line line(Stream(std::move(reader), std::move(writer)));
  try {
    while (const auto asked = co_await line.stream.reader.next_line()) {
      if (town->lot.permille(300)) co_await sleep(1ms);
      line.stream.writer.write(*asked);
      co_await line.stream.writer.drain();
    }
  } catch (const std::system_error&) {
  }
}

Coro<> open_server(TownPtr town) {
  const StreamHandler handler = [town](StreamReader reader, StreamWriter writer) {
    return answer(town, std::move(reader), std::move(writer));
  };
  ListenOptions options;
  options.hosts = {"127.0.0.1"};
  try {
    town->server = co_await start_server(handler, std::move(options));
  } catch (const std::system_error&) {
  }
}

Coro<> ask(TownPtr town) {
  if (!town->server || !town->server->is_serving()) co_return;
  ConnectOptions options;
  options.host = "127.0.0.1";
  options.port = town->server->port();
  options.timeout = 1s;
  try {
    Stream stream = co_await open_connection(std::move(options));
    const Line line(std::move(stream));
    for (std::size_t i = town->lot.below(3); i > 0; --i) {
      line.stream.writer.write("well?\n");
      const std::string got = co_await wait_for(line.stream.reader.readline(), 1s);
      if (!std::string("well?\n").starts_with(got)) town->trial.complain("another answer");
    }
  } catch (const std::system_error&) {
  }
}

Coro<> do_something(TownPtr town) {
  const Duration time = town->lot.below(4) * 1ms;
  switch (town->lot.below(14)) {
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
    case 10:
      co_return co_await shield(share(town, time));
    default:
      co_return co_await ask(town);
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
  if (!town->server) co_await open_server(town);
  for (std::size_t i = town->lot.between(5, 20); i > 0; --i) {
    static_cast<void>(create_task(live(town)));
    if (town->lot.permille(200)) co_await sleep(town->lot.below(3) * 1ms);
  }
  co_await sleep(town->lot.below(20) * 1ms);
  if (town->lot.permille(300)) throw Oops();
  co_return 42;
}

/// What comes out of a task that nobody waits for is reported once.
void count_reports(EventLoop& loop, const TownPtr& town) {
  loop.set_exception_handler([town](EventLoop&, const ExceptionContext& context) {
    try {
      if (context.exception) std::rethrow_exception(context.exception);
    } catch (const Oops&) {
      ++town->reported;
    } catch (...) {
      town->trial.report(context.to_string());
    }
  });
}

/// A Runner makes its loop itself, and closes it, so it cannot be the trial's. In the simulation
/// some calls of this one fail, too, its order is drawn by lot, and its turns take time.
std::unique_ptr<EventLoop> make_loop(const TownPtr& town) {
  testing::Seed& lot = town->lot;
  std::unique_ptr<Kernel> kernel;
  testing::SimKernel* world = nullptr;
  if (town->trial.simulated()) {
    testing::SimOptions options;
    options.seed = lot.next();
    options.permute_schedule = lot.permille(500);
    auto sim = std::make_unique<testing::SimKernel>(options);
    world = sim.get();
    if (lot.permille(100)) sim->set_turn_cost(std::chrono::microseconds(lot.between(1, 500)));
    if (lot.permille(100)) {
      sim->at(sim->now() + lot.below(20) * 1ms,
              [world, time = lot.between(1, 100) * 100ms] { world->advance(time); });
    }
    auto faults = std::make_unique<testing::FaultKernel>(std::move(sim));
    if (lot.permille(500)) {
      faults->storm({.seed = lot.next(), .errors = 30, .short_counts = 100});
    }
    kernel = make_counted_kernel(std::move(faults));
  } else {
    kernel = make_asio_kernel();
  }
  auto loop = std::make_unique<EventLoop>(std::move(kernel));
  count_reports(*loop, town);
  if (!world) return loop;
  world->set_turn_hook([&loop = *loop, town = town.get(), before = std::uint64_t{0}]() mutable {
    const std::uint64_t now = loop.stats().callbacks;
    if (now - std::exchange(before, now) > kMostCallbacks) {
      town->trial.complain("more callbacks in a turn than there may be");
    }
  });
  return loop;
}

/// When all others wait for each other time passes nonetheless.
Coro<> pass_the_time() {
  for (;;) co_await sleep(1ms);
}

void runner(Trial& trial) {
  trial.disturb();
  const auto town = std::make_shared<Town>(trial);
  RunOptions options;
  options.handle_sigint = false;
  options.loop_factory = [&town] { return make_loop(town); };
  Runner runner(std::move(options));
  for (int round = 0; round < 2; ++round) {
    try {
      if (runner.run(main_coroutine(town)) != 42) trial.complain("run gave another result");
    } catch (const Oops&) {
      if (town->alive > 0) trial.reached("run ends by an exception, with tasks at work");
    } catch (const std::bad_alloc&) {
      trial.failed(std::current_exception());
    }
  }
  try {
    runner.close();
  } catch (const std::bad_alloc&) {
    trial.failed(std::current_exception());
  }
  town->server = nullptr;
  if (town->alive != 0) trial.complain("tasks outlive their loop");
  if (town->cleaned != town->began) trial.complain("a task was not cancelled, or not waited for");
  if (town->reported != town->failed) trial.complain("failures on the way out were not reported");
}

/// What the tasks do is cut off anywhere, even before their first step.
void loop_close(Trial& trial) {
  trial.disturb();
  const auto town = std::make_shared<Town>(trial);
  EventLoop& loop = trial.loop();
  count_reports(loop, town);
  std::vector<Task<>> kept;
  kept.push_back(create_task(loop, open_server(town)));
  kept.push_back(create_task(loop, pass_the_time()));
  for (std::size_t i = town->lot.between(5, 20); i > 0; --i) {
    kept.push_back(create_task(loop, live(town)));
  }
  std::size_t turns = town->lot.below(60);
  if (trial.simulated()) {
    trial.run_until([&turns] { return turns-- == 0; });
  } else {
    trial.run_for(turns * 1ms);
  }
  for (std::size_t i = town->lot.below(5); i > 0; --i) {
    cancel_noting(trial, kept[town->lot.below(kept.size())]);
  }
  if (town->lock.n_waiting() > 0) trial.reached("the loop closes while tasks wait for a Lock");
  if (town->alive > 0) trial.reached("the loop closes while tasks are at work");
  if (town->server && town->server->connections() > 0) {
    trial.reached("the loop closes while tasks talk to each other");
  }
  if (town->lot.permille(500)) kept.clear();
  loop.close();
  town->server = nullptr;
  if (town->alive != 0) trial.complain("tasks outlive their loop");
  if (loop.stats().tasks != 0) trial.complain("a closed loop has tasks");
  if (town->lock.n_waiting() > 0 || town->queue.n_getting() > 0) {
    trial.complain("a task that is destroyed still waits");
  }
}

}  // namespace

void add_close_scenarios(std::vector<testing::Scenario>& all) {
  add(all, "runner", runner);
  add(all, "loop-close", loop_close, {});
}

}  // namespace ferry::test
