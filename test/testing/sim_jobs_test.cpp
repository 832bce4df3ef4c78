// Executors and name resolution without threads.

#include "network_suite.h"

#include <ferry/connect.h>
#include <ferry/resolver.h>
#include <ferry/server.h>
#include <ferry/testing/explore.h>
#include <ferry/testing/fault_kernel.h>
#include <ferry/testing/recording_protocol.h>

#include <gtest/gtest.h>
#include <netdb.h>

#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace ferry::test {
namespace {

using testing::FaultKernel;
using testing::RecordingProtocol;
using testing::SimChooser;

/// What ResolveError says.
std::string error_text(std::string_view subject, int code) {
  std::string text = "resolve ";
  return text.append(subject).append(": ").append(resolver_category().message(code));
}

/// A loop whose kernel ends its run when nothing is left to happen.
class SimJobs : public ::testing::Test {
 protected:
  explicit SimJobs(SimOptions options = {.job_time_min = 10ms, .job_time_max = 30ms}) {
    auto kernel = std::make_unique<SimKernel>(options);
    sim_ = kernel.get();
    auto faults = std::make_unique<FaultKernel>(std::move(kernel));
    faults_ = faults.get();
    loop_ = std::make_unique<EventLoop>(std::move(faults));
    sim_->set_stuck([] { return false; });
  }

  EventLoop& loop() { return *loop_; }
  SimKernel& sim() { return *sim_; }
  /// Until nothing goes on any more; how long it took.
  Duration run() {
    const TimePoint start = loop().time();
    loop().run_forever();
    return loop().time() - start;
  }
  /// "127.0.0.1:80 [::1]:80", or the error.
  std::string resolve(const ResolveQuery& query) {
    const auto found = loop().getaddrinfo(query);
    run();
    return text_of(found);
  }
  static std::string text_of(const Future<std::vector<Address>>& found) {
    if (!found.done()) return "not done";
    std::string text;
    try {
      for (const Address& address : found.result()) {
        if (!text.empty()) text += ' ';
        text += address.to_string();
      }
    } catch (const ResolveError& error) {
      return error.what();
    }
    return text;
  }

