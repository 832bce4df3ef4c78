// What is told of a seed that failed, and how it is made simpler.

#include "meeting.h"

#include <ferry/testing/seeds.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ferry::testing {

namespace {

using Kind = Disturbance::Kind;

/// A seed whose only harm is a storm, beside things that are harmless; there the scenario fails.
std::uint64_t seed_with_a_storm(Scenario& scenario) {
  for (std::uint64_t seed = 1; seed < 10'000; ++seed) {
    const auto all = disturbances_of(scenario, seed);
    const auto harmful =
        std::count_if(all.begin(), all.end(), [](const Disturbance& one) { return one.harmful(); });
    const bool storm = std::any_of(all.begin(), all.end(),
                                   [](const auto& one) { return one.kind == Kind::errors; });
    if (all.size() > 2 && harmful == 1 && storm && !play_seed(scenario, seed).complaints.empty())
      return seed;
  }
  return 0;
}

std::ptrdiff_t errors_of_sockets(Trial& trial) {
  const auto& all = trial.faults().injected();
  return std::count_if(all.begin(), all.end(), [](const InjectedFault& fault) {
    return fault.error != 0 && fault.error != EAGAIN &&
           (fault.call == "recv" || fault.call == "sendmsg");
  });
}

}  // namespace

TEST(SeedFailures, AFailureIsFoundShrunkAndReplayed) {
  const SeedReport report = run_seeds({.name = "naive", .play = naive}, {.count = 100});
  ASSERT_FALSE(report.ok());
  const SeedFailure& failure = *report.failure;
  EXPECT_EQ(failure.complaints.front(), "not a message");
  // One thing is enough, and what is left is it.
  ASSERT_EQ(failure.disturbances.size(), 1u) << failure.to_string();
  Scenario again{.name = "naive", .play = naive};
  EXPECT_EQ(play_seed(again, failure.seed, failure.without).complaints, failure.complaints);
  EXPECT_TRUE(failure.to_string().ends_with("\nreplay: " + failure.replay()));
}

TEST(SeedFailures, AFailureSaysHowItIsReplayed) {
  SeedFailure failure{.scenario = "adder", .seed = 31, .complaints = {"short: 2", "wrong"}};
  EXPECT_EQ(failure.to_string(),
            "scenario adder, seed 31:\n  short: 2\n  wrong\nwith nothing out of the ordinary\n"
            "replay: play_seed(scenario, 31)");
  failure.without = {1, 2};
  failure.how = " --real";
  failure.disturbances = {{.kind = Kind::small_pipes, .count = 512}};
  EXPECT_EQ(failure.replay(), "play_seed(scenario, 31, {1, 2})");
  EXPECT_EQ(failure.arguments(), "--scenario adder --seed 31 --without 1,2 --real");
  EXPECT_EQ(failure.to_string(failure.arguments()),
            "scenario adder, seed 31:\n  short: 2\n  wrong\nwith\n"
            "  a connection holds 512 bytes\n"
            "replay: --scenario adder --seed 31 --without 1,2 --real");
  failure.instead = {
      {.kind = Kind::error, .after = 3, .count = 1, .call = "recv", .error = ECONNRESET},
      {.kind = Kind::error, .count = 1, .call = "connect", .error = ETIMEDOUT, .later = true}};
  failure.disturbances = {failure.instead.front()};
  EXPECT_EQ(failure.to_string(),
            "scenario adder, seed 31:\n  short: 2\n  wrong\nwith\n"
            "  after 3 calls: recv fails 1 times: Connection reset by peer\n"
            "replay: play_seed(scenario, 31, {1, 2}, "
            "{{.kind = Disturbance::Kind::error, .after = 3, .count = 1, .call = \"recv\", "
            ".error = 104}, {.kind = Disturbance::Kind::error, .after = 0, .count = 1, "
            ".call = \"connect\", .error = 110, .later = true}})");
}

TEST(SeedFailures, AFailureComplainsOfWhatTheSimplestWorldDid) {
  // Another complaint each time; and it needs no disturbance.
  int runs = 0;
  const auto play = [&runs](Trial& trial) { trial.complain("run " + std::to_string(++runs)); };
  Scenario scenario{.name = "it", .play = play};
  std::uint64_t seed = 1;
  while (disturbances_of(scenario, seed).size() < 3) ++seed;
  const SeedReport report = run_seeds(scenario, {.first = seed, .count = 1});
  ASSERT_FALSE(report.ok());
  EXPECT_TRUE(report.failure->disturbances.empty());
  EXPECT_GT(runs, 3);
  EXPECT_EQ(report.failure->complaints, std::vector<std::string>{"run " + std::to_string(runs)});
  // So it is where somebody plays it in a way of his own.
  const SeedFailure told =
      shrink(scenario, seed, {"the first"}, [](std::span<const std::size_t> without) {
        return SeedOutcome{.complaints = {std::to_string(without.size()) + " left out"}};
      });
  EXPECT_EQ(told.complaints.size(), 1u);
  EXPECT_EQ(told.complaints[0], std::to_string(told.without.size()) + " left out");
  EXPECT_TRUE(told.disturbances.empty());
}

