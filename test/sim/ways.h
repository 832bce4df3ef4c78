#pragma once

#include "worker.h"

#include <ferry/testing/seeds.h>

#include <cstdint>
#include <optional>
#include <string>

namespace ferry::test {

/// What came of one scenario's turn.
struct Turn {
  testing::SeedOutcome outcome{};
  std::uint64_t worlds = 0;
  /// If it failed.
  testing::SeedFailure failure{};
};

/// One that takes longer than 30 seconds of processor time, or five minutes, hangs: its process is
/// ended by SIGPROF or SIGALRM.
void limit_time();

/// Plays the scenario as the job says: in the world of that seed, in a storm, or in as many worlds
/// as it has calls, or allocations, that can fail. Of the calls each turn takes its part: the seeds
/// from `job.first` on are the turns' numbers then.
Turn play(testing::Scenario& scenario, const Job& job, std::uint64_t seed, Progress& progress);

/// Makes a failure of a turn simpler: that may take a while.
void simplify(testing::Scenario& scenario, const Job& job, testing::SeedFailure& failure);

/// The words that replay a failure beside scenario and seed, but for the number of a call.
std::string how_to_replay(const Job& job);

}  // namespace ferry::test
