// TaskGroup: children that fail, are cancelled or make more of them, while somebody outside cancels
// the whole.

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

struct GroupBench final : Bench {
  using Bench::Bench;
  std::size_t running = 0;  // children that have begun and not ended
  std::size_t failed = 0;   // that threw Oops
  std::size_t began = 0;
  bool cancelled = false;  // from outside, while the group had not ended
  bool ended = false;      // the group
};
using GroupBenchPtr = std::shared_ptr<GroupBench>;

struct Running {
  GroupBench& bench;
  explicit Running(GroupBench& b) : bench(b) {
    ++bench.running;
    ++bench.began;
    if (bench.ended) bench.trial.complain("a child begins after the group's end");
  }
  Running(const Running&) = delete;
  ~Running() {
    --bench.running;
    if (bench.ended) bench.trial.complain("a child outlives its group");
  }
};

/// Works, perhaps fails, and takes its time to end when it is cancelled.
Coro<> child(GroupBenchPtr bench, unsigned failing) {
  const Running running(*bench);
  std::exception_ptr cancelled;
  try {
    for (std::size_t steps = bench->lot.below(4); steps > 0; --steps) {
      co_await sleep(bench->pause());
    }
  } catch (const CancelledError&) {
    cancelled = std::current_exception();
  }
  if (cancelled) {
    if (bench->lot.permille(500)) co_await sleep(bench->pause());
    if (bench->lot.permille(150)) {
      ++bench->failed;
      bench->trial.reached("a child fails while it is being cancelled");
      throw Oops();
    }
    std::rethrow_exception(cancelled);
  }
  if (bench->lot.permille(failing)) {
    ++bench->failed;
    throw Oops();
  }
}

Coro<> body(TaskGroup& group, GroupBenchPtr bench, unsigned failing, int depth);

Coro<> nested(GroupBenchPtr bench, unsigned failing, int depth) {
  const Running running(*bench);
  TaskGroup group;
  co_await group.run(body(group, bench, failing, depth - 1));
}

Coro<> body(TaskGroup& group, GroupBenchPtr bench, unsigned failing, int depth) {
  std::vector<Task<>> mine;
  for (std::size_t i = bench->lot.between(1, 4); i > 0; --i) {
    if (bench->lot.permille(50)) group.cancel();
    try {
      if (depth > 0 && bench->lot.permille(500)) {
        mine.push_back(group.create_task(nested(bench, failing, depth)));
      } else {
        mine.push_back(group.create_task(child(bench, failing)));
      }
    } catch (const std::logic_error&) {
      if (!group.cancelling()) throw;  // one has failed already
      bench->trial.reached("create_task in a group that shuts down");
    }
    if (bench->lot.permille(300)) co_await sleep(bench->pause());
    if (!mine.empty() && bench->lot.permille(100)) {
      cancel_noting(bench->trial, mine[bench->lot.below(mine.size())]);
    }
  }
  if (bench->lot.permille(100)) {
    ++bench->failed;
    throw Oops();
  }
}

/// How many of them: in groups inside groups, too.
std::size_t count_oops(const ExceptionGroup& errors) {
  return errors.for_each<Oops>([](const Oops&) {});
}

/// The parent: it must know afterwards of all failures, and of a cancellation from outside.
Coro<> parent(GroupBenchPtr bench, unsigned failing, int depth) {
  std::size_t told = 0;
  std::exception_ptr failure;
  try {
    TaskGroup group;
    co_await group.run(body(group, bench, failing, depth));
  } catch (const ExceptionGroup& errors) {
    told = count_oops(errors);
    if (bench->cancelled) bench->trial.reached("TaskGroup: outer cancel while a child fails");
  } catch (const CancelledError&) {
    failure = std::current_exception();
  }
  bench->ended = true;
  if (bench->running > 0) bench->trial.complain("the group has ended before its children");
  if (told != bench->failed) {
    bench->trial.complain(std::to_string(bench->failed) + " failed, and " + std::to_string(told) +
                          " were told of");
  }
  if (failure) {
    if (!bench->cancelled) bench->trial.complain("cancelled by nobody");
    std::rethrow_exception(failure);
  }
  if (current_task()->cancelling() > (bench->cancelled ? 1 : 0)) {
    bench->trial.complain("a request to cancel is left that nobody made");
  }
  // If the cancellation did not come out with the errors, it comes out here.
  co_await sleep(1ms);
  if (bench->cancelled) bench->trial.complain("a cancellation from outside was swallowed");
}

Coro<> cancel_it(GroupBenchPtr bench, Task<> task) {
  co_await sleep(bench->lot.between(0, 6) * 1ms);
  if (task.done() || bench->ended) co_return;
  bench->cancelled = true;
  cancel_noting(bench->trial, task);
}

Coro<> one_group(Trial* trial, unsigned failing, int depth) {
  for (int i = 0; i < 3; ++i) {
    const auto bench = std::make_shared<GroupBench>(*trial);
    bench->lot = testing::Seed(trial->lot("group").next() + static_cast<std::uint64_t>(i));
    const Task<> task = create_task(parent(bench, failing, depth));
    bench->tasks.push_back(task);
    if (bench->lot.permille(400)) bench->tasks.push_back(create_task(cancel_it(bench, task)));
    co_await all_end(bench);
    if (!bench->ended && bench->began > 0) trial->complain("the parent did not end");
    if (bench->cancelled && !task.cancelled()) trial->complain("an outer cancel was swallowed");
  }
}

void groups(Trial& trial) {
  play_bench(trial, one_group(&trial, 150, 0));
}

void nested_groups(Trial& trial) {
  play_bench(trial, one_group(&trial, 100, 2));
}

// -- a group inside a limit of time

Coro<> limited_parent(GroupBenchPtr bench) {
  Timeout limit(Duration(bench->lot.below(8) * 1ms));
  std::size_t told = 0;
  bool timed_out = false;
  try {
    TaskGroup group;
    co_await limit.run(group.run(body(group, bench, 100, 1)));
  } catch (const ExceptionGroup& errors) {
    told = count_oops(errors);
  } catch (const TimeoutError&) {
    timed_out = true;
  }
  bench->ended = true;
  if (timed_out && !limit.expired()) bench->trial.complain("a limit that has not run out");
  if (bench->running > 0) bench->trial.complain("the group has ended before its children");
  if (told != bench->failed) bench->trial.complain("failures were not told of");
  if (limit.expired() && bench->began > 0) {
    bench->trial.reached(told > 0 ? "timeout of a group whose child fails" : "timeout of a group");
  }
  // The limit was no request from outside: nothing of it is left.
  if (current_task()->cancelling() != 0) bench->trial.complain("a request to cancel is left");
  co_await sleep(1ms);
}

Coro<> limited_groups(Trial* trial) {
  for (int i = 0; i < 3; ++i) {
    const auto bench = std::make_shared<GroupBench>(*trial);
    bench->lot = testing::Seed(trial->lot("group").next() + static_cast<std::uint64_t>(i));
    bench->tasks.push_back(create_task(limited_parent(bench)));
    co_await all_end(bench);
    if (bench->tasks[0].cancelled()) trial->complain("a limit of time became a cancellation");
  }
}

void groups_with_limits(Trial& trial) {
  play_bench(trial, limited_groups(&trial));
}

}  // namespace

void add_group_scenarios(std::vector<testing::Scenario>& all) {
  add(all, "group", groups);
  add(all, "group-nested", nested_groups);
  add(all, "group-timeout", groups_with_limits);
}

}  // namespace ferry::test