/// Of a failure for which a storm is needed: that the calls which have taken its place do it, and
/// that none of what is left can be left out.
void expect_simplest(Scenario& scenario, const SeedFailure& failure) {
  SCOPED_TRACE(failure.to_string());
  const std::vector<Disturbance>& left = failure.disturbances;
  EXPECT_TRUE(std::none_of(left.begin(), left.end(),
                           [](const auto& each) { return each.kind == Kind::errors; }));
  EXPECT_EQ(play_in(scenario, failure.seed, left).complaints, failure.complaints);
  for (std::size_t number = 0; number < left.size(); ++number) {
    std::vector<Disturbance> less = left;
    less.erase(less.begin() + static_cast<std::ptrdiff_t>(number));
    EXPECT_TRUE(play_in(scenario, failure.seed, less).complaints.empty()) << number;
  }
}

TEST(SeedFailures, OfAStormOneCallIsLeftIfThatIsEnough) {
  Scenario scenario{.name = "frail", .play = [](Trial& trial) {
                      good(trial);
                      good(trial);
                      if (errors_of_sockets(trial) > 0) trial.complain("hurt");
                    }};
  const std::uint64_t seed = seed_with_a_storm(scenario);
  ASSERT_NE(seed, 0u);
  const SeedReport report = run_seeds(scenario, {.first = seed, .count = 1});
  ASSERT_FALSE(report.ok());
  const SeedFailure& failure = *report.failure;
  ASSERT_EQ(failure.instead.size(), 1u) << failure.to_string();
  const Disturbance& one = failure.instead.front();
  EXPECT_TRUE(one.call == "recv" || one.call == "sendmsg") << one.call;
  EXPECT_NE(failure.to_string().find("calls: " + std::string(one.call) + " fails 1 times: "),
            std::string::npos);
  expect_simplest(scenario, failure);
}

TEST(SeedFailures, OfAStormTheCallsAreLeftThatItTakes) {
  Scenario scenario{.name = "robust", .play = [](Trial& trial) {
                      for (int i = 0; i < 10; ++i) good(trial);
                      if (errors_of_sockets(trial) > 1) trial.complain("hurt twice");
                    }};
  const std::uint64_t seed = seed_with_a_storm(scenario);
  ASSERT_NE(seed, 0u);
  const SeedReport report = run_seeds(scenario, {.first = seed, .count = 1});
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.failure->instead.size(), 2u);
  expect_simplest(scenario, *report.failure);
}

TEST(SeedFailures, AStormStaysIfNothingElseDoesIt) {
  // Nobody sees which calls fail: the scenario looks at them itself.
  Scenario scenario{.name = "secretive", .play = [](Trial& trial) {
                      trial.set_observer(nullptr);
                      good(trial);
                      if (!trial.unharmed()) trial.complain("hurt");
                    }};
  const std::uint64_t seed = seed_with_a_storm(scenario);
  ASSERT_NE(seed, 0u);
  const SeedReport report = run_seeds(scenario, {.first = seed, .count = 1});
  ASSERT_FALSE(report.ok());
  const SeedFailure& failure = *report.failure;
  EXPECT_TRUE(failure.instead.empty());
  ASSERT_FALSE(failure.disturbances.empty());
  EXPECT_EQ(failure.disturbances.back().kind, Kind::errors) << failure.to_string();
}

TEST(SeedFailures, ASeedIsPlayedWithMoreDisturbances) {
  Scenario scenario{.name = "good", .play = [](Trial& trial) {
                      good(trial);
                      good(trial);
                      const auto& all = trial.faults().injected();
                      for (const InjectedFault& each : all) trial.complain(std::string(each.call));
                    }};
  std::uint64_t seed = 1;
  while (disturbances_of(scenario, seed).size() != 1) ++seed;
  EXPECT_TRUE(play_seed(scenario, seed, {0}).complaints.empty());
  // As SeedFailure::replay puts it.
  EXPECT_EQ(play_seed(scenario, seed, {0},
                      {{.kind = Disturbance::Kind::error,
                        .after = 0,
                        .count = 1,
                        .call = "recv",
                        .error = 104}})
                .complaints,
            std::vector<std::string>{"recv"});
  EXPECT_EQ(
      play_seed(
          scenario, seed, {0},
          {{.kind = Disturbance::Kind::error, .after = 0, .count = 1, .call = "recv", .error = 104},
           {.kind = Disturbance::Kind::error,
            .after = 0,
            .count = 1,
            .call = "getsockname",
            .error = 105}})
          .complaints,
      (std::vector<std::string>{"getsockname", "recv"}));
}

}  // namespace ferry::testing
