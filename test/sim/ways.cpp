#include "ways.h"

#include "counted_kernel.h"
#include "counting_new.h"
#include "openssl_memory.h"
#include "world.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <iterator>
#include <string_view>

#include <sys/time.h>
#include <unistd.h>

namespace ferry::test {

using testing::Disturbance;
using testing::Scenario;
using testing::SeedOutcome;

namespace {

constexpr int kProcessorSeconds = 30;
constexpr unsigned kSeconds = 300;

/// The library's, the scenarios' and OpenSSL's.
std::ptrdiff_t live_blocks() {
  return live_allocations() + live_openssl_allocations();
}

/// The first calls fail in each of their ways; those behind, which are more of the same, in one.
constexpr std::uint64_t kCallsInAllWays = 150;
/// On the real kernel, where it takes so much longer, one of so many of those behind.
constexpr std::uint64_t kRealStride = 7;

/// On the real kernel a storm lasts until all is well again.
constexpr Duration kStorm = std::chrono::hours(1);

/// No scenario has business with more.
constexpr std::ptrdiff_t kMostMemory = 32 << 20;

/// Whether each run leaves more memory behind. Some may fill pools.
template <class Run>
bool leaks(Run run) {
  constexpr int kRuns = 20;
  for (int i = 0; i < kRuns; ++i) {
    const std::ptrdiff_t blocks = live_blocks();
    static_cast<void>(run());
    if (live_blocks() <= blocks) return false;
  }
  return true;
}

/// For what has been played once, with `blocks` of memory before.
template <class Run>
void look_for_leaks(SeedOutcome& outcome, std::ptrdiff_t blocks, Run run) {
  const std::ptrdiff_t results = outcome.states.empty() ? 0 : 1;
  if (!outcome.complaints.empty() || live_blocks() <= blocks + results) return;
  if (leaks(run)) outcome.complaints.emplace_back("each run leaves memory behind");
}

template <class Run>
SeedOutcome run_simulated(Run run) {
  const std::ptrdiff_t blocks = live_blocks();
  SeedOutcome outcome = run();
  look_for_leaks(outcome, blocks, run);
  return outcome;
}

/// What the process keeps is there the second time.
template <class Run>
SeedOutcome run_for_real(Run run) {
  const std::size_t before = open_descriptors();
  SeedOutcome outcome = run();
  const std::size_t first = open_descriptors();
  if (!outcome.complaints.empty() || first <= before) return outcome;
  outcome = run();
  if (open_descriptors() > first) outcome.complaints.emplace_back("each run leaves descriptors");
  return outcome;
}

/// Plays it twice. The second time, when the process has filled its pools, it must go the same way,
/// and give back what it took.
SeedOutcome play_and_look(Scenario& scenario, std::uint64_t seed,
                          std::span<const std::size_t> without) {
  const auto run = [&] { return testing::play_seed(scenario, seed, without); };
  const SeedOutcome first = run();
  if (!first.complaints.empty()) return first;
  const std::ptrdiff_t blocks = live_blocks();
  const std::ptrdiff_t bytes = live_bytes();
  reset_peak_bytes();
  SeedOutcome second = run();
  const std::ptrdiff_t peak = peak_bytes() - bytes;
  if (!second.complaints.empty()) return second;
  if (second.log_hash != first.log_hash) {
    second.complaints.emplace_back("the same seed went another way the second time");
  } else if (peak > kMostMemory) {
    second.complaints.push_back("it held " + std::to_string(peak) + " bytes");
  }
  look_for_leaks(second, blocks, run);
  return second;
}

void play_in_storm(Scenario& scenario, const Job& job, std::uint64_t seed, Turn& turn) {
  turn.failure.disturbances = {
      {.kind = Disturbance::Kind::errors, .lasts = kStorm, .count = job.storm},
      {.kind = Disturbance::Kind::short_counts, .count = 300}};
  const auto run = [&] { return testing::play_in(scenario, seed, turn.failure.disturbances); };
  turn.outcome = job.real ? run_for_real(run) : run();
}

/// Until the first failure among all ways in which single calls can fail: of every so many calls
/// that one which is this part's.
void torture(Scenario& scenario, const Job& job, std::uint64_t part, Progress& progress,
             Turn& turn) {
  const auto fails = [&](std::uint64_t call, std::size_t way) {
    limit_time();
    progress.call = call;
    progress.way = way;
    const Disturbance one{.kind = Disturbance::Kind::call, .after = call, .count = way};
    const auto run = [&] { return testing::play_in(scenario, job.first, {one}); };
    turn.outcome = job.real ? run_for_real(run) : run_simulated(run);
    ++turn.worlds;
    if (turn.outcome.complaints.empty()) return false;
    turn.failure.disturbances = {one};
    turn.failure.how += " --call " + std::to_string(call) + "," + std::to_string(way);
    return true;
  };
  if (job.only_call) {
    fails(job.only_call->first, job.only_call->second);
    return;
  }
  for (std::uint64_t call = part;; call += job.parts()) {
    if (call >= kCallsInAllWays) {
      if (job.real && call % kRealStride != 0) continue;
      if (fails(call, static_cast<std::size_t>(call))) return;
    } else {
      for (std::size_t way = 0; way == 0 || way < turn.outcome.ways; ++way) {
        if (fails(call, way)) return;
      }
    }
    if (call == 0 && turn.outcome.calls == 0 && scenario.troubles.calls) {
      turn.outcome.complaints.emplace_back("it makes no call that can fail");
      turn.failure.complaints = turn.outcome.complaints;
    }
    if (turn.outcome.calls <= call) return;
  }
}

/// A task, a callback or an exception of such a scenario's own is missing when it gets no memory;
/// what it complains of then is right.
bool ends_without_memory(std::string_view name) {
  constexpr std::string_view kSuch[] = {"queue",
                                        "group",
                                        "runner",
                                        "futures",
                                        "chains",
                                        "datagrams-unix",
                                        "stream-server-close",
                                        "datagram-stream",
                                        "sendfile",
                                        "stream-throwing"};
  return std::any_of(std::begin(kSuch), std::end(kSuch),
                     [name](std::string_view such) { return name.starts_with(such); });
}

/// Until the first failure among all allocations that can fail.
void starve(Scenario& scenario, const Job& job, Progress& progress, Turn& turn) {
  // What a scenario makes while the loop does not run cannot be left half made, since its callbacks
  // refer to that. Inside of those allocations count.
  const AllocationsExempt outside;
  scenario.options.wrap = make_counted_kernel;
  scenario.options.harmed = true;
  scenario.options.lenient = ends_without_memory(scenario.name);
  scenario.options.on_heal = fail_no_allocation;
  for (std::size_t number = job.only_allocation.value_or(0);; ++number) {
    limit_time();
    progress.call = number;
    const auto run = [&] {
      fail_allocation(number);
      SeedOutcome outcome = testing::play_in(scenario, job.first, {});
      fail_no_allocation();
      return outcome;
    };
    turn.outcome = run_simulated(run);
    ++turn.worlds;
    const bool reached = allocation_failed();
    if (!turn.outcome.complaints.empty()) {
      turn.outcome.complaints.push_back("there was no memory at" + failed_allocation_stack());
      turn.failure.how += " --allocation " + std::to_string(number);
      return;
    }
    if (number == 0 && !reached && scenario.troubles.calls) {
      turn.outcome.complaints.emplace_back("it makes no allocation that can fail");
    }
    if (!reached || job.only_allocation) return;
  }
}

}  // namespace

void limit_time() {
  itimerval limit{};
  limit.it_value.tv_sec = kProcessorSeconds;
  setitimer(ITIMER_PROF, &limit, nullptr);
  alarm(kSeconds);
}

Turn play(Scenario& scenario, const Job& job, std::uint64_t seed, Progress& progress) {
  limit_time();
  Turn turn;
  turn.failure.scenario = scenario.name;
  turn.failure.seed = job.once_each() ? job.first : seed;
  turn.failure.without = job.without;
  turn.failure.how = how_to_replay(job);
  if (job.starve) {
    starve(scenario, job, progress, turn);
  } else if (job.torture) {
    torture(scenario, job, (seed - job.first) / (job.seeds / job.parts()), progress, turn);
  } else if (job.storm != 0) {
    play_in_storm(scenario, job, seed, turn);
  } else {
    turn.outcome = job.twice && !job.real ? play_and_look(scenario, seed, job.without)
                                          : testing::play_seed(scenario, seed, job.without);
    if (!turn.outcome.complaints.empty()) {
      turn.failure.disturbances = testing::disturbances_of(scenario, seed, job.without);
    }
  }
  turn.worlds = std::max<std::uint64_t>(turn.worlds, 1);
  turn.failure.complaints = turn.outcome.complaints;
  return turn;
}

void simplify(Scenario& scenario, const Job& job, testing::SeedFailure& failure) {
  if (!job.shrink || job.once_each() || job.storm != 0 || !job.without.empty()) return;
  const std::uint64_t seed = failure.seed;
  const std::string how = failure.how;
  failure = testing::shrink(scenario, seed, std::move(failure.complaints),
                            [&](std::span<const std::size_t> without) {
                              limit_time();
                              return job.real ? testing::play_seed(scenario, seed, without)
                                              : play_and_look(scenario, seed, without);
                            });
  failure.how = how;
}

std::string how_to_replay(const Job& job) {
  std::string words;
  if (job.real) words += " --real";
  if (job.torture) words += " --torture";
  if (job.starve) words += " --starve";
  if (job.storm != 0) words += " --storm " + std::to_string(job.storm);
  return words;
}

}  // namespace ferry::test
