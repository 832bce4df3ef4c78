#include "meeting.h"

#include <ferry/testing/seeds.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace ferry::testing {

namespace {

using namespace std::chrono_literals;
using Kind = Disturbance::Kind;
using Way = Disturbance::Way;

std::string complaints_of(void (*play)(Trial&), std::uint64_t seed = 1) {
  Scenario scenario{.name = "it", .play = play};
  const SeedOutcome outcome = play_in(scenario, seed, {});
  std::string all;
  for (const std::string& each : outcome.complaints) all += (all.empty() ? "" : "; ") + each;
  return all;
}

/// A seed with two disturbances, of which the scenario does not bear the second alone.
std::uint64_t seed_with_a_needless_disturbance(Scenario& scenario) {
  for (std::uint64_t seed = 1; seed < 10'000; ++seed) {
    const std::size_t count = disturbances_of(scenario, seed).size();
    if (count == 2 && !play_seed(scenario, seed, {0}).complaints.empty() &&
        play_seed(scenario, seed, {0, 1}).complaints.empty()) {
      return seed;
    }
  }
  return 0;
}

}  // namespace

TEST(Seeds, AProgramThatIsRightPassesInAllWorlds) {
  const SeedReport report = run_seeds({.name = "good", .play = good}, {.count = 500});
  EXPECT_TRUE(report.ok()) << report.failure->to_string();
  EXPECT_EQ(report.seeds, 500u);
}

TEST(Seeds, ASeedIsPlayedWithoutTheDisturbancesInBraces) {
  Scenario scenario{.name = "naive", .play = naive};
  const std::uint64_t seed = seed_with_a_needless_disturbance(scenario);
  ASSERT_NE(seed, 0u);
  // As it is printed, and as it stands in the README.
  EXPECT_EQ(play_seed(scenario, seed, {0}).complaints.front(), "not a message");
  EXPECT_EQ(play_seed(scenario, seed, {0, 1}).complaints, std::vector<std::string>());
  // The same as a vector says.
  const std::vector<std::size_t> first = {0};
  EXPECT_EQ(play_seed(scenario, seed, {0}).log_hash, play_seed(scenario, seed, first).log_hash);
  EXPECT_EQ(play_seed(scenario, seed, {}).log_hash, play_seed(scenario, seed).log_hash);
}

TEST(Seeds, AScenarioWithANameIsRunAndCanBeUsedAgain) {
  int runs = 0;
  Scenario scenario{.name = "named", .play = [&runs](Trial&) { ++runs; }};
  EXPECT_TRUE(run_seeds(scenario, {.count = 3}).ok());
  EXPECT_EQ(runs, 6);
  EXPECT_EQ(scenario.name, "named");
  EXPECT_TRUE(play_seed(scenario, 1).complaints.empty());
  EXPECT_EQ(run_seeds(scenario).seeds, 1000u);
  EXPECT_EQ(run_seeds({.name = "nameless", .play = [](Trial&) {}}, {.count = 2}).seeds, 2u);
  EXPECT_EQ(run_seeds(std::move(scenario), {.count = 2}).seeds, 2u);
}

TEST(Seeds, TheSameSeedGoesTheSameWay) {
  Scenario scenario{.name = "good", .play = good};
  std::set<std::uint64_t> hashes;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    const std::uint64_t hash = play_seed(scenario, seed).log_hash;
    EXPECT_EQ(play_seed(scenario, seed).log_hash, hash);
    hashes.insert(hash);
  }
  EXPECT_GT(hashes.size(), 25u);  // and others another one, most of them
}

TEST(Seeds, AProgramThatDependsOnMoreThanItsSeedIsFound) {
  int runs = 0;
  const SeedReport report =
      run_seeds({.name = "moody", .play = [&runs](Trial& trial) { trial.run_for(++runs * 1s); }},
                {.count = 1, .shrink = false});
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.failure->complaints.front(), "the same seed went another way the second time");
}

