#include "trial.h"

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <optional>
#include <vector>

namespace ferry::test {

namespace {

/// How a scenario went in which one allocation failed, or none.
struct Outcome {
  bool failed = false;       // the allocation that was to fail has come
  std::ptrdiff_t grown = 0;  // blocks that were not given back
  std::string complaints;
};

Outcome run(const Scenario& scenario, World world, std::optional<std::size_t> failing,
            std::size_t times = 1) {
  Outcome outcome;
  const std::ptrdiff_t before = live_allocations();
  std::vector<std::string> complaints;
  if (failing) fail_allocation(*failing, times);
  try {
    Trial trial(world);
    trial.play(scenario);
    complaints = trial.end();
  } catch (const std::bad_alloc&) {
    // There was not even a loop.
  }
  const AllocationsExempt guard;
  outcome.failed = failing && allocation_failed();
  fail_no_allocation();
  if (complaints.empty()) outcome.grown = live_allocations() - before;
  for (const std::string& each : complaints) outcome.complaints += "\n  " + each;
  return outcome;
}

/// The one allocation that FERRY_ALLOCATION names: a failure is looked into by it.
std::optional<std::size_t> only() {
  const char* const text = std::getenv("FERRY_ALLOCATION");
  if (!text) return std::nullopt;
  std::size_t number = 0;
  std::from_chars(text, text + std::string_view(text).size(), number);
  return number;
}

class WithoutMemory : public ::testing::TestWithParam<Scenario> {
 protected:
  /// Plays the scenario with each allocation failing, `times` in a row.
  void play_all(std::size_t times, World world = World::sim) {
    const Scenario scenario = GetParam();
    // What is made once for the process, or the thread, is there then.
    for (int i = 0; i < 2; ++i) {
      ASSERT_EQ(run(scenario, world, std::nullopt).complaints, "");
    }
    std::size_t number = only().value_or(0);
    for (;; ++number) {
      Outcome outcome = run(scenario, world, number, times);
      if (!outcome.failed) break;
      // Memory that the thread keeps for the next time is there the second time.
      if (outcome.complaints.empty() && outcome.grown > 0) {
        outcome = run(scenario, world, number, times);
      }
      if (!outcome.complaints.empty() || outcome.grown > 0) {
        ADD_FAILURE() << "FERRY_ALLOCATION=" << number << ", " << times << " times: blocks left "
                      << outcome.grown << outcome.complaints << "\nit failed in"
                      << failed_allocation_stack();
      }
      if (only()) return;
    }
    if (only()) std::puts("there is no such allocation");
    RecordProperty("allocations", static_cast<int>(number));
    EXPECT_TRUE(only() || number > 3);
  }
};

TEST_P(WithoutMemory, EachAllocationFailsOnce) {
  play_all(1);
}

TEST_P(WithoutMemory, SeveralInARowFail) {
  const auto all = kSanitized ? std::vector<std::size_t>{2, 6, 50}
                              : std::vector<std::size_t>{2, 3, 4, 6, 10, 20, 50};
  for (const std::size_t times : all) {
    SCOPED_TRACE(times);
    play_all(times);
    if (HasFailure()) return;
  }
}

class WithoutMemoryReal : public WithoutMemory {};

TEST_P(WithoutMemoryReal, EachAllocationFailsOnce) {
  play_all(1, World::asio);
}

INSTANTIATE_TEST_SUITE_P(, WithoutMemoryReal,
                         ::testing::ValuesIn(scenarios().begin(), scenarios().end()),
                         [](const auto& of) { return std::string(of.param.name); });

INSTANTIATE_TEST_SUITE_P(OfMemory, WithoutMemory,
                         ::testing::ValuesIn(memory_scenarios().begin(), memory_scenarios().end()),
                         [](const auto& of) { return std::string(of.param.name); });

INSTANTIATE_TEST_SUITE_P(, WithoutMemory,
                         ::testing::ValuesIn(scenarios().begin(), scenarios().end()),
                         [](const auto& of) { return std::string(of.param.name); });

}  // namespace

}  // namespace ferry::test
