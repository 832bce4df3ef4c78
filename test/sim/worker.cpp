#include "worker.h"

#include "carrier.h"
#include "counted_kernel.h"
#include "counting_new.h"
#include "openssl_memory.h"
#include "scenarios.h"
#include "sim_random.h"

#include <algorithm>
#include <cstring>
#include <ctime>
#include <optional>
#include <stdexcept>

#include <sys/time.h>

namespace ferry::test {

using testing::Disturbance;
using testing::Scenario;
using testing::SeedOutcome;

namespace {

/// One that takes longer hangs: its process is ended by SIGPROF.
constexpr int kSecondsASeed = 30;

void limit_cpu_time() {
  itimerval limit{};
  limit.it_value.tv_sec = kSecondsASeed;
  setitimer(ITIMER_PROF, &limit, nullptr);
}

std::uint64_t cpu_time() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

/// The library's, the scenarios' and OpenSSL's.
std::ptrdiff_t live_blocks() {
  return live_allocations() + live_openssl_allocations();
}

/// No scenario has business with more.
constexpr std::ptrdiff_t kMostMemory = 32 << 20;

/// Whether each run of that seed leaves more memory behind. One alone may fill a pool.
bool leaks(Scenario& scenario, std::uint64_t seed, std::span<const std::size_t> without) {
  for (int run = 0; run < 3; ++run) {
    const std::ptrdiff_t blocks = live_blocks();
    static_cast<void>(testing::play_seed(scenario, seed, without));
    if (live_blocks() <= blocks) return false;
  }
  return true;
}

/// Plays it twice. The second time, when the process has filled its pools, it must go the same way,
/// and give back what it took.
SeedOutcome play_and_look(Scenario& scenario, std::uint64_t seed,
                          std::span<const std::size_t> without) {
  const SeedOutcome first = testing::play_seed(scenario, seed, without);
  if (!first.complaints.empty()) return first;
  const std::ptrdiff_t blocks = live_blocks();
  const std::ptrdiff_t bytes = live_bytes();
  reset_peak_bytes();
  SeedOutcome second = testing::play_seed(scenario, seed, without);
  const std::ptrdiff_t peak = peak_bytes() - bytes;
  const std::ptrdiff_t results = second.states.empty() ? 0 : 1;
  const bool more = live_blocks() > blocks + results;
  if (!second.complaints.empty()) return second;
  if (second.log_hash != first.log_hash) {
    second.complaints.emplace_back("the same seed went another way the second time");
  } else if (peak > kMostMemory) {
    second.complaints.push_back("it held " + std::to_string(peak) + " bytes");
  } else if (more && leaks(scenario, seed, without)) {
    second.complaints.emplace_back("each run leaves memory behind");
  }
  return second;
}

std::size_t number_of(const std::vector<const char*>& states, const char* state) {
  const auto place = std::find_if(states.begin(), states.end(), [state](const char* each) {
    return std::strcmp(each, state) == 0;
  });
  if (place == states.end()) {
    throw std::logic_error("no rare state is called '" + std::string(state) + "'");
  }
  return static_cast<std::size_t>(place - states.begin());
}

SeedOutcome play_in_storm(Scenario& scenario, std::uint64_t seed, unsigned errors) {
  const Disturbance storm{.kind = Disturbance::Kind::errors, .count = errors};
  const Disturbance cuts{.kind = Disturbance::Kind::short_counts, .count = 300};
  return testing::play_in(scenario, seed, {storm, cuts});
}

/// The first failure among all ways in which single calls can fail; no complaints: none.
SeedOutcome play_torture(Scenario& scenario, const Job& job, Progress& progress,
                         Disturbance& culprit) {
  const auto fails = [&](std::uint64_t call, std::size_t way) {
    limit_cpu_time();
    culprit = {.kind = Disturbance::Kind::call, .after = call, .count = way};
    progress.call = call;
    progress.way = way;
    return testing::play_in(scenario, job.first, {culprit});
  };
  if (job.only_call) return fails(job.only_call->first, job.only_call->second);
  for (std::uint64_t call = 0;; ++call) {
    SeedOutcome outcome;
    for (std::size_t way = 0; way == 0 || way < outcome.ways; ++way) {
      outcome = fails(call, way);
      if (!outcome.complaints.empty()) return outcome;
    }
    if (outcome.calls <= call) return outcome;
  }
}

/// The first failure among all allocations that can fail; no complaints: none.
SeedOutcome play_starved(Scenario& scenario, const Job& job, Progress& progress,
                         std::size_t& number) {
  // What a scenario makes while the loop does not run cannot be left half made, since its callbacks
  // refer to that. Inside of those allocations count.
  const AllocationsExempt outside;
  scenario.options.wrap = make_counted_kernel;
  scenario.options.lenient = true;
  // So that the world does not count as calm: a call that is never made.
  const Disturbance ill{.kind = Disturbance::Kind::call, .after = UINT64_MAX};
  const auto fails = [&] {
    limit_cpu_time();
    progress.call = number;
    fail_allocation(number);
    SeedOutcome outcome = testing::play_in(scenario, job.first, {ill});
    fail_no_allocation();
    return outcome;
  };
  if (job.only_allocation) {
    number = *job.only_allocation;
    return fails();
  }
  for (number = 0;; ++number) {
    SeedOutcome outcome = fails();
    if (!outcome.complaints.empty() || !allocation_failed()) return outcome;
    const std::ptrdiff_t before = live_blocks();
    outcome = fails();
    if (live_blocks() <= before) continue;
    const std::ptrdiff_t again = live_blocks();
    outcome = fails();
    if (live_blocks() <= again) continue;
    outcome.complaints.emplace_back("each run leaves memory behind");
    return outcome;
  }
}

}  // namespace

void Progress::fail(std::uint64_t at, const std::string& what) {
  const std::size_t size = std::min(what.size(), kMaxText - 1);
  std::memcpy(text.data(), what.data(), size);
  text[size] = '\0';
  failed_at = at;
  failed = true;
}

std::size_t scenario_of(const Job& job, const std::vector<Scenario>& all, std::uint64_t index) {
  if (job.only.empty()) return static_cast<std::size_t>((job.first + index) % all.size());
  const auto place = std::find_if(all.begin(), all.end(),
                                  [&job](const Scenario& each) { return each.name == job.only; });
  if (place == all.end()) throw std::invalid_argument("no scenario is called '" + job.only + "'");
  return static_cast<std::size_t>(place - all.begin());
}

void work(const Job& job, std::uint64_t begin, std::uint64_t stride, Progress& progress) {
  // The same certificates in each process.
  seed_openssl(0);
  prepare_carriers();
  std::vector<Scenario> all = scenarios();
  const std::vector<const char*> states = rare_states();
  const std::time_t end = std::time(nullptr) + static_cast<std::time_t>(job.seconds);
  for (std::uint64_t index = begin; index < job.seeds; index += stride) {
    if (job.seconds != 0 && std::time(nullptr) >= end) return;
    const std::uint64_t seed = job.first + index;
    const std::size_t which = scenario_of(job, all, index);
    Scenario& scenario = all[which];
    scenario.options.real = job.real;
    scenario.prepare = seed_openssl;
    progress.index = index;
    limit_cpu_time();
    const std::uint64_t before = cpu_time();
    SeedOutcome outcome;
    Disturbance culprit;
    std::size_t allocation = 0;
    if (job.starve) {
      outcome = play_starved(scenario, job, progress, allocation);
    } else if (job.torture) {
      outcome = play_torture(scenario, job, progress, culprit);
    } else if (job.storm != 0) {
      outcome = play_in_storm(scenario, seed, job.storm);
    } else if (job.twice && !job.real) {
      outcome = play_and_look(scenario, seed, job.without);
    } else {
      outcome = testing::play_seed(scenario, seed, job.without);
    }
    progress.nanoseconds[which] += cpu_time() - before;
    ++progress.runs[which];
    for (const char* state : outcome.states) ++progress.states[number_of(states, state)];
    ++progress.done;
    if (outcome.complaints.empty()) continue;
    testing::SeedFailure failure{.scenario = scenario.name,
                                 .seed = seed,
                                 .complaints = outcome.complaints,
                                 .without = job.without,
                                 .disturbances = {}};
    if (job.starve) {
      failure.seed = job.first;
      return progress.fail(index, "no memory at" + failed_allocation_stack() + "\n" +
                                      failure.to_string() + " --starve --allocation " +
                                      std::to_string(allocation));
    }
    if (job.torture) {
      failure.seed = job.first;
      failure.disturbances = {culprit};
      return progress.fail(index, failure.to_string() + " --torture --call " +
                                      std::to_string(culprit.after) + "," +
                                      std::to_string(culprit.count));
    }
    if (job.shrink && !job.real && job.storm == 0 && job.without.empty()) {
      failure = testing::shrink(scenario, seed, std::move(outcome.complaints),
                                [&scenario, seed](std::span<const std::size_t> without) {
                                  return !play_and_look(scenario, seed, without).complaints.empty();
                                });
    } else if (job.storm == 0) {
      failure.disturbances = testing::disturbances_of(scenario, seed, job.without);
    }
    return progress.fail(index, failure.to_string());
  }
}

}  // namespace ferry::test
