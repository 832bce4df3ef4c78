// What a Trial sees of a program that does what it may not, and when it excuses it.

#include "meeting.h"

#include <ferry/testing/seeds.h>

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace ferry::testing {

namespace {

using namespace std::chrono_literals;
using Kind = Disturbance::Kind;
using Complaints = std::vector<std::string>;

template <class Play>
Complaints complaints_in(std::vector<Disturbance> disturbances, Play play) {
  Scenario scenario{.name = "it", .play = std::move(play)};
  return play_in(scenario, 1, std::move(disturbances)).complaints;
}

/// For disturbances that come after some.
void make_calls(Trial& trial, const Meeting& pair, int count) {
  Address name;
  for (int i = 0; i < count; ++i) {
    trial.loop().kernel().local_address(pair.server->native_handles()[0], name);
  }
}

}  // namespace

TEST(TrialWatches, HowOftenADescriptorIsReadInATurn) {
  const auto reads = [](int times) {
    return complaints_in({}, [times](Trial& trial) {
      Kernel& kernel = trial.loop().kernel();
      std::array<int, 2> ends{};
      ASSERT_TRUE(kernel.pipe(ends[0], ends[1]).ok());
      const BytesView text = "0123456789abcdefg";
      ASSERT_TRUE(kernel.write_pieces(ends[1], {&text, 1}).ok());
      trial.loop().call_soon([&] {
        std::byte one{};
        for (int i = 0; i < times; ++i) kernel.read(ends[0], {&one, 1});
      });
      trial.run_for(1ms);
      for (const int end : ends) kernel.close(end);
    });
  };
  EXPECT_EQ(reads(16), Complaints());
  EXPECT_EQ(reads(17), Complaints{"read took more than its share of a turn"});
}

TEST(TrialWatches, ASpinInSlowTurns) {
  struct Spin {
    static void once(EventLoop* loop) {
      loop->call_soon([loop] { once(loop); });
    }
  };
  EXPECT_EQ(complaints_in({{.kind = Kind::slow_turns, .lasts = 1us}},
                          [](Trial& trial) {
                            Spin::once(&trial.loop());
                            trial.run_until([] { return false; });
                          }),
            Complaints{"it spins: 20000 turns at one moment"});
}

// An error told in a calm world stays wrong, whatever comes afterwards.
TEST(TrialWatches, AnErrorThatLaterHarmDoesNotExcuse) {
  const Complaints all =
      complaints_in({{.kind = Kind::clock, .after = 60, .lasts = 1s}}, [](Trial& trial) {
        const Meeting pair = meet(trial, [](RecordingProtocol& self, Trial&) {
          self.on_data = [&self](BytesView) { self.close(); };
        });
        pair.client->keep_open_on_eof = true;
        pair.client->write("x");
        trial.run_for(1ms);
        pair.client->write("nobody reads it");
        trial.run_for(1ms);
        pair.client->write("nor that");
        trial.run_until([&] { return pair.client->lost(); });
        ASSERT_TRUE(pair.client->error());
        ASSERT_TRUE(trial.calm());
        make_calls(trial, pair, 60);
        trial.run_for(1s);
        ASSERT_FALSE(trial.calm());
        take_down(trial, pair);
      });
  ASSERT_EQ(all.size(), 1u);
  EXPECT_NE(all[0].find("reported although nothing went wrong: connection_lost"),
            std::string::npos);
}

TEST(TrialWatches, WhatAPartitionStopsAndNotThatThereIsOne) {
  for (const bool traffic : {false, true}) {
    EXPECT_EQ(complaints_in({{.kind = Kind::partition, .after = 20, .lasts = 1s}},
                            [traffic](Trial& trial) {
                              const Meeting pair = meet(trial, [](RecordingProtocol&, Trial&) {});
                              make_calls(trial, pair, 20);
                              trial.run_for(1ms);
                              if (traffic) pair.client->write("x");
                              trial.run_for(2s);
                              EXPECT_EQ(trial.unharmed(), !traffic);
                              take_down(trial, pair);
                            }),
              Complaints());
  }
}

// The one end learns at once that its connection was cut, the other one after a while.
TEST(TrialWatches, ACutThatOneEndIsToldLater) {
  for (const SimEnds ends : {SimEnds::from, SimEnds::to}) {
    const Disturbance cut{.kind = Kind::cut, .after = 20, .lasts = 10s, .ends = ends};
    EXPECT_EQ(complaints_in({cut},
                            [ends](Trial& trial) {
                              static std::vector<RecordingProtocol*> servers;
                              servers.clear();
                              const Meeting pair = meet(trial, [](RecordingProtocol& self, Trial&) {
                                servers.push_back(&self);
                              });
                              make_calls(trial, pair, 20);
                              trial.run_for(1s);
                              const bool client_first = ends == SimEnds::from;
                              EXPECT_EQ(pair.client->lost(), client_first);
                              EXPECT_EQ(servers.at(0)->lost(), !client_first);
                              trial.run_for(10s);
                              EXPECT_TRUE(trial.all_lost());
                              take_down(trial, pair);
                            }),
              Complaints());
  }
}

TEST(TrialWatches, TheSystemsTimeIsWhatTheRealKernelIsGiven) {
  Scenario scenario{.name = "patient", .play = [](Trial& trial) {
                      const auto begin = std::chrono::steady_clock::now();
                      trial.run_until([] { return false; });
                      EXPECT_GE(std::chrono::steady_clock::now() - begin, 300ms);
                    }};
  scenario.options.real = true;
  scenario.options.real_wait = 1ms;
  scenario.options.real_patience = 300ms;
  EXPECT_EQ(play_in(scenario, 1, {}).complaints, Complaints{"it comes to no end"});
}

TEST(TrialWatches, BreachesEvenOfAScenarioThatIsExcused) {
  static int healed;
  healed = 0;
  Scenario scenario{.name = "poor", .play = [](Trial& trial) {
                      trial.complain("before");
                      trial.breach("a breach");
                      trial.heal();
                    }};
  scenario.options.lenient = true;
  scenario.options.on_heal = [] { ++healed; };
  EXPECT_EQ(play_in(scenario, 1, {}).complaints, Complaints{"a breach"});
  EXPECT_EQ(healed, 1);
}

TEST(Disturbances, ArePiecesOfTheProgramsFramesIfItTells) {
  std::size_t boundaries = 0;
  for (std::uint64_t seed = 1; seed <= 2000; ++seed) {
    for (const Disturbance& one : draw_disturbances(seed, {.frame = 321})) {
      if (one.kind != Kind::link || one.link.pieces != SimLink::Pieces::boundary) continue;
      ++boundaries;
      EXPECT_EQ(one.link.piece_size, 321u);
    }
  }
  EXPECT_GT(boundaries, 10u);
}

TEST(Disturbances, AreNoSmallPiecesForWhoMovesMuch) {
  for (std::uint64_t seed = 1; seed <= 2000; ++seed) {
    for (const Disturbance& one : draw_disturbances(seed, {.least_piece = 4096})) {
      if (one.kind == Kind::small_pipes) {
        EXPECT_GE(one.count, 4096u);
      }
      if (one.kind != Kind::link) continue;
      EXPECT_GE(one.link.piece_size, 4096u);
      EXPECT_NE(one.link.pieces, SimLink::Pieces::single);
      EXPECT_NE(one.link.pieces, SimLink::Pieces::random);
    }
  }
}

}  // namespace ferry::testing
