#include "worker.h"

#include "carrier.h"
#include "scenarios.h"
#include "sim_random.h"
#include "ways.h"

#include <algorithm>
#include <cstring>
#include <ctime>
#include <set>
#include <stdexcept>
#include <string_view>

namespace ferry::test {

using testing::Scenario;

namespace {

std::uint64_t cpu_time() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

/// rare_states, each once.
std::vector<const char*> checked_states() {
  std::vector<const char*> all = rare_states();
  const std::set<std::string_view> names(all.begin(), all.end());
  if (names.size() != all.size()) throw std::logic_error("a rare state stands twice");
  return all;
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

std::string told(const testing::SeedFailure& failure) {
  return failure.to_string(failure.arguments());
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
  const std::uint64_t number = job.first + index;
  if (job.only.empty()) return static_cast<std::size_t>(number % all.size());
  const std::string& name = job.only[static_cast<std::size_t>(number % job.only.size())];
  const auto place = std::find_if(all.begin(), all.end(),
                                  [&name](const Scenario& each) { return each.name == name; });
  if (place == all.end()) throw std::invalid_argument("no scenario is called '" + name + "'");
  return static_cast<std::size_t>(place - all.begin());
}

void work(const Job& job, NextSeed& next, Progress& progress) {
  // The same certificates in each process.
  seed_openssl(0);
  prepare_carriers();
  std::vector<Scenario> all = scenarios(job.real);
  const std::vector<const char*> states = checked_states();
  for (std::uint64_t index = next++; index < job.seeds; index = next++) {
    if (job.end != 0 && std::time(nullptr) >= job.end) return;
    const std::size_t which = scenario_of(job, all, index);
    Scenario& scenario = all[which];
    scenario.options.real = job.real;
    scenario.prepare = seed_openssl;
    progress.index = index;
    const std::uint64_t before = cpu_time();
    Turn turn = play(scenario, job, job.first + index, progress);
    progress.nanoseconds[which] += cpu_time() - before;
    progress.runs[which] += turn.worlds;
    for (const char* state : turn.outcome.states) ++progress.states[number_of(states, state)];
    progress.done += turn.worlds;
    if (turn.outcome.complaints.empty()) continue;
    // First as it is: to make it simpler may take too long.
    progress.fail(index, told(turn.failure));
    simplify(scenario, job, turn.failure);
    return progress.fail(index, told(turn.failure));
  }
}

}  // namespace ferry::test