  std::unique_ptr<EventLoop> loop_;
  SimKernel* sim_ = nullptr;
  FaultKernel* faults_ = nullptr;
};

TEST_F(SimJobs, RunInTheLoopsThreadBetweenItsEventsAtATimeOfTheirOwn) {
  bool in_callback = false;
  std::vector<Duration> times;
  std::vector<Future<int>> results;
  const TimePoint start = loop().time();
  loop().call_soon([&] {
    in_callback = true;
    for (int i = 0; i < 20; ++i) {
      results.push_back(loop().run_in_executor(nullptr, [&, i, here = std::this_thread::get_id()] {
        EXPECT_FALSE(in_callback);
        EXPECT_EQ(std::this_thread::get_id(), here);
        times.push_back(loop().time() - start);
        return i;
      }));
    }
    EXPECT_TRUE(times.empty());
    in_callback = false;
  });
  run();
  ASSERT_EQ(times.size(), 20u);
  EXPECT_TRUE(std::is_sorted(times.begin(), times.end()));
  EXPECT_GE(times.front(), 10ms);
  EXPECT_LE(times.back(), 30ms);
  EXPECT_GT(std::set<Duration>(times.begin(), times.end()).size(), 15u);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(results[static_cast<std::size_t>(i)].result(), i);
  EXPECT_EQ(loop().stats().jobs, 0u);
}

TEST_F(SimJobs, AnExceptionOfAJobIsItsOutcome) {
  const Future<int> future =
      loop().run_in_executor(nullptr, []() -> int { throw std::runtime_error("no result"); });
  run();
  EXPECT_THROW(static_cast<void>(future.result()), std::runtime_error);
}

TEST_F(SimJobs, OneThatIsCancelledBeforeItsTimeNeverRuns) {
  bool ran = false;
  const Future<void> future = loop().run_in_executor(nullptr, [&] { ran = true; });
  loop().call_later(5ms, [&] { future.cancel(); });
  run();
  EXPECT_FALSE(ran);
  EXPECT_TRUE(future.cancelled());
}

TEST_F(SimJobs, AreDroppedWhenTheLoopCloses) {
  auto held = std::make_shared<int>(0);
  const Future<void> future = loop().run_in_executor(nullptr, [held] { ++*held; });
  loop().close();
  EXPECT_EQ(held.use_count(), 1);
  loop_.reset();
  EXPECT_EQ(*held, 0);
  EXPECT_FALSE(future.done());
}

TEST_F(SimJobs, ShuttingTheExecutorDownWaitsForTheLastOfThem) {
  Duration last{};
  const TimePoint start = loop().time();
  std::vector<Future<void>> jobs;
  for (int i = 0; i < 5; ++i) {
    jobs.push_back(loop().run_in_executor(nullptr, [&] { last = loop().time() - start; }));
  }
  Duration down{};
  const Future<void> done = loop().shutdown_default_executor();
  done.add_done_callback([&] { down = loop().time() - start; });
  EXPECT_THROW(static_cast<void>(loop().run_in_executor(nullptr, [] {})), std::logic_error);
  run();
  EXPECT_NO_THROW(done.result());
  EXPECT_GE(last, 10ms);
  EXPECT_GE(down, last);
  EXPECT_LE(down, 30ms);
}

class LongSimJobs : public SimJobs {
 protected:
  LongSimJobs() : SimJobs({.job_time_min = 1h}) {}
};

TEST_F(LongSimJobs, AreLeftBehindAtTheLimitOfTheShutdown) {
  std::vector<std::string> log;
  loop().set_log_sink([&](LogLevel, std::string_view line) { log.emplace_back(line); });
  bool ran = false;
  const Future<void> job = loop().run_in_executor(nullptr, [&] { ran = true; });
  Duration down{};
  const TimePoint start = loop().time();
  const Future<void> done = loop().shutdown_default_executor(1min);
  done.add_done_callback([&] { down = loop().time() - start; });
  run();
  EXPECT_TRUE(done.done());
  EXPECT_EQ(down, 1min);
  EXPECT_FALSE(ran);
  EXPECT_TRUE(job.cancelled()) << "the executor dropped it";
  EXPECT_EQ(log.size(), 1u);
}

/// A program with jobs, look-ups and timers; what came when, and the kernel's log.
std::pair<std::string, std::uint64_t> busy(SimOptions options) {
  options.job_time_max = 5ms;
  auto kernel = std::make_unique<SimKernel>(options);
  SimKernel& sim = *kernel;
  sim.set_stuck([] { return false; });
  sim.add_host("far.example", {*Address::ip("192.0.2.1", 0)}, 3ms);
  EventLoop loop(std::move(kernel));
  std::string text;
  for (int i = 0; i < 5; ++i) {
    loop.call_later(std::chrono::milliseconds(i),
                    [&, i] { text.append(1, 't').append(std::to_string(i)).append(1, ' '); });
    loop.run_in_executor(nullptr, [] {}).add_done_callback([&, i] {
      text.append(1, 'j').append(std::to_string(i)).append(1, ' ');
    });
    loop.getaddrinfo({.host = i % 2 ? "far.example" : "localhost"}).add_done_callback([&, i] {
      text.append(1, 'n').append(std::to_string(i)).append(1, ' ');
    });
  }
  loop.run_forever();
  return {text, sim.log_hash()};
}

TEST(SimJobsDeterminism, TheSameSeedGivesTheSameRunAndAnotherSeedAnother) {
  std::set<std::string> orders;
  std::set<std::uint64_t> hashes;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const auto once = busy({.seed = seed, .permute_schedule = seed % 2 == 1});
    EXPECT_EQ(once, busy({.seed = seed, .permute_schedule = seed % 2 == 1})) << "seed " << seed;
    EXPECT_EQ(once.first.size(), 15u * 3);
    orders.insert(once.first);
    hashes.insert(once.second);
  }
  EXPECT_GT(orders.size(), 45u);
  EXPECT_EQ(hashes.size(), 50u);
}

TEST(SimJobsExplore, TheOutcomeOfAJobComesBeforeOrAfterATimerOfTheSameTime) {
  std::map<std::string, int> seen;
  const auto result = testing::explore([&](SimChooser& chooser) {
    auto kernel = std::make_unique<SimKernel>(
        SimOptions{.chooser = &chooser, .most_looks = 0, .job_time_min = 5ms});
    kernel->set_stuck([] { return false; });
    EventLoop loop(std::move(kernel));
    std::string text;
    loop.call_later(5ms, [&] { text += "timer "; });
    loop.run_in_executor(nullptr, [] {}).add_done_callback([&] { text += "job "; });
    loop.run_forever();
    ++seen[text];
  });
  EXPECT_TRUE(result.complete);
  EXPECT_EQ(seen, (std::map<std::string, int>{{"job timer ", 1}, {"timer job ", 1}}));
}

// -- names

TEST_F(SimJobs, NamesAreThoseThatWereAdded) {
  sim().add_host("Server.example", {*Address::ip("192.0.2.1", 7), *Address::ip("2001:db8::1", 0)});
  EXPECT_EQ(resolve({.host = "server.example", .service = "80"}), "192.0.2.1:80 [2001:db8::1]:80");
  EXPECT_EQ(resolve({.host = "SERVER.EXAMPLE", .service = "https", .family = AF_INET6}),
            "[2001:db8::1]:443");
  EXPECT_EQ(resolve({.host = "other.example", .service = "80"}),
            error_text("other.example:80", EAI_NONAME));
  EXPECT_EQ(resolve({.host = "localhost", .service = "1"}), "[::1]:1 127.0.0.1:1");
  EXPECT_EQ(resolve({.host = "localhost", .flags = AI_NUMERICHOST}),
            error_text("localhost", EAI_NONAME));
  EXPECT_EQ(resolve({.host = "localhost", .service = "nonsense"}),
            error_text("localhost:nonsense", EAI_SERVICE));
  EXPECT_EQ(resolve({.service = "80"}), "[::1]:80 127.0.0.1:80");
  EXPECT_EQ(resolve({.service = "80", .family = AF_INET, .flags = AI_PASSIVE}), "0.0.0.0:80");
  EXPECT_EQ(resolve({.host = "127.0.0.1", .service = "http"}), "127.0.0.1:80");
  sim().add_host("server.example", {*Address::ip("192.0.2.1", 0)});
  EXPECT_EQ(resolve({.host = "server.example", .family = AF_INET6}),
            error_text("server.example", EAI_NODATA));
}

