// Tasks that wait for each other: gather, wait, as_completed, shield, limits of time.

#include "bench.h"
#include "scenarios.h"

#include <chrono>
#include <map>
#include <set>

namespace ferry::test {

namespace {

using namespace std::chrono_literals;
using testing::Trial;

struct Oops : std::runtime_error {
  Oops() : std::runtime_error("oops") {}
};

/// Pieces of work whose ends are drawn beforehand, many at the same time, and what became of them.
struct WorkBench final : Bench {
  enum class End { value, failure, cancelled };
  struct Piece {
    Duration length{};
    End end = End::value;
    std::optional<End> ended{};
    std::size_t order = 0;
  };
  explicit WorkBench(Trial& t) : Bench(t) {
    pieces.resize(lot.between(1, 8));
    for (Piece& each : pieces) {
      each.length = pause();
      each.end = lot.permille(150) ? End::failure : End::value;
    }
  }
  std::vector<Piece> pieces;
  std::size_t ended = 0;
};
using WorkBenchPtr = std::shared_ptr<WorkBench>;
using End = WorkBench::End;

Coro<int> work_on(WorkBenchPtr bench, std::size_t number) {
  WorkBench::Piece& piece = bench->pieces[number];
  struct Ended {
    WorkBench& bench;
    WorkBench::Piece& piece;
    ~Ended() {
      piece.order = bench.ended++;
      if (!piece.ended) piece.ended = End::cancelled;
    }
  };
  const Ended ended{*bench, piece};
  // Nothing at all, or a turn, or some time.
  if (piece.length > 0ms || bench->lot.permille(500)) co_await sleep(piece.length);
  piece.ended = piece.end;
  if (piece.end == End::failure) throw Oops();
  co_return static_cast<int>(number);
}

std::vector<Task<int>> start_all(const WorkBenchPtr& bench) {
  std::vector<Task<int>> tasks;
  for (std::size_t i = 0; i < bench->pieces.size(); ++i) {
    tasks.push_back(create_task(work_on(bench, i)));
  }
  return tasks;
}

/// What it came to is what its piece was to come to.
void check(WorkBench& bench, std::size_t number, const Task<int>& task) {
  if (!task.done()) return bench.trial.complain("a task is not done");
  const End expected = bench.pieces[number].ended.value_or(End::cancelled);
  End got = End::value;
  if (task.cancelled()) {
    got = End::cancelled;
  } else if (task.exception()) {
    got = End::failure;
  } else if (task.result() != static_cast<int>(number)) {
    bench.trial.complain("a task has another one's result");
  }
  if (got != expected) bench.trial.complain("a task ended in another way than its coroutine");
}

Coro<> all_done(WorkBenchPtr bench, std::vector<Task<int>> tasks) {
  WaitOptions options;
  options.timeout = bench->patience();
  co_await wait(tasks, options);
  for (std::size_t i = 0; i < tasks.size(); ++i) check(*bench, i, tasks[i]);
}

// -- gather

Coro<> gather_values(WorkBenchPtr bench) {
  const std::vector<Task<int>> tasks = start_all(bench);
  const auto all = gather(std::vector<Task<int>>(tasks));
  bool cancel = bench->lot.permille(300);
  if (cancel) {
    co_await sleep(bench->pause());
    cancel = all.cancel();
    if (cancel) bench->trial.reached("gather is cancelled");
  }
  bool failed = false;
  bool cancelled = false;
  try {
    const auto& values = co_await all;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (values[i] != static_cast<int>(i)) bench->trial.complain("values out of order");
    }
    if (values.size() != tasks.size()) bench->trial.complain("values are missing");
  } catch (const Oops&) {
    failed = true;
    const auto running = [](const Task<int>& task) { return !task.done(); };
    if (std::any_of(tasks.begin(), tasks.end(), running)) {
      bench->trial.reached("gather fails while others run on");
    }
  } catch (const CancelledError&) {
    cancelled = true;
    // It ends when all have ended.
    for (const Task<int>& task : tasks) {
      if (!task.done()) bench->trial.complain("gather was cancelled, and something still runs");
    }
  }
  if (cancelled && !cancel) bench->trial.complain("gather: cancelled by nobody");
  if (cancel && !cancelled && !failed) bench->trial.complain("gather swallowed a cancellation");
  co_await all_done(bench, tasks);
  bool any = false;
  for (const auto& piece : bench->pieces) any = any || piece.ended == End::failure;
  if (failed && !any) bench->trial.complain("gather failed, and none of them has");
  if (!failed && !cancelled && any) bench->trial.complain("gather did not tell of a failure");
}

Coro<> gather_outcomes(WorkBenchPtr bench) {
  const std::vector<Task<int>> tasks = start_all(bench);
  const auto all = gather(return_exceptions, std::vector<Task<int>>(tasks));
  if (bench->lot.permille(400)) {
    co_await sleep(bench->pause());
    const std::size_t which = bench->lot.below(tasks.size());
    tasks[which].cancel();
  }
  const auto& outcomes = co_await all;
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    const bool value = bench->pieces[i].ended == End::value;
    if (outcomes[i].has_value() != value) bench->trial.complain("another outcome");
    if (value && outcomes[i].value() != static_cast<int>(i)) bench->trial.complain("another value");
  }
  co_await all_done(bench, tasks);
}

