#include <ferry/testing/seeds.h>

#include <algorithm>
#include <exception>
#include <map>
#include <optional>
#include <string_view>

namespace ferry::testing {

namespace {

/// A storm that lasts makes thousands of calls fail, and to try which of them it takes is dear.
constexpr std::size_t kMostCallsTried = 200;

/// Sees which calls fail in a trial, and puts each as a disturbance of its own. Who sets an
/// observer after it takes its place; then it has not seen all.
class Witness {
 public:
  explicit Witness(Trial& trial) : faults_(trial.faults()) {
    trial.set_observer([this](std::string_view call, int, const IoResult& result) {
      if (faults_.calls() != calls_) look(call, result);
    });
  }

  /// The last one first: a rule does not see the calls that one before it makes fail.
  std::vector<Disturbance> failed() const { return {failed_.rbegin(), failed_.rend()}; }

 private:
  void look(std::string_view call, const IoResult& result) {
    calls_ = faults_.calls();
    const std::uint64_t number = numbers_[call]++;
    const std::vector<InjectedFault>& injected = faults_.injected();
    if (injected.empty() || injected.back().number + 1 != calls_) return;
    const InjectedFault& fault = injected.back();
    const auto errors = FaultKernel::errors_of(call);
    const bool short_count = std::find(errors.begin(), errors.end(), fault.error) == errors.end();
    if (short_count || failed_.size() == kMostCallsTried) return;
    failed_.push_back({.kind = Disturbance::Kind::error,
                       .after = number,
                       .count = 1,
                       .call = fault.call,
                       .error = fault.error,
                       .later = result.error != fault.error});
  }

