#include "work_bench.h"

#include <chrono>

namespace ferry::test {

using namespace std::chrono_literals;
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

namespace {

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

}  // namespace

Coro<> all_done(WorkBenchPtr bench, std::vector<Task<int>> tasks) {
  WaitOptions options;
  options.timeout = bench->patience();
  co_await wait(tasks, options);
  for (std::size_t i = 0; i < tasks.size(); ++i) check(*bench, i, tasks[i]);
}

}  // namespace ferry::test
