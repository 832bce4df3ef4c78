// Limits of time on work that ends, fails, or will not be told.

#include "scenarios.h"
#include "work_bench.h"

#include <chrono>
#include <memory>
#include <vector>

namespace ferry::test {

namespace {

using namespace std::chrono_literals;
using End = WorkBench::End;

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

/// Will not be told.
Coro<int> work_regardless(WorkBenchPtr bench) {
  for (int i = 0; i < 3; ++i) {
    try {
      co_await sleep(bench->pause());
    } catch (const CancelledError&) {
    }
  }
  co_return 7;
}

Coro<> limit_the_stubborn(WorkBenchPtr bench) {
  Timeout limit(Duration(bench->pause()));
  const int got = co_await limit.run(work_regardless(bench));
  if (got != 7) bench->trial.complain("another result");
  if (limit.expired()) bench->trial.reached("a result in spite of the timeout");
  if (current_task()->cancelling() != 0) bench->trial.complain("a limit left a cancellation");
}

/// A result that comes when the time is over, to the nanosecond: before or after.
Coro<> limit_to_the_moment(WorkBenchPtr bench) {
  EventLoop& loop = get_running_loop();
  const Future<int> future(loop);
  const TimePoint when = loop.after(bench->lot.between(1, 3) * 1ms);
  const auto tell = [&loop, future, when] {
    return loop.call_at(when, [future] { future.try_set_result(7); });
  };
  TimerHandle telling;
  const bool first = bench->lot.permille(500);
  if (first) telling = tell();
  Timeout limit{std::optional<TimePoint>(when)};
  if (!first) loop.call_soon([&telling, &tell] { telling = tell(); });
  try {
    const int got = co_await limit.run(Future<int>(future));
    if (got != 7) bench->trial.complain("another result");
  } catch (const TimeoutError&) {
    if (future.done() && !future.cancelled()) {
      bench->trial.reached("timeout and result in the same turn");
    }
  }
  telling.cancel();
}

Coro<> go_on_after(TimePoint when) {
  try {
    co_await timeout_at(when, sleep(1h));
  } catch (const TimeoutError&) {
  }
  co_await sleep(10ms);
}

/// Cancelled from outside as the time runs out: whatever comes first, the request must be kept.
Coro<> cancel_at_the_limit(WorkBenchPtr bench) {
  EventLoop& loop = get_running_loop();
  const TimePoint when = loop.after(bench->lot.between(1, 3) * 1ms);
  const auto requested = std::make_shared<bool>(false);
  const bool first = bench->lot.permille(500);
  std::vector<Task<>> tasks;
  if (!first) tasks.push_back(create_task(go_on_after(when)));
  if (!first) co_await sleep(0s);  // its limit is set
  if (first) tasks.push_back(create_task(go_on_after(when)));
  const auto cancel = [task = tasks.front(), requested] { *requested = task.cancel(); };
  TimerHandle cancelling = loop.call_at(when, cancel);
  co_await wait(tasks);
  cancelling.cancel();
  if (!*requested) co_return;
  bench->trial.reached("cancel as a limit runs out");
  if (!tasks.front().cancelled()) bench->trial.complain("a limit swallowed a cancellation");
}

Coro<> limit_in_ways(WorkBenchPtr bench) {
  co_await limit_all(bench);
  co_await limit_the_stubborn(bench);
  for (int i = 0; i < 2; ++i) co_await limit_to_the_moment(bench);
  for (int i = 0; i < 2; ++i) co_await cancel_at_the_limit(bench);
}

/// Limits inside limits: the one that runs out first counts, and each is told only of its own.
Coro<int> limited_twice(WorkBenchPtr bench, std::size_t number, Duration inner) {
  try {
    co_return co_await wait_for(work_on(bench, number), inner);
  } catch (const TimeoutError&) {
    if (inner > Duration::zero()) bench->trial.reached("the inner of two limits");
  }
  co_await sleep(bench->pause());
  co_return -1;
}

Coro<> limit_twice(WorkBenchPtr bench) {
  for (std::size_t i = 0; i < bench->pieces.size(); ++i) {
    const Duration inner = bench->pause();
    const TimePoint begin = get_running_loop().time();
    const TimePoint when = begin + bench->pause();
    try {
      const int got = co_await timeout_at(when, limited_twice(bench, i, inner));
      if (got != -1 && got != static_cast<int>(i)) bench->trial.complain("another result");
    } catch (const TimeoutError&) {
      if (get_running_loop().time() < when) bench->trial.complain("a limit ran out too early");
      if (when > begin) bench->trial.reached("the outer of two limits");
    } catch (const Oops&) {
    }
    if (current_task()->cancelling() != 0) bench->trial.complain("a limit left a cancellation");
  }
}

}  // namespace

void add_timeout_scenarios(std::vector<testing::Scenario>& all) {
  add(all, "task-timeout", play_work<limit_in_ways>);
  add(all, "task-two-timeouts", play_work<limit_twice>);
}

}  // namespace ferry::test