  FaultKernel& faults_;
  std::uint64_t calls_ = 0;
  std::map<std::string_view, std::uint64_t> numbers_;  // how many there were of each call
  std::vector<Disturbance> failed_;
};

/// `failed`, if it is not null, gets the calls that were made to fail.
SeedOutcome play(Scenario& scenario, std::uint64_t seed, std::vector<Disturbance> disturbances,
                 std::vector<Disturbance>* failed) {
  if (scenario.prepare) scenario.prepare(seed);
  Trial trial(seed, std::move(disturbances), scenario.options);
  std::optional<Witness> witness;
  if (failed) witness.emplace(trial);
  try {
    scenario.play(trial);
  } catch (const std::exception& error) {
    trial.complain(std::string("the scenario threw: ") + error.what());
  } catch (...) {
    trial.complain("the scenario threw");
  }
  if (failed) *failed = witness->failed();
  SeedOutcome outcome;
  outcome.calls = trial.faults().calls();
  outcome.ways = trial.faults().variants();
  outcome.complaints = trial.end();
  outcome.log_hash = trial.log_hash();
  outcome.states = trial.states();
  return outcome;
}

SeedOutcome play_twice_in(Scenario& scenario, std::uint64_t seed,
                          const std::vector<Disturbance>& disturbances) {
  SeedOutcome first = play_in(scenario, seed, disturbances);
  if (!first.complaints.empty()) return first;
  SeedOutcome second = play_in(scenario, seed, disturbances);
  if (second.complaints.empty() && second.log_hash != first.log_hash) {
    second.complaints.emplace_back("the same seed went another way the second time");
  }
  return second;
}

bool contains(std::span<const std::size_t> numbers, std::size_t number) {
  return std::find(numbers.begin(), numbers.end(), number) != numbers.end();
}

std::vector<Disturbance> left_of(const Scenario& scenario, const SeedFailure& failure) {
  std::vector<Disturbance> left = disturbances_of(scenario, failure.seed, failure.without);
  left.insert(left.end(), failure.instead.begin(), failure.instead.end());
  return left;
}

/// Whether that fails, of whatever: then that is what the failure complains of.
bool fails_so(SeedOutcome outcome, SeedFailure& failure) {
  if (outcome.complaints.empty()) return false;
  failure.complaints = std::move(outcome.complaints);
  return true;
}

/// The same of what is left of it.
bool fails_still(Scenario& scenario, bool twice, SeedFailure& failure) {
  const std::vector<Disturbance> left = left_of(scenario, failure);
  return fails_so(
      twice ? play_twice_in(scenario, failure.seed, left) : play_in(scenario, failure.seed, left),
      failure);
}

/// Leaves out one after the other, until all that is left is needed.
template <class Fails>
void leave_out(const Scenario& scenario, SeedFailure& failure, Fails fails) {
  const std::size_t count = draw_disturbances(failure.seed, scenario.troubles).size();
  for (bool smaller = true; smaller;) {
    smaller = false;
    for (std::size_t number = 0; number < count && !smaller; ++number) {
      if (contains(failure.without, number)) continue;
      failure.without.push_back(number);
      smaller = fails();
      if (!smaller) failure.without.pop_back();
    }
  }
}

/// Those of `instead` that it takes: without big parts of them first, then without single ones.
void leave_out_calls(Scenario& scenario, bool twice, SeedFailure& failure) {
  std::vector<Disturbance>& calls = failure.instead;
  for (std::size_t size = std::max<std::size_t>(calls.size() / 2, 1); size > 0; size /= 2) {
    for (std::size_t at = 0; at < calls.size();) {
      const std::vector<Disturbance> all = calls;
      const auto begin = calls.begin() + static_cast<std::ptrdiff_t>(at);
      calls.erase(begin, begin + static_cast<std::ptrdiff_t>(std::min(size, calls.size() - at)));
      if (fails_still(scenario, twice, failure)) continue;
      calls = all;
      at += size;
    }
  }
}

/// Puts the calls that the storms made fail in their place: all, or one alone, since without the
/// storm the program may go another way. False if that is not it, or there is no storm. What falls
/// short in a storm does no harm, and stays as it is.
bool blame_calls(Scenario& scenario, bool twice, SeedFailure& failure) {
  SeedFailure simpler = failure;
  const std::vector<Disturbance> all = draw_disturbances(failure.seed, scenario.troubles);
  for (std::size_t number = 0; number < all.size(); ++number) {
    const bool storm = all[number].kind == Disturbance::Kind::errors;
    if (storm && !contains(failure.without, number)) simpler.without.push_back(number);
  }
  if (simpler.without.size() == failure.without.size()) return false;
  std::vector<Disturbance> failed;
  static_cast<void>(play(scenario, failure.seed, left_of(scenario, failure), &failed));
  simpler.instead = failed;
  bool found = fails_still(scenario, twice, simpler);
  for (std::size_t i = failed.size(); i > 0 && !found; --i) {
    simpler.instead = {failed[i - 1]};
    found = fails_still(scenario, twice, simpler);
  }
  if (found) failure = std::move(simpler);
  return found;
}

/// `own`, if it is not null, plays it.
SeedFailure simplify(Scenario& scenario, SeedFailure failure, bool twice,
                     Function<SeedOutcome(std::span<const std::size_t>)> own) {
  if (own) {
    leave_out(scenario, failure, [&] { return fails_so(own(failure.without), failure); });
  } else {
    const auto still = [&] { return fails_still(scenario, twice, failure); };
    leave_out(scenario, failure, still);
    if (blame_calls(scenario, twice, failure)) {
      leave_out_calls(scenario, twice, failure);
      leave_out(scenario, failure, still);
    }
  }
  std::sort(failure.without.begin(), failure.without.end());
  failure.disturbances = left_of(scenario, failure);
  return failure;
}

/// As C++ has it.
std::string written(const Disturbance& error) {
  return "{.kind = Disturbance::Kind::error, .after = " + std::to_string(error.after) +
         ", .count = 1, .call = \"" + std::string(error.call) +
         "\", .error = " + std::to_string(error.error) + (error.later ? ", .later = true}" : "}");
}

}  // namespace

std::vector<Disturbance> disturbances_of(const Scenario& scenario, std::uint64_t seed,
                                         std::span<const std::size_t> without) {
  const std::vector<Disturbance> all = draw_disturbances(seed, scenario.troubles);
  std::vector<Disturbance> left;
  for (std::size_t number = 0; number < all.size(); ++number) {
    if (!contains(without, number)) left.push_back(all[number]);
  }
  return left;
}

SeedOutcome play_in(Scenario& scenario, std::uint64_t seed, std::vector<Disturbance> disturbances) {
  return play(scenario, seed, std::move(disturbances), nullptr);
}

SeedOutcome play_seed(Scenario& scenario, std::uint64_t seed,
                      std::span<const std::size_t> without) {
  return play_in(scenario, seed, disturbances_of(scenario, seed, without));
}

SeedOutcome play_seed(Scenario& scenario, std::uint64_t seed,
                      std::initializer_list<std::size_t> without,
                      std::vector<Disturbance> instead) {
  std::vector<Disturbance> all =
      disturbances_of(scenario, seed, std::span(without.begin(), without.size()));
  all.insert(all.end(), instead.begin(), instead.end());
  return play_in(scenario, seed, std::move(all));
}

SeedOutcome play_seed_twice(Scenario& scenario, std::uint64_t seed,
                            std::span<const std::size_t> without) {
  return play_twice_in(scenario, seed, disturbances_of(scenario, seed, without));
}

SeedFailure shrink(Scenario& scenario, std::uint64_t seed, std::vector<std::string> complaints,
                   Function<SeedOutcome(std::span<const std::size_t> without)> play) {
  return simplify(scenario,
                  {.scenario = scenario.name, .seed = seed, .complaints = std::move(complaints)},
                  true, std::move(play));
}

SeedReport run_seeds(Scenario& scenario, SeedOptions options) {
  SeedReport report;
  for (; report.seeds < options.count && report.ok(); ++report.seeds) {
    const std::uint64_t seed = options.first + report.seeds;
    SeedOutcome outcome =
        options.twice ? play_seed_twice(scenario, seed) : play_seed(scenario, seed);
    for (const char* state : outcome.states) ++report.states[state];
    if (outcome.complaints.empty()) continue;
    SeedFailure failure{.scenario = scenario.name,
                        .seed = seed,
                        .complaints = std::move(outcome.complaints),
                        .disturbances = disturbances_of(scenario, seed, {})};
    report.failure =
        options.shrink ? simplify(scenario, std::move(failure), options.twice, {}) : failure;
  }
  return report;
}

std::string SeedFailure::replay() const {
  std::string line = "play_seed(scenario, " + std::to_string(seed);
  for (std::size_t i = 0; i < without.size(); ++i) {
    line += (i == 0 ? ", {" : ", ") + std::to_string(without[i]);
  }
  if (!without.empty()) line += '}';
  for (std::size_t i = 0; i < instead.size(); ++i) {
    line += (i == 0 ? ", {" : ", ") + written(instead[i]);
  }
  if (!instead.empty()) line += '}';
  return line + ")";
}

std::string SeedFailure::arguments() const {
  std::string line = "--scenario " + scenario + " --seed " + std::to_string(seed);
  for (std::size_t i = 0; i < without.size(); ++i) {
    line += (i == 0 ? " --without " : ",") + std::to_string(without[i]);
  }
  return line + how;
}

std::string SeedFailure::to_string(const std::string& replay) const {
  std::string text = "scenario " + scenario + ", seed " + std::to_string(seed) + ":";
  for (const std::string& each : complaints) text += "\n  " + each;
  text += disturbances.empty() ? "\nwith nothing out of the ordinary" : "\nwith";
  for (const Disturbance& each : disturbances) text += "\n  " + each.to_string();
  return text + "\nreplay: " + replay;
}

}  // namespace ferry::testing
