// How to test a protocol of your own: a small service, and tests of it that need no network and
// never wait. lib/testing/README.md says more.
#include <ferry/net.h>
#include <ferry/testing/explore.h>
#include <ferry/testing/memory_pair.h>
#include <ferry/testing/recording_protocol.h>
#include <ferry/testing/scripted_peer.h>
#include <ferry/testing/seeds.h>
#include <ferry/testing/splits.h>

#include <gtest/gtest.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

using namespace std::chrono_literals;

// ---- what is to be tested

/// Finds the lines in what arrives.
class LineDecoder {
 public:
  static constexpr std::size_t kLongest = 80;

  /// The lines that are complete with these bytes, without their ends.
  std::vector<std::string> feed(ferry::BytesView bytes) {
    std::vector<std::string> lines;
    for (const char c : bytes.text()) {
      if (failed()) break;
      if (c == '\n') {
        lines.push_back(std::move(line_));
        line_.clear();
      } else {
        line_ += c;
      }
    }
    return lines;
  }
  /// A line was too long; what follows is not looked at.
  bool failed() const { return line_.size() > kLongest; }

 private:
  std::string line_;
};

/// One connection of a service that adds: "add N" is answered by the sum so far, "quit" ends it, as
/// does half a minute of silence.
class Adder : public ferry::Protocol {
 public:
  static constexpr ferry::Duration kPatience = 30s;

  void connection_made(std::shared_ptr<ferry::Transport> transport) override {
    transport_ = std::move(transport);
    silence_.emplace(transport_->loop(), [this] { transport_->abort(); });
    silence_->set(kPatience);
  }
  void data_received(ferry::BytesView data) override {
    silence_->set(kPatience);
    for (const std::string& line : decoder_.feed(data)) answer(line);
    if (decoder_.failed()) transport_->abort();
  }
  // A peer that does not read its answers need not be read from either.
  void pause_writing() override { transport_->pause_reading(); }
  void resume_writing() override { transport_->resume_reading(); }

 private:
  void answer(std::string_view line) {
    int number = 0;
    if (line == "quit") {
      transport_->write("bye\n");
      transport_->close();
    } else if (line.starts_with("add ") &&
               std::from_chars(line.data() + 4, line.data() + line.size(), number).ec ==
                   std::errc()) {
      sum_ += number;
      transport_->write(std::to_string(sum_) + "\n");
    } else {
      transport_->write("what?\n");
    }
  }

  std::shared_ptr<ferry::Transport> transport_;
  std::optional<ferry::Timer> silence_;
  LineDecoder decoder_;
  long long sum_ = 0;
};

// ---- the tests

using ferry::testing::explore;
using ferry::testing::FaultKernel;
using ferry::testing::for_each_split;
using ferry::testing::format_choices;
using ferry::testing::MemoryPair;
using ferry::testing::parse_choices;
using ferry::testing::play_seed;
using ferry::testing::RecordingProtocol;
using ferry::testing::replay;
using ferry::testing::run_seeds;
using ferry::testing::Scenario;
using ferry::testing::ScriptedPeer;
using ferry::testing::SimChoices;
using ferry::testing::SimChooser;
using ferry::testing::SimGate;
using ferry::testing::SimKernel;
using ferry::testing::SimLink;
using ferry::testing::SimOptions;
using ferry::testing::Split;
using ferry::testing::Trial;

// However the bytes arrive, the lines are the same.
TEST(LineDecoder, DoesNotCareHowBytesArrive) {
  const std::string wire = "add 1\n\nquit\n" + std::string(80, 'x') + "\n" + std::string(81, 'y');
  for_each_split(wire, [](const Split& split) {
    SCOPED_TRACE(split.to_string());
    LineDecoder decoder;
    std::vector<std::string> lines;
    for (const ferry::BytesView piece : split) {
      for (const std::string& line : decoder.feed(piece)) lines.push_back(line);
    }
    EXPECT_EQ(lines, (std::vector<std::string>{"add 1", "", "quit", std::string(80, 'x')}));
    EXPECT_TRUE(decoder.failed());
  });
}

// What goes over the wire, to the byte; both ways it goes byte by byte.
TEST(Adder, AnswersEachLine) {
  ScriptedPeer peer;
  peer.send("add 2\n").expect("2\n");
  peer.send("add 3\nsub 1\n").expect("5\nwhat?\n");
  peer.send("quit\n").expect("bye\n").expect_eof().close();
  MemoryPair pair(std::make_shared<Adder>(), peer.protocol(),
                  {.link = SimLink{.pieces = SimLink::Pieces::single}});
  EXPECT_TRUE(pair.run());
  EXPECT_EQ(peer.complaint(), "");
}

// A minute of virtual time passes in no time, and to the nanosecond.
TEST(Adder, EndsAConnectionThatIsSilent) {
  ScriptedPeer peer;
  peer.send("add 1\n").expect("1\n").wait(29s).send("add 1\n").expect("2\n");
  peer.expect_silence(29s).expect_eof().close();
  MemoryPair pair(std::make_shared<Adder>(), peer.protocol());
  EXPECT_TRUE(pair.run(2min));
  EXPECT_EQ(peer.complaint(), "");
  EXPECT_EQ(pair.elapsed(), 59s);
}

