// Each allocation failing once.
#include "call_trial.h"
#include "counting_new.h"

#include <cstdio>
#include <cstdlib>

namespace ferry::test {

namespace {

/// More allocations than any of the programs makes, by far.
constexpr std::uint64_t kMostAllocations = 20'000;

/// How a program went in which one allocation failed, or none.
struct Outcome {
  bool came = false;         // the allocation that was to fail
  std::ptrdiff_t grown = 0;  // blocks that were not given back
  std::string complaints;
  bool well() const { return complaints.empty() && grown <= 0; }
};

Outcome play(const CallProgram& program, std::uint64_t number) {
  Outcome outcome;
  const std::ptrdiff_t before = live_allocations_of_all();
  {
    CallTrial trial(program, {Trouble::Kind::allocation, number});
    const auto complaints = trial.end();
    outcome.came = allocation_failed();
    fail_no_allocation();
    for (const std::string& each : complaints) outcome.complaints += "\n  " + each;
  }
  if (outcome.complaints.empty()) outcome.grown = live_allocations_of_all() - before;
  return outcome;
}

/// True if there was such an allocation.
bool play_one(const CallProgram& program, std::uint64_t number) {
  Outcome outcome = play(program, number);
  // What the process keeps for the next time is there the second time.
  if (outcome.complaints.empty() && outcome.grown > 0) outcome = play(program, number);
  if (!outcome.well()) {
    ADD_FAILURE() << "FERRY_ALLOCATION=" << number << ": blocks left " << outcome.grown
                  << outcome.complaints << "\nit failed in" << failed_allocation_stack();
  }
  return outcome.came;
}

}  // namespace

void each_allocation_fails(const CallProgram& program) {
  // What is made once for the process is there then.
  for (int i = 0; i < 2; ++i) ASSERT_EQ(play(program, Trouble::kNone).complaints, "");
  if (const char* const only = std::getenv("FERRY_ALLOCATION")) {
    if (!play_one(program, std::strtoul(only, nullptr, 10))) {
      std::puts("there is no such allocation");
    }
    return;
  }
  std::uint64_t number = 0;
  while (number < kMostAllocations && play_one(program, number)) ++number;
  EXPECT_LT(number, kMostAllocations);
  EXPECT_GT(number, 3u);
  ::testing::Test::RecordProperty("allocations", static_cast<int>(number));
}

}  // namespace ferry::test
