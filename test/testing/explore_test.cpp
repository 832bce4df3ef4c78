// What a kernel may permute, every way of it.

#include "network_suite.h"

#include <ferry/connect.h>
#include <ferry/server.h>
#include <ferry/testing/explore.h>
#include <ferry/testing/recording_protocol.h>

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

namespace ferry::test {
namespace {

using testing::explore;
using testing::ExploreResult;
using testing::format_choices;
using testing::parse_choices;
using testing::RecordingFactory;
using testing::RecordingProtocol;
using testing::replay;
using testing::SimChoices;
using testing::SimChooser;
using testing::SimGate;
using Arm = FdWatch::Arm;

// -- the odometer

TEST(Explore, GoesThroughEverySequenceOfChoicesOnce) {
  std::set<std::string> seen;
  const ExploreResult result = explore([&](SimChooser& chooser) {
    std::string text;
    const std::size_t first = chooser.choose(3);
    text += std::to_string(first);
    // The second question depends on the first answer.
    if (first == 1) text += std::to_string(chooser.choose(2)) + std::to_string(chooser.choose(2));
    EXPECT_EQ(chooser.choose(1), 0u);
    EXPECT_TRUE(seen.insert(text).second) << text << " came twice";
  });
  EXPECT_EQ(seen, (std::set<std::string>{"0", "100", "101", "110", "111", "2"}));
  EXPECT_EQ(result.runs, 6u);
  EXPECT_TRUE(result.complete);
  EXPECT_EQ(result.longest, 3u);
  EXPECT_FALSE(result.failure);
}

TEST(Explore, EndsAtItsLimit) {
  int runs = 0;
  const ExploreResult result = explore(
      [&](SimChooser& chooser) {
        ++runs;
        for (int i = 0; i < 10; ++i) chooser.choose(2);
      },
      {.max_runs = 100});
  EXPECT_EQ(runs, 100);
  EXPECT_EQ(result.runs, 100u);
  EXPECT_FALSE(result.complete);
}

TEST(Explore, ARunThatFailsIsToldAndCanBeReplayed) {
  bool failed = false;
  const auto run = [&](SimChooser& chooser) {
    const std::size_t a = chooser.choose(4);
    const std::size_t b = chooser.choose(5);
    failed = a == 2 && b == 3;
    chooser.choose(2);
  };
  const ExploreResult result = explore(run, {.failed = [&] { return failed; }});
  ASSERT_TRUE(result.failure);
  EXPECT_FALSE(result.complete);
  EXPECT_EQ(format_choices(*result.failure), "2.3");
  EXPECT_EQ(result.runs, (2u * 5 + 3) * 2 + 1);
  failed = false;
  replay(parse_choices("2.3"), run);
  EXPECT_TRUE(failed);
  replay({}, run);
  EXPECT_FALSE(failed);
}

TEST(Explore, AnExceptionIsAFailure) {
  const ExploreResult result = explore([&](SimChooser& chooser) {
    if (chooser.choose(2) == 1) throw std::runtime_error("the second way");
  });
  ASSERT_TRUE(result.failure);
  EXPECT_EQ(*result.failure, SimChoices{1});
  EXPECT_THROW(std::rethrow_exception(result.exception), std::runtime_error);
}

TEST(Explore, ARunThatDependsOnMoreThanItsChoicesIsRefused) {
  std::size_t count = 2;
  const auto other_question = [&](SimChooser& chooser) {
    chooser.choose(count++);
    chooser.choose(2);
  };
  EXPECT_THROW(explore(other_question), std::logic_error);
  int questions = 3;
  const auto fewer = [&](SimChooser& chooser) {
    for (int i = 0; i < questions; ++i) chooser.choose(2);
    questions -= 2;
  };
  EXPECT_THROW(explore(fewer), std::logic_error);
}

TEST(Explore, ChoicesAreWrittenAndRead) {
  const SimChoices choices{0, 12, 3};
  EXPECT_EQ(format_choices(choices), "0.12.3");
  EXPECT_EQ(parse_choices("0.12.3"), choices);
  EXPECT_EQ(parse_choices(""), SimChoices{});
  for (const char* wrong : {".", "1.", ".1", "1..2", "a", "1,2", "-1", "1.2x"}) {
    EXPECT_THROW(static_cast<void>(parse_choices(wrong)), std::invalid_argument) << wrong;
  }
}

// -- a look at the sockets

/// Two connections that are closed at the same time as a timer fires.
class Closing : private Kernel::Client {
 public:
  explicit Closing(SimOptions options) : kernel_(options) { kernel_.attach(*this); }