// -- wait

Coro<> wait_in_ways(WorkBenchPtr bench) {
  const std::vector<Task<int>> tasks = start_all(bench);
  std::set<FutureState*> done;
  std::vector<Task<int>> left = tasks;
  while (!left.empty()) {
    WaitOptions options;
    const std::size_t kind = bench->lot.below(3);
    if (kind == 0) options.return_when = ReturnWhen::first_completed;
    if (kind == 1) options.return_when = ReturnWhen::first_exception;
    if (bench->lot.permille(400)) options.timeout = bench->pause();
    const TimePoint limit = get_running_loop().time() + options.timeout.value_or(0s);
    const std::size_t count = left.size();
    const auto result = co_await wait(std::move(left), options);
    if (result.done.size() + result.pending.size() != count) {
      bench->trial.complain("wait lost a task");
    }
    bool failed = false;
    for (const Task<int>& task : result.done) {
      if (!task.done() || !done.insert(task.state()).second) {
        bench->trial.complain("wait gave a task that is not done, or twice");
      }
      failed = failed || (!task.cancelled() && task.exception());
    }
    const bool late = options.timeout && get_running_loop().time() >= limit;
    const bool enough =
        result.pending.empty() || (kind == 0 && !result.done.empty()) || (kind == 1 && failed);
    if (!enough && !late) bench->trial.complain("wait returned too early");
    if (enough && late) bench->trial.reached("wait: timeout and result in the same turn");
    left = result.pending;
  }
  co_await all_done(bench, tasks);
}

// -- as_completed

Coro<> in_order_of_completion(WorkBenchPtr bench) {
  const std::vector<Task<int>> tasks = start_all(bench);
  std::optional<Duration> limit;
  if (bench->lot.permille(400)) limit = bench->pause();
  auto completed = as_completed(std::vector<Task<int>>(tasks), limit);
  std::size_t count = 0;
  std::size_t last = 0;
  try {
    while (const auto task = co_await completed.next()) {
      if (!task->done()) bench->trial.complain("as_completed gave one that is not done");
      const auto place = std::find(tasks.begin(), tasks.end(), *task);
      const std::size_t number = static_cast<std::size_t>(place - tasks.begin());
      const std::size_t order = bench->pieces.at(number).order;
      if (count++ > 0 && order < last) bench->trial.complain("not in the order of completion");
      last = order;
      if (bench->lot.permille(300)) co_await sleep(bench->pause());
    }
    if (count != tasks.size()) bench->trial.complain("as_completed did not give all");
  } catch (const TimeoutError&) {
    if (!limit) bench->trial.complain("there was no limit");
    bench->trial.reached("as_completed: out of time");
  }
  co_await all_done(bench, tasks);
}

// -- shield

Coro<int> await_shielded(Task<int> inner) {
  co_return co_await shield(Future<int>(inner));
}

