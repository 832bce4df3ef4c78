#pragma once

#include <ferry/testing/seeds.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

namespace ferry::test {

/// What is to be run.
struct Job {
  std::uint64_t seeds = 1000;
  std::uint64_t first = 1;
  std::vector<std::string> only{};  ///< Scenarios' names, in turn; empty: all.
  std::vector<std::size_t> without{};
  bool twice = true;
  bool shrink = true;
  bool real = false;  ///< On the system's own kernel.
  /// Each call of each scenario fails once in each way it can, in a world that is calm otherwise.
  bool torture = false;
  std::optional<std::pair<std::uint64_t, std::size_t>> only_call{};  ///< Of those one: call, way.
  /// Each allocation that is made while the loop runs fails once, in such a world.
  bool starve = false;
  std::optional<std::size_t> only_allocation{};  ///< Of those one.
  unsigned storm = 0;   ///< Of a thousand calls so many fail, in place of what is drawn.
  std::time_t end = 0;  ///< Then it is over, if not before; 0: no limit.

  /// Every scenario has its turn once, in so many parts that can go at the same time; `seeds` is
  /// the number of all parts.
  bool once_each() const { return torture || starve; }
  std::uint64_t parts() const { return torture && !only_call ? 16 : 1; }
};

/// What a worker and who watches it share: in memory of both, so that it outlives a crash.
struct Progress {
  static constexpr std::size_t kMaxStates = 512;
  static constexpr std::size_t kMaxScenarios = 512;
  static constexpr std::size_t kMaxText = 32 * 1024;

  std::atomic<std::uint64_t> index{0};  ///< Of the seed under way, from 0.
  std::atomic<std::uint64_t> done{0};   ///< Worlds.
  std::atomic<std::uint64_t> call{0};   ///< Under torture: which call fails,
  std::atomic<std::uint64_t> way{0};    ///< and how.
  std::atomic<std::uint64_t> failed_at{0};
  std::atomic<bool> failed{false};
  std::array<std::atomic<std::uint64_t>, kMaxStates> states{};
  std::array<std::atomic<std::uint64_t>, kMaxScenarios> nanoseconds{};  ///< CPU time by scenario.
  std::array<std::atomic<std::uint64_t>, kMaxScenarios> runs{};
  std::array<char, kMaxText> text{};  ///< What failed.

  void fail(std::uint64_t at, const std::string& what);
};

/// Which seed is whose turn next, from 0: all workers share it.
using NextSeed = std::atomic<std::uint64_t>;

/// Runs the seeds whose turn it is until there is none, or one fails. For a process of its own.
void work(const Job& job, NextSeed& next, Progress& progress);

/// Which of the scenarios the seed at that place is for.
std::size_t scenario_of(const Job& job, const std::vector<testing::Scenario>& all,
                        std::uint64_t index);

}  // namespace ferry::test