  std::string run(bool wake = false) {
    auto one = stream_pair(kernel_);
    auto two = stream_pair(kernel_);
    Ear first("a", &log_);
    Ear second("b", &log_);
    const FdWatchPtr first_watch = watch(kernel_, one.first.get(), first);
    const FdWatchPtr second_watch = watch(kernel_, two.first.get(), second);
    first_watch->arm(Direction::read, Arm::if_ready);
    second_watch->arm(Direction::read, Arm::if_ready);
    kernel_.set_timer(kernel_.now() + 1s);
    kernel_.at(kernel_.now() + 1s, [&] {
      one.second.reset();
      two.second.reset();
      if (wake) kernel_.wake();
    });
    kernel_.set_stuck([] { return false; });
    kernel_.run();
    std::string text;
    for (const std::string& each : log_) text += each[0];
    return text;
  }

 private:
  void on_drain() override { log_.push_back("drain"); }
  void on_signal(int) override {}
  void on_timer() override { log_.push_back("timer"); }

  SimKernel kernel_;
  std::vector<std::string> log_;
};

TEST(ExploreLook, HasTheOrdersThatCombinatoricsSays) {
  std::map<std::string, int> seen;
  const auto run = [&](unsigned looks, bool wake) {
    seen.clear();
    return explore([&](SimChooser& chooser) {
      ++seen[Closing({.chooser = &chooser, .most_looks = looks}).run(wake)];
    });
  };
  // Three things in one look: 3! orders.
  ExploreResult result = run(0, false);
  EXPECT_TRUE(result.complete);
  EXPECT_EQ(result.runs, 6u);
  EXPECT_EQ(seen.size(), 6u);
  // In several looks: between any two of an order the look may end, so 2^2 times as many.
  result = run(2, false);
  EXPECT_TRUE(result.complete);
  EXPECT_EQ(result.runs, 24u);
  EXPECT_EQ(seen.size(), 6u);
  for (const auto& [order, times] : seen) EXPECT_EQ(times, 4) << order;
  // Four things: what another thread posts is one of them.
  result = run(0, true);
  EXPECT_EQ(result.runs, 24u);
  EXPECT_EQ(seen.size(), 24u);
  result = run(3, true);
  EXPECT_TRUE(result.complete);
  EXPECT_EQ(result.runs, 24u * 8);
  EXPECT_EQ(seen.size(), 24u);
  for (const auto& [order, times] : seen) EXPECT_EQ(order.size(), 4u) << "each is told once";
}

TEST(ExploreLook, WithoutPermutationIsOneRun) {
  std::string order;
  const ExploreResult result =
      explore([&](SimChooser&) { order = Closing(SimOptions{}).run(true); });
  EXPECT_EQ(result.runs, 1u);
  EXPECT_TRUE(result.complete);
  EXPECT_EQ(order, "abtd");
  // The first choice is always what happens without.
  replay({},
         [&](SimChooser& chooser) { EXPECT_EQ(Closing({.chooser = &chooser}).run(true), order); });
}

TEST(ExploreLook, LotsFindTheSameOrders) {
  std::set<std::string> seen;
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    const SimOptions options{.seed = seed, .permute_schedule = true};
    const std::string order = Closing(options).run(true);
    EXPECT_EQ(Closing(options).run(true), order) << "seed " << seed;
    seen.insert(order);
  }
  EXPECT_EQ(seen.size(), 24u);
}

/// A socket that is readable while the program drains again and again.
TEST(ExploreLook, KeepsNothingBackForMoreThanAFewLooks) {
  struct Client : Kernel::Client {
    void on_drain() override {
      if (ear->readable > 0) return kernel->stop();
      ++drains;
      kernel->request_drain();
    }
    void on_signal(int) override {}
    void on_timer() override {}
    SimKernel* kernel = nullptr;
    Ear* ear = nullptr;
    int drains = 0;
  };
  std::map<int, int> drains_before;
  const ExploreResult result = explore([&](SimChooser& chooser) {
    SimKernel kernel({.chooser = &chooser, .most_looks = 3});
    Client client;
    Ear ear;
    client.kernel = &kernel;
    client.ear = &ear;
    kernel.attach(client);
    auto [near, far] = stream_pair(kernel);
    const FdWatchPtr w = watch(kernel, near.get(), ear);
    w->arm(Direction::read, Arm::if_ready);
    kernel.send(far.get(), "x");
    kernel.request_drain();
    kernel.run();
    ++drains_before[client.drains];
  });
  EXPECT_TRUE(result.complete);
  EXPECT_EQ(drains_before, (std::map<int, int>{{1, 1}, {2, 1}, {3, 1}, {4, 1}}));
}

TEST(ExploreLook, OfOneSocketWritableComesBeforeReadable) {
  std::set<std::vector<std::string>> seen;
  const ExploreResult result = explore([&](SimChooser& chooser) {
    struct Client : Kernel::Client {
      void on_drain() override {}
      void on_signal(int) override {}
      void on_timer() override {}
    } client;
    SimKernel kernel({.chooser = &chooser, .most_looks = 0});
    kernel.attach(client);
    std::vector<std::string> log;
    Ear first("a", &log);
    Ear second("b", &log);
    auto one = stream_pair(kernel);
    auto two = stream_pair(kernel);
    const FdWatchPtr first_watch = watch(kernel, one.first.get(), first);
    const FdWatchPtr second_watch = watch(kernel, two.first.get(), second);
    kernel.send(one.second.get(), "x");
    kernel.send(two.second.get(), "x");
    for (const Direction direction : {Direction::read, Direction::write}) {
      first_watch->arm(direction, Arm::if_ready);
      second_watch->arm(direction, Arm::if_ready);
    }
    kernel.set_stuck([] { return false; });
    kernel.run();
    EXPECT_TRUE(seen.insert(log).second) << "twice";
    const auto at = [&](const char* what) { return std::find(log.begin(), log.end(), what); };
    EXPECT_LT(at("a writable"), at("a readable"));
    EXPECT_LT(at("b writable"), at("b readable"));
  });
  EXPECT_TRUE(result.complete);
  EXPECT_EQ(seen.size(), 6u) << "4! / (2! 2!)";
}

// -- the library

/// An echo server and one client: data, the FIN, a timer that closes and an abort from elsewhere
/// come in every order, together or in several looks.
std::string meet(SimChooser& chooser) {
  SimGate gate(chooser);
  auto made_kernel = std::make_unique<SimKernel>(SimOptions{.chooser = &gate, .most_looks = 1});
  SimKernel& kernel = *made_kernel;
  EventLoop loop(std::move(made_kernel));
  kernel.set_stuck([] { return false; });
  RecordingFactory<> made;
  made.prepare = [](RecordingProtocol& protocol) {
    protocol.on_data = [&protocol](BytesView data) { protocol.write(data); };
  };
  ListenOptions options;
  options.hosts = {"127.0.0.1"};
  const auto listening = create_server(loop, made.factory(), options);
  const auto server = loop.run_until_complete(listening);
  const Socket client(kernel, kernel.socket(AF_INET, SOCK_STREAM, 0).fd());
  kernel.connect(client.get(), *Address::ip("127.0.0.1", server->port()));
  loop.run_forever();
  if (made.size() != 1) return "no connection";
  RecordingProtocol& protocol = made.at(0);

  const TimePoint then = kernel.now() + 1ms;
  loop.call_at(then, [&] { protocol.close(); });
  std::vector<Function<void()>> acts;
  acts.push_back([&] { kernel.send(client.get(), "hello"); });
  acts.push_back([&] { kernel.shutdown(client.get(), SHUT_WR); });
  acts.push_back([&] { loop.call_soon_threadsafe([&] { protocol.abort(); }); });
  Function<void()> go_on = [&] {
    while (!acts.empty()) {
      const auto next = acts.begin() + static_cast<std::ptrdiff_t>(gate.choose(acts.size()));
      (*next)();
      acts.erase(next);
      if (!acts.empty() && gate.choose(2) == 1) return kernel.at(then, [&] { go_on(); });
    }
  };
  kernel.at(then, [&] { go_on(); });
  gate.open = true;
  loop.run_forever();

  EXPECT_TRUE(protocol.violations().empty()) << protocol.violations().front();
  EXPECT_TRUE(protocol.lost());
  server->close();
  return protocol.summary();
}

TEST(ExploreLoop, AnEchoKeepsTheContractInEveryOrderOfDataEndTimerAndAbort) {
  std::map<std::string, int> seen;
  const ExploreResult result = explore([&](SimChooser& chooser) { ++seen[meet(chooser)]; },
                                       {.failed = ::testing::Test::HasFailure});
  EXPECT_TRUE(result.complete) << "failed with choices "
                               << (result.failure ? format_choices(*result.failure) : "none");
  std::vector<std::string> summaries;
  for (const auto& [summary, times] : seen) summaries.push_back(summary);
  EXPECT_EQ(summaries, (std::vector<std::string>{"made data:5 eof lost:ok", "made data:5 lost:ok",
                                                 "made eof lost:ok", "made lost:ok"}));
  RecordProperty("runs", static_cast<int>(result.runs));
}

/// A connect that is answered, given up at its time limit and cancelled at the same time.
std::string connect_in_time(SimChooser& chooser) {
  SimGate gate(chooser);
  auto made_kernel = std::make_unique<SimKernel>(SimOptions{.chooser = &gate, .most_looks = 1});
  SimKernel& kernel = *made_kernel;
  EventLoop loop(std::move(made_kernel));
  kernel.set_stuck([] { return false; });
  kernel.network().set_link({.latency_min = 5ms});
  RecordingFactory<> accepted;
  RecordingFactory<> made;
  ListenOptions listening;
  listening.hosts = {"127.0.0.1"};
  const auto starting = create_server(loop, accepted.factory(), listening);
  const auto server = loop.run_until_complete(starting);

  ConnectOptions options;
  options.host = "127.0.0.1";
  options.port = server->port();
  options.timeout = 10ms;
  int settled = 0;
  const auto connected = create_connection(loop, made.factory(), options);
  connected.add_done_callback([&] { ++settled; });
  // Its letter is read before the loop does anything about the answer: so it always wins, or the
  // time limit does.
  kernel.at(kernel.now() + 10ms, [&] { loop.call_soon_threadsafe([&] { connected.cancel(); }); });
  gate.open = true;
  loop.run_forever();

  EXPECT_EQ(settled, 1);
  std::string outcome = connected.cancelled() ? "cancelled" : "connected";
  try {
    if (!connected.cancelled()) static_cast<void>(connected.result());
  } catch (const std::system_error& error) {
    outcome = error.code() == std::errc::timed_out ? "timed out" : error.what();
  }
  const bool open = made.size() == 1 && made.at(0).made() && !made.at(0).lost();
  EXPECT_EQ(open, outcome == "connected") << outcome;
  server->close();
  loop.run_forever();
  loop.close();
  EXPECT_EQ(kernel.stats().open_sockets, 0u);
  for (const auto* each : {&made, &accepted}) {
    EXPECT_TRUE(each->violations().empty());
    for (const auto& protocol : each->all()) EXPECT_EQ(protocol->made(), protocol->lost());
  }
  return outcome;
}

TEST(ExploreLoop, AConnectEndsOnceInEveryOrderOfItsAnswerItsTimeLimitAndItsCancel) {
  std::map<std::string, int> seen;
  const ExploreResult result =
      explore([&](SimChooser& chooser) { ++seen[connect_in_time(chooser)]; },
              {.failed = ::testing::Test::HasFailure});
  EXPECT_TRUE(result.complete) << "failed with choices "
                               << (result.failure ? format_choices(*result.failure) : "none");
  std::vector<std::string> outcomes;
  for (const auto& [outcome, times] : seen) outcomes.push_back(outcome);
  EXPECT_EQ(outcomes, (std::vector<std::string>{"cancelled", "timed out"}));
}

}  // namespace
}  // namespace ferry::test