Coro<> shield_from_cancel(WorkBenchPtr bench) {
  const std::vector<Task<int>> tasks = start_all(bench);
  std::vector<Task<int>> outer;
  for (const Task<int>& task : tasks) outer.push_back(create_task(await_shielded(task)));
  for (const Task<int>& task : outer) {
    if (!bench->lot.permille(500)) continue;
    if (bench->lot.permille(500)) co_await sleep(bench->pause());
    if (!task.done() && task.cancel()) bench->trial.reached("cancel of who awaits a shield");
  }
  WaitOptions options;
  options.timeout = bench->patience();
  co_await wait(outer, options);
  co_await all_done(bench, tasks);
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    if (tasks[i].cancelled()) bench->trial.complain("a shield let a cancellation through");
    if (outer[i].cancelled() || outer[i].exception()) continue;
    if (outer[i].result() != static_cast<int>(i)) bench->trial.complain("a shield gave another's");
  }
}

// -- limits of time

Coro<> limit_all(WorkBenchPtr bench) {
  for (std::size_t i = 0; i < bench->pieces.size(); ++i) {
    WorkBench::Piece& piece = bench->pieces[i];
    Timeout limit(Duration(bench->pause()));
    const bool as_task = bench->lot.permille(500);
    const TimePoint begin = get_running_loop().time();
    bool in_time = false;
    Task<int> task;
    try {
      if (as_task) {
        task = create_task(work_on(bench, i));
        in_time = co_await limit.run(task) == static_cast<int>(i);
      } else {
        in_time = co_await limit.run(work_on(bench, i)) == static_cast<int>(i);
      }
      if (!in_time) bench->trial.complain("another result");
    } catch (const TimeoutError&) {
      if (!limit.expired()) bench->trial.complain("a limit that has not run out");
      if (piece.ended == End::value) bench->trial.reached("timeout and result in the same turn");
      if (!limit.when() || get_running_loop().time() < *limit.when()) {
        bench->trial.complain("a limit ran out too early");
      }
    } catch (const Oops&) {
      if (piece.ended != End::failure) bench->trial.complain("it has not failed");
    }
    if (in_time && get_running_loop().time() - begin < piece.length) {
      bench->trial.complain("a sleep was too short");
    }
    // It may have failed in the turn in which the time was over: somebody has to look.
    if (as_task && task.done()) static_cast<void>(task.state()->failure());
    if (limit.expired() && in_time) bench->trial.reached("a result in spite of the timeout");
    if (current_task()->cancelling() != 0) bench->trial.complain("a limit left a cancellation");
  }
}

/// Limits inside limits: the one that runs out first counts, and each is told only of its own.
Coro<int> limited_twice(WorkBenchPtr bench, std::size_t number, Duration inner) {
  try {
    co_return co_await wait_for(work_on(bench, number), inner);
  } catch (const TimeoutError&) {
    bench->trial.reached("the inner of two limits");
  }
  co_await sleep(bench->pause());
  co_return -1;
}

Coro<> limit_twice(WorkBenchPtr bench) {
  for (std::size_t i = 0; i < bench->pieces.size(); ++i) {
    const Duration inner = bench->pause();
    const TimePoint when = get_running_loop().after(bench->pause());
    try {
      const int got = co_await timeout_at(when, limited_twice(bench, i, inner));
      if (got != -1 && got != static_cast<int>(i)) bench->trial.complain("another result");
    } catch (const TimeoutError&) {
      if (get_running_loop().time() < when) bench->trial.complain("a limit ran out too early");
      bench->trial.reached("the outer of two limits");
    } catch (const Oops&) {
    }
    if (current_task()->cancelling() != 0) bench->trial.complain("a limit left a cancellation");
  }
}

template <Coro<> (*program)(WorkBenchPtr)>
void play(Trial& trial) {
  play_bench(trial, program(std::make_shared<WorkBench>(trial)));
}

}  // namespace

void add_task_scenarios(std::vector<testing::Scenario>& all) {
  add(all, "task-gather", play<gather_values>);
  add(all, "task-gather-outcomes", play<gather_outcomes>);
  add(all, "task-wait", play<wait_in_ways>);
  add(all, "task-as-completed", play<in_order_of_completion>);
  add(all, "task-shield", play<shield_from_cancel>);
  add(all, "task-timeout", play<limit_all>);
  add(all, "task-two-timeouts", play<limit_twice>);
}

}  // namespace ferry::test
