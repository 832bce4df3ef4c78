// The same seed gives the same run; and the shipped code on a network that is not kind.

#include "network_suite.h"

#include <ferry/connect.h>
#include <ferry/server.h>
#include <ferry/testing/recording_protocol.h>
#include <ferry/testing/seed.h>

#include <sys/socket.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <set>

namespace ferry::test {
namespace {

using testing::RecordingProtocol;

/// Connections on a rough network, on a kernel of its own.
class RoughTraffic : private Kernel::Client {
 public:
  struct Result {
    std::uint64_t hash;
    std::vector<std::size_t> sizes;
    Duration time;
    bool complete;
    bool operator==(const Result&) const = default;
  };

  explicit RoughTraffic(SimOptions options) : kernel_(options) { kernel_.attach(*this); }

  Result run() {
    kernel_.network().set_link({.latency_min = 1ms,
                                .latency_max = 40ms,
                                .bandwidth = 1'000'000,
                                .pieces = SimLink::Pieces::random,
                                .loss = 100,
                                .duplication = 100,
                                .reorder = 100});
    const std::string text = pattern(5'000);
    std::vector<std::pair<Socket, Socket>> pairs;
    std::vector<std::unique_ptr<StreamReader>> readers;
    std::vector<std::unique_ptr<StreamWriter>> writers;
    for (int i = 0; i < 4; ++i) {
      auto& [near, far] = pairs.emplace_back(stream_pair(kernel_));
      readers.push_back(std::make_unique<StreamReader>(kernel_, far.get()));
      writers.push_back(std::make_unique<StreamWriter>(kernel_, near.get(), text));
    }
    const auto all = [&] {
      return std::all_of(readers.begin(), readers.end(), [](const auto& r) { return r->eof; });
    };
    kernel_.set_turn_hook([&] {
      if (all()) kernel_.stop();
    });
    const TimePoint start = kernel_.now();
    kernel_.set_timer(start + 60s);
    kernel_.run();
    kernel_.set_turn_hook(nullptr);
    Result result{kernel_.log_hash(), {}, kernel_.now() - start, all()};
    for (const auto& reader : readers) {
      result.complete = result.complete && reader->got == text;
      result.sizes.insert(result.sizes.end(), reader->sizes.begin(), reader->sizes.end());
    }
    return result;
  }

 private:
  void on_drain() override {}
  void on_signal(int) override {}
  void on_timer() override { kernel_.stop(); }

  SimKernel kernel_;
};

TEST(SimDeterminism, TheSameSeedGivesTheSameRunAndAnotherSeedAnother) {
  std::map<std::uint64_t, RoughTraffic::Result> results;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    const auto once = RoughTraffic({.seed = seed}).run();
    EXPECT_TRUE(once.complete) << "seed " << seed;
    EXPECT_EQ(once, RoughTraffic({.seed = seed}).run()) << "seed " << seed;
    EXPECT_TRUE(results.emplace(once.hash, once).second) << "seed " << seed << " was seen before";
  }
}

TEST(SimDeterminism, ThePermutedScheduleIsDrawnFromTheSeedToo) {
  const auto plain = RoughTraffic({.seed = 1}).run();
  const auto once = RoughTraffic({.seed = 1, .permute_schedule = true}).run();
  EXPECT_TRUE(once.complete);
  EXPECT_EQ(once, RoughTraffic({.seed = 1, .permute_schedule = true}).run());
  EXPECT_EQ(plain.complete, once.complete);
}

/// In which order five sockets that became ready one after the other are told.
std::vector<std::string> order(SimOptions options) {
  struct Client : Kernel::Client {
    void on_drain() override {}
    void on_signal(int) override {}
    void on_timer() override {}
  } client;
  SimKernel kernel(options);
  kernel.attach(client);
  std::vector<std::string> log;
  std::vector<std::pair<Socket, Socket>> pairs;
  std::vector<std::unique_ptr<Ear>> ears;
  std::vector<FdWatchPtr> watches;
  for (int i = 0; i < 5; ++i) {
    auto& [near, far] = pairs.emplace_back(stream_pair(kernel));
    ears.push_back(std::make_unique<Ear>(std::to_string(i), &log));
    ears.back()->then_readable = [&kernel, &log] {
      if (log.size() == 5) kernel.stop();
    };
    watches.push_back(watch(kernel, far.get(), *ears.back()));
    watches.back()->arm(Direction::read, FdWatch::Arm::if_ready);
  }
  for (auto& [near, far] : pairs) kernel.send(near.get(), "x");
  kernel.run();
  return log;
}

TEST(SimSchedule, IsTheOrderOfEventsUnlessItIsPermuted) {
  const std::vector<std::string> in_order = order({});
  EXPECT_EQ(in_order, (std::vector<std::string>{"0 readable", "1 readable", "2 readable",
                                                "3 readable", "4 readable"}));
  EXPECT_EQ(order({.seed = 7}), in_order);
  std::set<std::vector<std::string>> seen;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    std::vector<std::string> permuted = order({.seed = seed, .permute_schedule = true});
    EXPECT_EQ(permuted, order({.seed = seed, .permute_schedule = true}));
    seen.insert(permuted);
    std::sort(permuted.begin(), permuted.end());
    EXPECT_EQ(permuted, in_order) << "each is told once";
  }
  EXPECT_GT(seen.size(), 20u);
}

/// The same in all weathers: links change, troubles come and go, and all of it ends.
class Storm : private Kernel::Client {
 public:
  struct Result {
    std::uint64_t hash;
    std::size_t complete;  // streams that arrived whole
    std::size_t broken;    // streams that ended with an error
    bool prefixes;         // what arrived is how the text begins
    bool operator==(const Result&) const = default;
  };