// A peer that sends and never reads cannot make the service hold much.
TEST(Adder, DoesNotReadFromAPeerThatDoesNotRead) {
  const auto peer = std::make_shared<RecordingProtocol>();
  MemoryPair pair(std::make_shared<Adder>(), peer, {.capacity = 4096});
  peer->pause_reading();
  for (int i = 0; i < 100'000; ++i) peer->write("add 1\n");
  pair.run_for(1s);
  EXPECT_GT(pair.far().get_write_buffer_size(), 400'000u) << "most of it waits at the peer's";
  EXPECT_LT(pair.near().get_write_buffer_size(), 100'000u);
  peer->resume_reading();
  EXPECT_TRUE(pair.run_until([&] { return peer->data().ends_with("\n100000\n"); }));
}

// The connection is cut after each number of bytes.
TEST(Adder, BearsACutAnywhere) {
  const std::string question = "add 2\nadd 3\n";
  const std::string answer = "2\n5\n";
  for (std::size_t bytes = 0; bytes < question.size() + answer.size(); ++bytes) {
    SCOPED_TRACE(bytes);
    const auto peer = std::make_shared<RecordingProtocol>();
    MemoryPair pair(std::make_shared<Adder>(), peer);
    const auto cut = pair.network().cut_after(bytes);
    peer->write(question);
    EXPECT_TRUE(pair.run()) << "both sides hear of it";
    EXPECT_EQ(peer->error(), std::errc::connection_reset);
    EXPECT_TRUE(answer.starts_with(peer->data())) << peer->data();
    EXPECT_TRUE(pair.exceptions().empty());
  }
}

// One run: a question comes at the very moment at which the service's patience ends.
std::string ask_at_the_last_moment(SimChooser& chooser) {
  SimGate gate(chooser);
  auto simulation = std::make_unique<SimKernel>(SimOptions{.chooser = &gate});
  SimKernel& kernel = *simulation;
  ferry::EventLoop loop(std::move(simulation));
  const auto peer = std::make_shared<RecordingProtocol>();
  const auto server = loop.run_until_complete(ferry::create_server(
      loop, [] { return std::make_shared<Adder>(); }, {.hosts = {"127.0.0.1"}}));
  loop.run_until_complete(ferry::create_connection(loop, [&peer] { return peer; },
                                                   {.host = "127.0.0.1", .port = server->port()}));
  kernel.at(loop.time() + Adder::kPatience, [&] { peer->write("add 1\nquit\n"); });
  kernel.set_stuck([] { return false; });  // when nothing is left to do, the run is over
  gate.open = true;
  loop.run_forever();
  EXPECT_TRUE(peer->lost());
  EXPECT_TRUE(peer->violations().empty());
  server->close();
  return peer->data();
}

// In every order in which a system may tell of the two.
TEST(Adder, AnswersOrEndsAtTheLastMoment) {
  std::set<std::string> answers;
  const auto result =
      explore([&answers](SimChooser& chooser) { answers.insert(ask_at_the_last_moment(chooser)); },
              {.failed = testing::Test::HasFailure});
  EXPECT_TRUE(result.complete) << format_choices(result.failure.value_or(SimChoices()));
  EXPECT_EQ(answers, (std::set<std::string>{"", "1\nbye\n"}));
}

// One of these runs again.
TEST(Adder, EndsWhenTheTimerIsFirst) {
  replay(parse_choices("1"),
         [](SimChooser& chooser) { EXPECT_EQ(ask_at_the_last_moment(chooser), ""); });
}

// One world: what the server and a client do in it, and what must hold however it goes.
void add_in_any_world(Trial& trial) {
  const auto listening = ferry::create_server(
      trial.loop(), [] { return std::make_shared<Adder>(); }, {.hosts = {"127.0.0.1"}});
  if (!trial.done(listening)) return;
  const auto server = listening.result();
  const auto client = trial.protocol();
  client->on_made = [&client] { client->write("add 2\nquit\n"); };
  const auto connecting = ferry::create_connection(trial.loop(), [&client] { return client; },
                                                   {.host = "127.0.0.1", .port = server->port()});
  if (trial.done(connecting)) trial.run_until([&client] { return client->lost(); });
  const std::string answer = "2\nbye\n";
  if (!answer.starts_with(client->data())) {
    trial.complain("a wrong answer");
  } else if (trial.calm() && client->data() != answer) {
    trial.complain("a short answer");
  }
  server->close();
  trial.done(server->drain(10s));
}

// Five hundred worlds: slow, in pieces, cut, partitioned, out of descriptors, in any order.
TEST(Server, KeepsItsWordInAnyWorld) {
  const auto report = run_seeds({.name = "adder", .play = add_in_any_world}, {.count = 500});
  EXPECT_TRUE(report.ok()) << report.failure->to_string();
}

// One of these worlds again, without what does not matter there.
TEST(Server, KeepsItsWordInAWorldThatWasHard) {
  Scenario scenario{.name = "adder", .play = add_in_any_world};
  EXPECT_EQ(play_seed(scenario, 4, {1}).complaints, std::vector<std::string>());
}

// The whole server, behind a slow network, when the system is out of descriptors for a while.
TEST(Server, ServesAgainWhenDescriptorsAreBack) {
  auto simulation = std::make_unique<SimKernel>();
  simulation->network().set_link({.latency_min = 20ms, .latency_max = 80ms});
  auto kernel = std::make_unique<FaultKernel>(std::move(simulation));
  FaultKernel& faults = *kernel;
  ferry::EventLoop loop(std::move(kernel));
  const auto server = loop.run_until_complete(ferry::create_server(
      loop, [] { return std::make_shared<Adder>(); }, {.hosts = {"127.0.0.1"}}));

  const auto fault = faults.inject({.call = "accept", .error = EMFILE, .times = 3});
  const ferry::TimePoint start = loop.time();
  ScriptedPeer peer;
  peer.send("add 1\n").expect("1\n").close();
  peer.connect(loop, server->sockets()[0]);
  EXPECT_TRUE(loop.run_until_complete(peer.finished(loop))) << peer.complaint();
  EXPECT_GE(loop.time() - start, 3s) << "it rests a second each time";
  EXPECT_EQ(faults.injected().size(), 3u);
}
