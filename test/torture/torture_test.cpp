#include "trial.h"

#include <string>

namespace ferry::test {

namespace {

std::string joined(const std::vector<std::string>& sentences) {
  std::string text;
  for (const std::string& each : sentences) text += "\n  " + each;
  return text;
}

std::string story(const std::vector<testing::InjectedFault>& faults) {
  std::string text;
  for (const testing::InjectedFault& each : faults) text += "\n  " + each.to_string();
  return text;
}

class Torture : public ::testing::TestWithParam<std::tuple<Scenario, World>> {
 protected:
  /// Plays the scenario; `prepare` says what is to go wrong, `look` sees how it went.
  template <class Prepare, class Look>
  void play(Prepare prepare, Look look) {
    const auto& [scenario, world] = GetParam();
    Trial trial(world);
    prepare(trial.faults());
    trial.play(scenario);
    const std::string faults = story(trial.faults().injected());
    look(trial.faults());
    const std::vector<std::string> complaints = trial.end();
    EXPECT_TRUE(complaints.empty()) << "after" << faults << joined(complaints);
  }
};

TEST_P(Torture, WithoutAFaultNothingIsReported) {
  play([](testing::FaultKernel&) {},
       [](testing::FaultKernel& faults) { EXPECT_GT(faults.calls(), 10u); });
}

TEST_P(Torture, EachCallFailsOnceInEachWay) {
  for (std::uint64_t call = 0;; ++call) {
    bool reached = false;
    std::size_t variants = 1;
    for (std::size_t variant = 0; variant < variants; ++variant) {
      SCOPED_TRACE("call " + std::to_string(call) + ", variant " + std::to_string(variant));
      play([&](testing::FaultKernel& faults) { faults.fail_call(call, variant); },
           [&](testing::FaultKernel& faults) {
             reached = faults.calls() > call;
             variants = faults.variants();
           });
      if (HasFailure()) return;
    }
    if (!reached) return;
  }
}

TEST_P(Torture, ShortCountsEverywhere) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    play([&](testing::FaultKernel& faults) { faults.storm({.seed = seed, .short_counts = 300}); },
         [](testing::FaultKernel&) {});
    if (HasFailure()) return;
  }
}

TEST_P(Torture, FaultsAtRandom) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const auto errors = static_cast<unsigned>(seed % 10 * 10);
    play(
        [&](testing::FaultKernel& faults) {
          faults.storm({.seed = seed, .errors = errors, .short_counts = 100});
        },
        [](testing::FaultKernel&) {});
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(, Torture,
                         ::testing::Combine(::testing::ValuesIn(scenarios().begin(),
                                                                scenarios().end()),
                                            ::testing::ValuesIn(kWorlds)),
                         [](const auto& of) {
                           return std::string(std::get<0>(of.param).name) +
                                  (std::get<1>(of.param) == World::asio ? "Asio" : "Sim");
                         });

}  // namespace

}  // namespace ferry::test
