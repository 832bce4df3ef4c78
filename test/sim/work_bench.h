#pragma once

#include "bench.h"

#include <optional>
#include <stdexcept>
#include <vector>

namespace ferry::test {

/// How work fails.
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
  explicit WorkBench(testing::Trial& t) : Bench(t) {
    pieces.resize(lot.between(1, 8));
    for (Piece& each : pieces) {
      each.length = pause();
      each.end = lot.permille(250) ? End::failure : End::value;
    }
  }
  std::vector<Piece> pieces;
  std::size_t ended = 0;
};
using WorkBenchPtr = std::shared_ptr<WorkBench>;
/// The piece of that number: its result is the number, or Oops.
Coro<int> work_on(WorkBenchPtr bench, std::size_t number);
/// A task for each piece.
std::vector<Task<int>> start_all(const WorkBenchPtr& bench);
/// Waits for all tasks, and checks that each has come to what its piece came to.
Coro<> all_done(WorkBenchPtr bench, std::vector<Task<int>> tasks);

template <Coro<> (*program)(WorkBenchPtr)>
void play_work(testing::Trial& trial) {
  play_bench(trial, program(std::make_shared<WorkBench>(trial)));
}

}  // namespace ferry::test