  Storm(std::uint64_t seed, unsigned cuts)
      : kernel_({.seed = seed, .permute_schedule = true}), seed_(seed, "app"), cuts_(cuts) {
    kernel_.attach(*this);
  }

  Result run() {
    const std::string text = pattern(20'000);
    kernel_.network().set_link({.latency_max = 5ms, .bandwidth = 200'000});
    for (int i = 0; i < kStreams; ++i) {
      auto& [near, far] = pairs_.emplace_back(stream_pair(kernel_));
      readers_.push_back(std::make_unique<StreamReader>(kernel_, far.get()));
      writers_.push_back(std::make_unique<StreamWriter>(kernel_, near.get(), text));
    }
    on_timer();
    kernel_.run();
    Result result{kernel_.log_hash(), 0, 0, true};
    for (const auto& reader : readers_) {
      result.complete += reader->eof && reader->got == text;
      result.broken += reader->error != 0;
      result.prefixes = result.prefixes && text.starts_with(reader->got);
    }
    return result;
  }
  static constexpr int kStreams = 4;

 private:
  void on_drain() override {}
  void on_signal(int) override {}
  void on_timer() override {
    SimNetwork& network = kernel_.network();
    if (++rounds_ == 40) {
      guards_.clear();
      network.set_link({});
      kernel_.set_timer(kernel_.now() + 1min);
      return;
    }
    if (rounds_ > 40) return kernel_.stop();
    kernel_.set_timer(kernel_.now() + 5ms);
    SimRoute route = kernel_.route(pairs_[seed_.below(kStreams)].first.get());
    if (seed_.permille(500)) std::swap(route.from, route.to);
    route.one_way = seed_.permille(500);
    if (seed_.permille(200)) guards_.push_back(network.stall(route));
    if (seed_.permille(200)) guards_.push_back(network.partition(route));
    if (seed_.permille(cuts_)) network.cut(route);
    if (seed_.permille(cuts_)) guards_.push_back(network.cut_after(seed_.below(3000), route));
    if (seed_.permille(300) && !guards_.empty()) guards_.pop_front();
    if (seed_.permille(200)) {
      const auto pieces = static_cast<SimLink::Pieces>(seed_.below(5));
      const auto latency = Duration(seed_.below(10'000'000));
      network.set_link({.latency_max = latency,
                        .bandwidth = seed_.between(100, 400) * 1000,
                        .pieces = pieces,
                        .piece_size = seed_.between(1, 100)},
                       route);
    }
  }

  SimKernel kernel_;
  testing::Seed seed_;
  unsigned cuts_;
  int rounds_ = 0;
  std::deque<SimGuard> guards_;
  std::vector<std::pair<Socket, Socket>> pairs_;
  std::vector<std::unique_ptr<StreamReader>> readers_;
  std::vector<std::unique_ptr<StreamWriter>> writers_;
};

constexpr std::uint64_t kSeeds = kSanitized ? 10 : 100;

TEST(SimStorm, StreamsSurviveStallsAndPartitionsWhole) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const auto result = Storm(seed, 0).run();
    ASSERT_EQ(result.complete, std::size_t{Storm::kStreams}) << "seed " << seed;
    ASSERT_EQ(result, Storm(seed, 0).run()) << "seed " << seed;
  }
}

TEST(SimStorm, ACutStreamIsBrokenAndNothingElse) {
  std::size_t broken = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const auto result = Storm(seed, 100).run();
    ASSERT_EQ(result.complete + result.broken, std::size_t{Storm::kStreams}) << "seed " << seed;
    ASSERT_TRUE(result.prefixes) << "seed " << seed;
    ASSERT_EQ(result, Storm(seed, 100).run()) << "seed " << seed;
    broken += result.broken;
  }
  EXPECT_GT(broken, kSeeds / 2);
}

// -- the library on it

class RoughLoop : public LoopFixture {
 protected:
  World world() const override { return World::sim; }
  SimNetwork& network() { return sim_kernel().network(); }
  ConnectOptions to(std::uint16_t port) {
    ConnectOptions options;
    options.host = "127.0.0.1";
    options.port = port;
    return options;
  }
  std::shared_ptr<Server> serve_echo() {
    const auto factory = [this] {
      auto protocol = std::make_shared<RecordingProtocol>();
      RecordingProtocol* raw = protocol.get();  // the hook belongs to it
      raw->on_data = [raw](BytesView data) { raw->write(data); };
      raw->keep_data = false;
      accepted_.push_back(protocol);
      return protocol;
    };
    ListenOptions options;
    options.hosts = {"127.0.0.1"};
    const auto server = create_server(loop(), factory, options);
    run_until([&] { return server.done(); });
    return server.result();
  }