TEST(Seeds, StatesAreCountedOnceASeed) {
  const SeedReport report = run_seeds({.name = "states",
                                       .play =
                                           [](Trial& trial) {
                                             trial.reached("here");
                                             trial.reached("here");
                                           }},
                                      {.count = 10});
  EXPECT_EQ(report.states, (std::map<std::string, std::uint64_t>{{"here", 10}}));
}

TEST(Trial, AnExceptionOutOfTheScenarioIsAComplaint) {
  EXPECT_EQ(complaints_of([](Trial&) { throw std::runtime_error("oh"); }),
            "the scenario threw: oh");
}

TEST(Trial, WhatSpinsIsStopped) {
  EXPECT_EQ(complaints_of([](Trial& trial) {
              struct Spin {
                static void once(EventLoop* loop) {
                  loop->call_soon([loop] { once(loop); });
                }
              };
              Spin::once(&trial.loop());
              trial.run_until([] { return false; });
            }),
            "it spins: 20000 turns at one moment");
}

// What is sent byte by byte, and not delayed, takes a turn for each.
TEST(Trial, ToReceiveManyPiecesIsNotToSpin) {
  Scenario scenario{.name = "pieces", .play = [](Trial& trial) {
                      const Meeting pair = meet(trial, [](RecordingProtocol& self, Trial&) {
                        self.on_data = [&self](BytesView data) { self.write(data); };
                      });
                      pair.client->write(std::string(30'000, 'x'));
                      trial.run_until([&] { return pair.client->bytes() == 30'000; });
                      take_down(trial, pair);
                    }};
  const Disturbance bytes{.kind = Kind::link, .link = {.pieces = SimLink::Pieces::single}};
  EXPECT_EQ(play_in(scenario, 1, {bytes}).complaints, std::vector<std::string>());
}

TEST(Trial, WhatNeverEndsIsStopped) {
  EXPECT_EQ(complaints_of([](Trial& trial) {
              Future<void> never(trial.loop());
              trial.done(never);
            }),
            "it comes to no end");
}

TEST(Trial, AConnectionThatStaysIsAComplaint) {
  EXPECT_EQ(complaints_of([](Trial& trial) {
              const Meeting pair = meet(trial, [](RecordingProtocol&, Trial&) {});
              pair.server->close();
            }),
            "a connection was not lost; 2 transports stay when all is done; "
            "reported although nothing went wrong: connection_lost: The event loop was closed; "
            "reported although nothing went wrong: connection_lost: The event loop was closed");
}

TEST(Trial, AReportInACalmWorldIsAComplaint) {
  EXPECT_EQ(complaints_of([](Trial& trial) { trial.report("bad luck"); }),
            "reported although nothing went wrong: bad luck");
}

TEST(Trial, AReportAfterHarmWasDoneIsNoComplaint) {
  Scenario scenario{.name = "told", .play = [](Trial& trial) {
                      if (!trial.calm()) trial.complain("harm before its time");
                      good(trial);
                      if (trial.calm()) trial.complain("no harm was done");
                      trial.report("bad luck");
                    }};
  const std::vector<Disturbance> all = {
      {.kind = Kind::partition, .after = 5, .lasts = 1s},
      {.kind = Kind::cut, .after = 20},
      {.kind = Kind::cut_after, .count = 100},
      {.kind = Kind::error, .count = 1, .call = "send", .error = EPIPE},
      {.kind = Kind::errors, .after = 5, .lasts = 1h, .count = 1000},
      {.kind = Kind::descriptors, .after = 5, .lasts = 1s},
      {.kind = Kind::clock, .after = 5, .lasts = 1s}};
  for (const Disturbance& one : all) {
    const SeedOutcome outcome = play_in(scenario, 1, {one});
    EXPECT_TRUE(outcome.complaints.empty())
        << one.to_string() << ": " << outcome.complaints.front();
  }
}

TEST(Trial, HarmThatNeverCameExcusesNothing) {
  Scenario scenario{.name = "told", .play = [](Trial& trial) {
                      good(trial);
                      trial.report("bad luck");
                    }};
  const std::vector<Disturbance> all = {
      {.kind = Kind::partition, .after = 1'000'000, .lasts = 1s},
      {.kind = Kind::cut},
      {.kind = Kind::cut_after, .count = 100'000},
      {.kind = Kind::error, .after = 1000, .count = 1, .call = "send", .error = EPIPE}};
  for (const Disturbance& one : all) {
    EXPECT_EQ(play_in(scenario, 1, {one}).complaints,
              std::vector<std::string>{"reported although nothing went wrong: bad luck"})
        << one.to_string();
  }
}

TEST(Trial, WhatTheProgramDoesItselfIsNoHarm) {
  EXPECT_EQ(complaints_of([](Trial& trial) {
              trial.disturb();
              trial.report("as it was to be");
              if (trial.calm() || !trial.unharmed()) trial.complain("taken for another");
            }),
            "");
}

TEST(Trial, ABreachOfTheContractIsAComplaint) {
  EXPECT_EQ(complaints_of([](Trial& trial) {
              const auto protocol = trial.protocol();
              protocol->resume_writing();
            }),
            "resume_writing was called before connection_made; "
            "resume_writing was called without pause_writing");
}

TEST(Trial, RunsOnTheRealKernel) {
  Scenario scenario{.name = "good", .play = good, .options = {.real = true}};
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const SeedOutcome outcome = play_seed(scenario, seed);
    EXPECT_TRUE(outcome.complaints.empty()) << outcome.complaints.front();
  }
}

TEST(Trial, ToBeToldThatNothingGoesNowIsNoHarm) {
  Scenario scenario{.name = "later", .play = [](Trial& trial) {
                      const auto guard =
                          trial.faults().inject({.call = "recv", .error = EAGAIN, .times = 3});
                      good(trial);
                      if (trial.faults().injected().empty()) trial.complain("nothing happened");
                      if (!trial.calm()) trial.complain("not calm");
                    }};
  EXPECT_TRUE(play_in(scenario, 1, {}).complaints.empty());
}

TEST(Trial, AfterHealingNothingFails) {
  Scenario scenario{.name = "healed", .play = [](Trial& trial) {
                      trial.run_for(1ms);
                      trial.heal();
                      const std::size_t before = trial.reports();
                      good(trial);
                      if (trial.reports() != before) trial.complain("still ill");
                    }};
  const std::vector<Disturbance> all = {
      {.kind = Kind::errors, .lasts = 1h, .count = 1000},
      {.kind = Kind::error, .count = 1000, .call = "socket", .error = EMFILE},
      {.kind = Kind::partition, .lasts = 1h},
      {.kind = Kind::cut_after, .count = 10},
      {.kind = Kind::descriptors, .lasts = 1h}};
  for (const Disturbance& one : all) {
    const SeedOutcome outcome = play_in(scenario, 1, {one});
    EXPECT_TRUE(outcome.complaints.empty())
        << one.to_string() << ": " << outcome.complaints.front();
  }
}

TEST(Disturbances, EveryKindIsDrawnAndAThirdOfTheWorldsIsCalm) {
  std::set<Kind> kinds;
  int calm = 0;
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    bool harmful = false;
    for (const Disturbance& one : draw_disturbances(seed)) {
      kinds.insert(one.kind);
      harmful = harmful || one.harmful();
      EXPECT_FALSE(one.to_string().empty());
    }
    calm += harmful ? 0 : 1;
  }
  EXPECT_EQ(kinds.size(), static_cast<std::size_t>(Kind::call));
  EXPECT_NEAR(calm, 1000, 150);
}

TEST(Disturbances, WhatIsDrawnSaysNothingOfWhatHappensThen) {
  int same = 0;
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    const auto all = draw_disturbances(seed);
    const bool drawn = std::any_of(all.begin(), all.end(),
                                   [](const auto& one) { return one.kind == Kind::schedule; });
    same += drawn == Seed(seed, "schedule").permille(500) ? 1 : 0;
  }
  EXPECT_NEAR(same, 1000, 150);
}

TEST(Disturbances, LinksCutTheirBytesInEveryWay) {
  std::set<SimLink::Pieces> ways;
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    for (const Disturbance& one : draw_disturbances(seed)) {
      if (one.kind == Kind::link) ways.insert(one.link.pieces);
    }
  }
  EXPECT_EQ(ways.size(), 5u);
}

TEST(Disturbances, WhatIsNotAllowedIsNotDrawn) {
  const Troubles none{.network = false, .calls = false, .descriptors = false, .clock = false};
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    for (const Disturbance& one : draw_disturbances(seed, none)) {
      EXPECT_FALSE(one.harmful()) << one.to_string();
    }
  }
}

