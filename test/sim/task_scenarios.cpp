// Tasks that wait for each other: gather, wait, as_completed, shield.

#include "scenarios.h"
#include "work_bench.h"

#include <algorithm>
#include <chrono>
#include <set>

namespace ferry::test {

namespace {

using namespace std::chrono_literals;
using End = WorkBench::End;

// -- gather

Coro<> gather_values(WorkBenchPtr bench) {
  const std::vector<Task<int>> tasks = start_all(bench);
  const auto all = gather(std::vector<Task<int>>(tasks));
  bool cancel = bench->lot.permille(600);
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
    if (bench->lot.permille(700)) options.timeout = bench->pause();
    if (bench->lot.permille(300)) options.timeout = bench->pieces.back().length;
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
    const bool limited = options.timeout > Duration::zero();
    const bool enough =
        result.pending.empty() || (kind == 0 && !result.done.empty()) || (kind == 1 && failed);
    if (!enough && !late) bench->trial.complain("wait returned too early");
    if (enough && late && limited)
      bench->trial.reached("wait: timeout and result in the same turn");
    left = result.pending;
  }
  co_await all_done(bench, tasks);
}

// -- as_completed

Coro<> in_order_of_completion(WorkBenchPtr bench) {
  const std::vector<Task<int>> tasks = start_all(bench);
  std::optional<Duration> limit;
  if (bench->lot.permille(700)) limit = bench->pause();
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
    if (limit > Duration::zero()) bench->trial.reached("as_completed: out of time");
  }
  co_await all_done(bench, tasks);
}

// -- shield

Coro<int> await_shielded(Task<int> inner) {
  const Future<int> outer = shield(Future<int>(inner));
  try {
    co_return co_await outer;
  } catch (const CancelledError&) {
    // It may have failed in the same turn: somebody has to look.
    if (outer.done()) static_cast<void>(outer.state()->failure());
    throw;
  }
}

Coro<> shield_from_cancel(WorkBenchPtr bench) {
  const std::vector<Task<int>> tasks = start_all(bench);
  std::vector<Task<int>> outer;
  for (const Task<int>& task : tasks) outer.push_back(create_task(await_shielded(task)));
  for (const Task<int>& task : outer) {
    if (!bench->lot.permille(500)) continue;
    if (bench->lot.permille(500)) co_await sleep(bench->pause());
    const bool awaits = waits_for(task) == "future";
    if (task.cancel() && awaits) bench->trial.reached("cancel of who awaits a shield");
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

}  // namespace

void add_task_scenarios(std::vector<testing::Scenario>& all) {
  add(all, "task-gather", play_work<gather_values>);
  add(all, "task-gather-outcomes", play_work<gather_outcomes>);
  add(all, "task-wait", play_work<wait_in_ways>);
  add(all, "task-as-completed", play_work<in_order_of_completion>);
  add(all, "task-shield", play_work<shield_from_cancel>);
}

}  // namespace ferry::test