  std::vector<std::shared_ptr<RecordingProtocol>> accepted_;
};

TEST_F(RoughLoop, AnEchoServerKeepsEveryByteOnEveryLink) {
  const auto server = serve_echo();
  const std::string text = pattern(30'000);
  const SimLink links[] = {
      {.latency_min = 1ms, .latency_max = 50ms},
      {.latency_max = 5ms, .pieces = SimLink::Pieces::single},
      {.latency_max = 5ms, .bandwidth = 1'000'000, .pieces = SimLink::Pieces::random},
  };
  for (const SimLink& link : links) {
    network().set_link(link);
    auto client = std::make_shared<RecordingProtocol>();
    client->on_made = [&client, &text] { client->write(text); };
    client->on_data = [&client, &text](BytesView) {
      if (client->bytes() == text.size()) client->close();
    };
    const auto connected = create_connection(
        loop(), [&client]() -> std::shared_ptr<Protocol> { return client; }, to(server->port()));
    run_until([&] { return client->lost(); });
    EXPECT_TRUE(connected.done());
    EXPECT_TRUE(client->data() == text);
    EXPECT_FALSE(client->error());
    EXPECT_TRUE(client->violations().empty());
  }
  run_until([&] { return server->connections() == 0; });
  for (const auto& each : accepted_) EXPECT_TRUE(each->violations().empty());
  accepted_.clear();
  server->close();
  tick(5);
}

TEST_F(RoughLoop, AConnectGivesUpAtItsTimeLimitDuringAPartition) {
  const auto server = serve_echo();
  const auto guard = network().partition();
  ConnectOptions options = to(server->port());
  options.timeout = 5s;
  const TimePoint start = loop().time();
  const auto connected = create_connection(
      loop(), []() -> std::shared_ptr<Protocol> { return std::make_shared<RecordingProtocol>(); },
      options);
  run_until([&] { return connected.done(); });
  EXPECT_EQ(loop().time() - start, 5s);
  EXPECT_THROW(static_cast<void>(connected.result()), std::exception);
  server->close();
  tick(5);
}

TEST_F(RoughLoop, AnEchoStopsDuringAPartitionAndGoesOnWhenItHeals) {
  const auto server = serve_echo();
  network().set_link({.latency_min = 10ms});
  auto client = std::make_shared<RecordingProtocol>();
  const auto connected = create_connection(
      loop(), [&client]() -> std::shared_ptr<Protocol> { return client; }, to(server->port()));
  run_until([&] { return connected.done(); });
  {
    const auto guard = network().partition();
    client->write(pattern(1000));
    run_for(1h);
    EXPECT_EQ(client->bytes(), 0u);
    EXPECT_FALSE(client->lost());
  }
  run_until([&] { return client->bytes() == 1000; });
  EXPECT_TRUE(client->data() == pattern(1000));
  EXPECT_EQ(network().cut(), 1u);
  run_until([&] { return client->lost() && server->connections() == 0; });
  EXPECT_EQ(client->error(), std::errc::connection_reset);
  accepted_.clear();
  server->close();
  tick(5);
}

}  // namespace
}  // namespace ferry::test
