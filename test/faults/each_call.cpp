// Each call of the kernel's failing once, in each of its ways.
#include "call_trial.h"

#include <cstdio>
#include <cstdlib>

namespace ferry::test {

namespace {

/// More calls than any of the programs makes, by far.
constexpr std::uint64_t kMostCalls = 1000;

struct Outcome {
  bool came = false;  // the call that was to fail
  std::size_t variants = 0;
  std::string complaints;
};

Outcome play(const CallProgram& program, std::uint64_t number, std::size_t variant) {
  Outcome outcome;
  CallTrial trial(program, {Trouble::Kind::call, number, variant});
  for (const std::string& each : trial.end()) outcome.complaints += "\n  " + each;
  outcome.variants = trial.variants();
  if (const testing::InjectedFault* const fault = trial.fault()) {
    outcome.came = true;
    if (!outcome.complaints.empty()) {
      outcome.complaints = fault->to_string() + outcome.complaints;
    }
  }
  return outcome;
}

void play_one(const CallProgram& program, const char* name) {
  unsigned long number = 0;
  unsigned long variant = 0;
  ASSERT_EQ(std::sscanf(name, "%lu.%lu", &number, &variant), 2) << name;
  const Outcome outcome = play(program, number, variant);
  EXPECT_EQ(outcome.complaints, "");
  if (!outcome.came) std::puts("there is no such call");
}

}  // namespace

void each_call_fails(const CallProgram& program) {
  // What is made once for the process is there then.
  ASSERT_EQ(play(program, Trouble::kNone, 0).complaints, "");
  if (const char* const only = std::getenv("FERRY_CALL")) return play_one(program, only);
  std::uint64_t number = 0;
  std::uint64_t runs = 0;
  for (; number < kMostCalls; ++number) {
    std::size_t variants = 1;
    bool came = false;
    for (std::size_t variant = 0; variant < variants; ++variant) {
      const Outcome outcome = play(program, number, variant);
      ++runs;
      came = came || outcome.came;
      if (outcome.came && outcome.variants > variants) variants = outcome.variants;
      EXPECT_EQ(outcome.complaints, "") << "FERRY_CALL=" << number << "." << variant;
      // One of the ways for each call, another for the next, and the last, which is the harmless.
      if (kSanitized && variants > 2 && variant + 1 < variants) {
        variant = variant == 0 ? number % (variants - 1) : variants - 2;
      }
    }
    if (!came) break;
  }
  EXPECT_LT(number, kMostCalls);
  EXPECT_GT(number, 3u);
  ::testing::Test::RecordProperty("calls", static_cast<int>(number));
  ::testing::Test::RecordProperty("runs", static_cast<int>(runs));
}

}  // namespace ferry::test
