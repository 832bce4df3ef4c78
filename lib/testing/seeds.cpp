#include <ferry/testing/seeds.h>

#include <algorithm>
#include <exception>

namespace ferry::testing {

std::vector<Disturbance> disturbances_of(const Scenario& scenario, std::uint64_t seed,
                                         std::span<const std::size_t> without) {
  const std::vector<Disturbance> all = draw_disturbances(seed, scenario.troubles);
  std::vector<Disturbance> left;
  for (std::size_t number = 0; number < all.size(); ++number) {
    if (std::find(without.begin(), without.end(), number) == without.end()) {
      left.push_back(all[number]);
    }
  }
  return left;
}

SeedOutcome play_in(Scenario& scenario, std::uint64_t seed, std::vector<Disturbance> disturbances) {
  if (scenario.prepare) scenario.prepare(seed);
  Trial trial(seed, std::move(disturbances), scenario.options);
  try {
    scenario.play(trial);
  } catch (const std::exception& error) {
    trial.complain(std::string("the scenario threw: ") + error.what());
  } catch (...) {
    trial.complain("the scenario threw");
  }
  SeedOutcome outcome;
  outcome.calls = trial.faults().calls();
  outcome.ways = trial.faults().variants();
  outcome.complaints = trial.end();
  outcome.log_hash = trial.log_hash();
  outcome.states = trial.states();
  return outcome;
}

SeedOutcome play_seed(Scenario& scenario, std::uint64_t seed,
                      std::span<const std::size_t> without) {
  return play_in(scenario, seed, disturbances_of(scenario, seed, without));
}

SeedOutcome play_seed_twice(Scenario& scenario, std::uint64_t seed,
                            std::span<const std::size_t> without) {
  SeedOutcome first = play_seed(scenario, seed, without);
  if (!first.complaints.empty()) return first;
  SeedOutcome second = play_seed(scenario, seed, without);
  if (second.complaints.empty() && second.log_hash != first.log_hash) {
    second.complaints.emplace_back("the same seed went another way the second time");
  }
  return second;
}

SeedFailure shrink(Scenario& scenario, std::uint64_t seed, std::vector<std::string> complaints,
                   Function<bool(std::span<const std::size_t> without)> fails) {
  if (!fails) {
    fails = [&scenario, seed](std::span<const std::size_t> without) {
      return !play_seed_twice(scenario, seed, without).complaints.empty();
    };
  }
  SeedFailure failure{.scenario = scenario.name, .seed = seed, .complaints = std::move(complaints)};
  const std::size_t count = draw_disturbances(seed, scenario.troubles).size();
  for (bool smaller = true; smaller;) {
    smaller = false;
    for (std::size_t number = 0; number < count; ++number) {
      const auto& without = failure.without;
      if (std::find(without.begin(), without.end(), number) != without.end()) continue;
      failure.without.push_back(number);
      smaller = fails(failure.without);
      if (smaller) break;
      failure.without.pop_back();
    }
  }
  std::sort(failure.without.begin(), failure.without.end());
  failure.disturbances = disturbances_of(scenario, seed, failure.without);
  return failure;
}

SeedReport run_seeds(Scenario& scenario, SeedOptions options) {
  SeedReport report;
  for (; report.seeds < options.count && report.ok(); ++report.seeds) {
    const std::uint64_t seed = options.first + report.seeds;
    SeedOutcome outcome =
        options.twice ? play_seed_twice(scenario, seed) : play_seed(scenario, seed);
    for (const char* state : outcome.states) ++report.states[state];
    if (outcome.complaints.empty()) continue;
    report.failure = options.shrink
                         ? shrink(scenario, seed, std::move(outcome.complaints))
                         : SeedFailure{.scenario = scenario.name,
                                       .seed = seed,
                                       .complaints = std::move(outcome.complaints),
                                       .disturbances = disturbances_of(scenario, seed, {})};
  }
  return report;
}

std::string SeedFailure::replay() const {
  std::string line = "--scenario " + scenario + " --seed " + std::to_string(seed);
  for (std::size_t i = 0; i < without.size(); ++i) {
    line += (i == 0 ? " --without " : ",") + std::to_string(without[i]);
  }
  return line + how;
}

std::string SeedFailure::to_string() const {
  std::string text = "scenario " + scenario + ", seed " + std::to_string(seed) + ":";
  for (const std::string& each : complaints) text += "\n  " + each;
  text += disturbances.empty() ? "\nwith nothing out of the ordinary" : "\nwith";
  for (const Disturbance& each : disturbances) text += "\n  " + each.to_string();
  return text + "\nreplay: " + replay();
}

}  // namespace ferry::testing