TEST(Disturbances, EachTakesPlace) {
  // What a client that asks once sees of each.
  const auto outcome = [](Disturbance one) {
    std::string seen;
    Scenario scenario{
        .name = "seen", .play = [&seen](Trial& trial) {
          const TimePoint start = trial.loop().time();
          const Meeting pair = meet(trial, [](RecordingProtocol& self, Trial&) {
            self.on_data = [&self](BytesView data) { self.write(data); };
          });
          if (!pair.client) {
            seen = "not connected";
          } else {
            if (!pair.client->lost()) pair.client->write(std::string(100, 'x'));
            trial.run_until([&] { return pair.client->lost() || pair.client->bytes() == 100; });
            seen = pair.client->lost() ? "lost" : "answered";
          }
          const auto time = trial.loop().time() - start;
          seen += time == 0s ? " at once" : time < 1s ? " later" : " late";
          take_down(trial, pair);
        }};
    for (const std::string& each : play_in(scenario, 1, {one}).complaints) seen += "; " + each;
    return seen;
  };
  EXPECT_EQ(outcome({.kind = Kind::schedule}), "answered at once");
  EXPECT_EQ(outcome({.kind = Kind::link, .link = {.latency_min = 10ms}}), "answered later");
  EXPECT_EQ(outcome({.kind = Kind::small_pipes, .count = 512}), "answered at once");
  EXPECT_EQ(outcome({.kind = Kind::slow_turns, .lasts = 1ms}), "answered later");
  EXPECT_EQ(outcome({.kind = Kind::short_counts, .count = 500}), "answered at once");
  EXPECT_EQ(outcome({.kind = Kind::stall, .after = 1, .lasts = 500ms}), "answered later");
  EXPECT_EQ(outcome({.kind = Kind::partition, .after = 1, .lasts = 20s}), "answered late");
  EXPECT_EQ(outcome({.kind = Kind::stall, .after = 1, .lasts = 2s, .way = Way::to_server}),
            "answered late");
  EXPECT_EQ(outcome({.kind = Kind::partition, .after = 1, .lasts = 2s, .way = Way::from_server}),
            "answered late");
  EXPECT_EQ(outcome({.kind = Kind::cut_after, .count = 50}), "lost at once");
  EXPECT_EQ(outcome({.kind = Kind::error, .count = 9, .call = "socket", .error = EMFILE}),
            "not connected at once");
  EXPECT_EQ(outcome({.kind = Kind::call}), "not connected at once");
  EXPECT_EQ(outcome({.kind = Kind::errors, .after = 1, .lasts = 1s, .count = 1000}),
            "not connected at once");
  EXPECT_EQ(outcome({.kind = Kind::descriptors, .after = 3, .lasts = 1s}), "not connected at once");
  EXPECT_EQ(outcome({.kind = Kind::clock, .after = 5, .lasts = 10s}), "answered late");
}

}  // namespace ferry::testing