TEST_F(SimJobs, AddressesHaveNamesToo) {
  sim().add_host("server.example", {*Address::ip("192.0.2.1", 0)});
  const auto name = [&](const char* address, int flags = 0) {
    const auto found = loop().getnameinfo(*Address::ip(address, 80), flags);
    run();
    const NameInfo info = found.result();
    return info.host + " " + info.service;
  };
  EXPECT_EQ(name("192.0.2.1"), "server.example http");
  EXPECT_EQ(name("192.0.2.1", NI_NUMERICSERV), "server.example 80");
  EXPECT_EQ(name("192.0.2.1", NI_NUMERICHOST), "192.0.2.1 http");
  EXPECT_EQ(name("192.0.2.2"), "192.0.2.2 http");
  EXPECT_THROW(name("192.0.2.2", NI_NAMEREQD), ResolveError);
}

TEST_F(SimJobs, ALookUpTakesTheTimeOfAJobAndOfItsHost) {
  sim().add_host("far.example", {*Address::ip("192.0.2.1", 0)}, 2s);
  const auto found = loop().getaddrinfo({.host = "far.example"});
  const Duration took = run();
  EXPECT_TRUE(found.done());
  EXPECT_GE(took, 2s + 10ms);
  EXPECT_LE(took, 2s + 30ms);
}

TEST_F(SimJobs, ALookUpFailsByARule) {
  sim().add_host("server.example", {*Address::ip("192.0.2.1", 0)});
  std::vector<std::string> heard;
  faults_->set_observer([&](std::string_view call, int, const IoResult& result) {
    heard.push_back(std::string(call) + " " + std::to_string(result.error));
  });
  {
    const auto guard = faults_->inject({.call = "getaddrinfo", .error = EAI_AGAIN, .times = 1});
    EXPECT_EQ(resolve({.host = "server.example"}), error_text("server.example", EAI_AGAIN));
    EXPECT_EQ(resolve({.host = "server.example"}), "192.0.2.1:0");
  }
  EXPECT_EQ(heard,
            (std::vector<std::string>{std::string("getaddrinfo ").append(std::to_string(EAI_AGAIN)),
                                      "getaddrinfo 0"}));
  ASSERT_EQ(faults_->injected().size(), 1u);
  EXPECT_EQ(faults_->injected()[0].to_string(),
            std::string("getaddrinfo #0 on -1: ").append(resolver_category().message(EAI_AGAIN)));
  for (const int error : FaultKernel::errors_of("getnameinfo")) {
    const auto guard = faults_->inject({.call = "getnameinfo", .error = error});
    const auto name = loop().getnameinfo(*Address::ip("192.0.2.1", 80), 0);
    run();
    EXPECT_THROW(static_cast<void>(name.result()), ResolveError);
  }
}

TEST_F(SimJobs, AConnectionTriesTheAddressesOfAName) {
  ListenOptions listening;
  listening.hosts = {"127.0.0.1"};
  std::vector<std::shared_ptr<RecordingProtocol>> accepted;
  const auto made = create_server(
      loop(),
      [&]() -> std::shared_ptr<Protocol> {
        return accepted.emplace_back(std::make_shared<RecordingProtocol>());
      },
      listening);
  run();
  const std::shared_ptr<Server> server = made.result();
  sim().add_host("server.example", {*Address::ip("::1", 0), *Address::ip("127.0.0.1", 0)}, 1s);
  ConnectOptions options;
  options.host = "server.example";
  options.port = server->port();
  auto client = std::make_shared<RecordingProtocol>();
  const TimePoint start = loop().time();
  Duration took{};
  const auto connected = create_connection(
      loop(), [&]() -> std::shared_ptr<Protocol> { return client; }, options);
  connected.add_done_callback([&] { took = loop().time() - start; });
  run();
  ASSERT_TRUE(connected.done());
  EXPECT_TRUE(client->made());
  EXPECT_GE(took, 1s);
  EXPECT_LT(took, 2s) << "the first address refused at once";
  EXPECT_EQ(accepted.size(), 1u);
  options.host = "nowhere.example";
  const auto refused = create_connection(
      loop(), []() -> std::shared_ptr<Protocol> { return std::make_shared<RecordingProtocol>(); },
      options);
  run();
  EXPECT_THROW(static_cast<void>(refused.result()), ResolveError);
  server->close();
}

}  // namespace
}  // namespace ferry::test
