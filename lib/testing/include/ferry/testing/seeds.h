#pragma once

#include <ferry/testing/trial.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ferry::testing {

/// A program to be tried in many worlds: it makes its servers and clients on the trial's loop, runs
/// it, checks what came of it, and takes everything down again.
struct Scenario {
  std::string name{};
  Function<void(Trial&)> play{};
  /// Called before each run with its seed: for what is outside of the loop, yet not the same each
  /// time.
  Function<void(std::uint64_t)> prepare{};
  Troubles troubles{};
  TrialOptions options{};
};

/// What came of one seed. A world that failed throws nothing: look at `complaints`, or nothing has
/// been tested.
struct [[nodiscard]] SeedOutcome {
  std::vector<std::string> complaints{};  ///< What was wrong, in sentences; empty: nothing.
  std::uint64_t log_hash = 0;
  std::vector<const char*> states{};  ///< Trial::reached
  std::uint64_t calls = 0;            ///< FaultKernel::calls
  std::size_t ways = 0;               ///< FaultKernel::variants
};

/// A seed that failed, made as simple as it gets.
struct SeedFailure {
  std::string scenario{};
  std::uint64_t seed = 0;
  /// What was wrong in the simplest world that failed: it may be something else than in the world
  /// that was drawn.
  std::vector<std::string> complaints{};
  /// Of its disturbances, by number, those without which it fails as well.
  std::vector<std::size_t> without{};
  /// If storms of errors are among those: the single calls of theirs that it takes, instead.
  std::vector<Disturbance> instead{};
  std::vector<Disturbance> disturbances{};  ///< What is left: the others, and `instead`.
  /// More words that a program of its own needs to replay it: " --real".
  std::string how{};

  /// What a test calls to see it again: "play_seed(scenario, 17, {0, 3})".
  std::string replay() const;
  /// The same as words for a program that has many scenarios, as ferry's own `sim`:
  /// "--scenario echo --seed 17 --without 0,3", and `how`.
  std::string arguments() const;
  /// All of it, in several lines; the last one is the replay.
  std::string to_string() const { return to_string(replay()); }
  std::string to_string(const std::string& replay) const;
};

struct SeedOptions {
  std::uint64_t first = 1;
  std::uint64_t count = 1000;
  /// Run each seed twice, and compare.
  bool twice = true;
  /// Try which disturbances a failure needs (see `shrink`).
  bool shrink = true;
};

/// What came of many: look at `ok`.
struct [[nodiscard]] SeedReport {
  std::uint64_t seeds = 0;  ///< That ran, up to the first failure.
  std::optional<SeedFailure> failure{};
  /// In how many seeds each state was reached.
  std::map<std::string, std::uint64_t> states{};
  bool ok() const noexcept { return !failure; }
};

/// What is out of the ordinary in the scenario's world of that seed, but for those numbers.
std::vector<Disturbance> disturbances_of(const Scenario& scenario, std::uint64_t seed,
                                         std::span<const std::size_t> without = {});
/// Runs the scenario in the world of that seed with these disturbances. An exception out of `play`
/// is a complaint.
SeedOutcome play_in(Scenario& scenario, std::uint64_t seed, std::vector<Disturbance> disturbances);
/// The same with those that were drawn, without those of these numbers:
///
///     EXPECT_EQ(play_seed(scenario, 31, {1, 2}).complaints, std::vector<std::string>());
SeedOutcome play_seed(Scenario& scenario, std::uint64_t seed,
                      std::span<const std::size_t> without = {});
inline SeedOutcome play_seed(Scenario& scenario, std::uint64_t seed,
                             std::initializer_list<std::size_t> without) {
  return play_seed(scenario, seed, std::span(without.begin(), without.size()));
}
/// And with some that were not drawn: SeedFailure::instead.
SeedOutcome play_seed(Scenario& scenario, std::uint64_t seed,
                      std::initializer_list<std::size_t> without, std::vector<Disturbance> instead);
/// The same twice: that the two differ is a complaint.
SeedOutcome play_seed_twice(Scenario& scenario, std::uint64_t seed,
                            std::span<const std::size_t> without = {});
/// Which of the disturbances of a seed that fails can be left out, all together. If a storm of
/// errors must stay, some of the calls that it made fail take its place, if they are enough.
/// `play`: runs it without those; then storms stay. Null: as play_seed_twice does.
SeedFailure shrink(Scenario& scenario, std::uint64_t seed, std::vector<std::string> complaints,
                   Function<SeedOutcome(std::span<const std::size_t> without)> play = {});

/// Runs it in the worlds of many seeds, until one fails:
///
///     SeedReport report = run_seeds({.name = "greeting", .play = greet});
///     EXPECT_TRUE(report.ok()) << report.failure->to_string();
///
/// A failure names the call of `play_seed` that replays it; `run_seeds(scenario, {.first = 17,
/// .count = 1})` shrinks it once more.
SeedReport run_seeds(Scenario& scenario, SeedOptions options = {});
inline SeedReport run_seeds(Scenario&& scenario, SeedOptions options = {}) {
  return run_seeds(scenario, options);
}

}  // namespace ferry::testing
