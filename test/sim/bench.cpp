#include "bench.h"

#include <chrono>

namespace ferry::test {

using namespace std::chrono_literals;
using testing::Trial;

namespace {

/// Looks now and then whether somebody was forgotten.
Coro<> look_for_stalls(std::shared_ptr<Bench> bench) {
  for (int i = 0; i < 60; ++i) {
    co_await sleep(500us);
    if (!bench->stalled()) continue;
    const std::uint64_t steps = bench->steps;
    for (int turn = 0; turn < 5; ++turn) co_await sleep(0s);
    if (!bench->stalled() || bench->steps != steps) continue;
    bench->trial.complain("a wake-up was lost: somebody waits for what is there");
    co_return;
  }
}

}  // namespace

Coro<> all_end(std::shared_ptr<Bench> bench) {
  WaitOptions options;
  options.timeout = bench->patience();
  const auto ended = co_await wait(bench->tasks, options);
  if (!ended.pending.empty()) {
    std::string where;
    for (const Task<>& task : ended.pending) where += " " + std::string(waits_for(task));
    bench->trial.complain("tasks wait for ever:" + where);
    for (const Task<>& task : ended.pending) task.cancel();
  }
  for (const Task<>& task : ended.done) {
    if (task.cancelled() || !task.exception()) continue;
    try {
      task.result();
    } catch (const std::bad_alloc& error) {
      bench->trial.report(error.what());
    } catch (const std::exception& error) {
      bench->trial.complain(std::string("a task threw: ") + error.what());
    } catch (...) {
      bench->trial.complain("a task threw");
    }
  }
}

Coro<> work_at(std::shared_ptr<Bench> bench, std::vector<Coro<>> work, std::size_t cancels) {
  for (Coro<>& each : work) bench->tasks.push_back(create_task(std::move(each)));
  const Task<> looking = create_task(look_for_stalls(bench));
  while (cancels-- > 0) {
    co_await sleep(bench->pause());
    const std::size_t which = bench->lot.below(bench->tasks.size());
    if (which >= bench->spared) cancel_noting(bench->trial, bench->tasks[which]);
    if (bench->trial.simulated() && bench->lot.permille(20)) {
      bench->trial.sim().advance(bench->lot.below(10) * 1ms);
    }
  }
  co_await all_end(bench);
  looking.cancel();
}

void play_bench(Trial& trial, Coro<> program) {
  const Task<> task = create_task(trial.loop(), std::move(program));
  if (!trial.done(Future<void>(task))) {
    if (task.done() && task.cancelled()) trial.complain("the program was cancelled");
    // Those it would have ended itself may be stubborn.
    for (int i = 0; i < 50 && trial.loop().stats().tasks > 0; ++i) {
      for (TaskCore* each : all_tasks(trial.loop())) each->future().cancel({});
      trial.run_for(10ms);
    }
  }
  trial.run_until([&trial] { return trial.loop().stats().tasks == 0; });
}

void add(std::vector<testing::Scenario>& all, const std::string& name, void (*play)(Trial&),
         testing::Troubles troubles) {
  all.push_back({.name = name, .play = play, .troubles = troubles});
}

}  // namespace ferry::test
