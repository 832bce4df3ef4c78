// Running out of descriptors, and giving them all back.
#include "fault_fixture.h"

#include <ferry/testing/recording_protocol.h>

#include <gtest/gtest.h>

#include <fcntl.h>
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

namespace ferry::test {

using namespace std::chrono_literals;
using ferry::testing::RecordingFactory;

/// Lowers the limit of descriptors so that only `spare` more can be opened, while it lives.
class DescriptorLimit {
 public:
  explicit DescriptorLimit(int spare) {
    getrlimit(RLIMIT_NOFILE, &old_);
    // A descriptor is always the lowest free number, so fill the holes below the limit first.
    const Fd lowest(open("/dev/null", O_RDONLY | O_CLOEXEC));
    rlimit low = old_;
    low.rlim_cur = static_cast<rlim_t>(lowest.get() + spare);
    setrlimit(RLIMIT_NOFILE, &low);
  }
  DescriptorLimit(const DescriptorLimit&) = delete;
  DescriptorLimit& operator=(const DescriptorLimit&) = delete;
  ~DescriptorLimit() { setrlimit(RLIMIT_NOFILE, &old_); }

 private:
  rlimit old_{};
};

class Descriptors : public FaultTest {
 protected:
  /// Connects and waits until the connection is made, one echo is done and all is closed.
  void echo_once(std::uint16_t port);
};

TEST_F(Descriptors, OutOfDescriptorsAServerReportsRestsAndGoesOn) {
  constexpr std::size_t kClients = 12;
  constexpr std::size_t kSpare = 5;
  RecordingFactory<> made;
  auto server = serve(made.factory());
  // All the clients' descriptors exist before there are no more.
  std::vector<Fd> clients;
  for (std::size_t i = 0; i < kClients; ++i) {
    clients.emplace_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    ASSERT_TRUE(clients.back());
  }
  {
    const DescriptorLimit limit(kSpare);
    sockaddr_storage storage;
    const socklen_t length = Address::loopback(server->port()).to_sockaddr(storage);
    for (const Fd& client : clients) {
      const int result = connect(client.get(), reinterpret_cast<sockaddr*>(&storage), length);
      ASSERT_TRUE(result == 0 || errno == EINPROGRESS);
    }
    run_until([&] { return made.size() >= kSpare; });
    const Duration before = cpu_time();
    run_for(500ms);
    EXPECT_EQ(made.size(), kSpare);
    EXPECT_LT(cpu_time() - before, 250ms) << "a server out of descriptors must rest, not spin";
    const auto told = take_exceptions();
    ASSERT_GE(told.size(), 1u);
    EXPECT_LE(told.size(), 2u);
    EXPECT_EQ(told[0].error, std::errc::too_many_files_open) << told[0].to_string();
    // The connections it has are served all the while.
    made.at(0).write("served");
    char byte = 0;
    run_until([&] { return recv(clients[0].get(), &byte, 1, 0) == 1; });
    EXPECT_EQ(byte, 's');
    for (std::size_t i = 0; i < 3; ++i) made.at(i).close();
    // As many waiting ones get in, after the rest of a second.
    run_until([&] { return made.size() >= kSpare + 3; }, 20s);
    EXPECT_EQ(made.size(), kSpare + 3);
  }
  take_exceptions();
  run_until([&] { return made.size() == kClients; }, 20s);
  take_exceptions();
  clients.clear();
  run_until([&] { return server->connections() == 0; });
  EXPECT_EQ(made.violations(), std::vector<std::string>());
  server->close();
}

TEST_F(Descriptors, OutOfDescriptorsConnectFailsAndTheLoopLives) {
  auto server = serve([] { return std::make_shared<Echo>(); });
  ConnectOptions options;
  options.host = "127.0.0.1";
  options.port = server->port();
  {
    const DescriptorLimit limit(0);
    auto future = create_connection(
        loop(), [] { return std::make_shared<Protocol>(); }, options);
    run_until([&] { return future.done(); });
    try {
      future.result();
      FAIL() << "there was no descriptor";
    } catch (const IoError& e) {
      EXPECT_EQ(e.code(), std::errc::too_many_files_open);
    }
  }
  auto probe = recording();
  auto future = create_connection(
      loop(), [&] { return probe; }, options);
  run_until([&] { return future.done(); });
  probe->write("again");
  run_until([&] { return probe->bytes() == 5; });
  probe->close();
  run_until_lost(*probe);
  server->close();
}

void Descriptors::echo_once(std::uint16_t port) {
  auto client = std::make_shared<RecordingProtocol>();
  client->on_made = [&, c = client.get()] { c->write("hello"); };
  client->on_data = [&, c = client.get()](BytesView) { c->close(); };
  ConnectOptions options;
  options.host = "127.0.0.1";
  options.port = port;
  auto future = create_connection(
      loop(), [&] { return client; }, std::move(options));
  client->on_lost = [&](std::error_code) { loop().stop(); };
  loop().run_forever();
  ASSERT_TRUE(client->lost());
  EXPECT_EQ(client->data(), "hello");
}

TEST_F(Descriptors, C0641_AThousandConnectionsLeaveNothingBehind) {
  auto server = serve([] { return std::make_shared<Echo>(); });
  for (int i = 0; i < 100; ++i) echo_once(server->port());
  run_until([&] { return server->connections() == 0; });
  const std::size_t descriptors = open_descriptors();
  const std::size_t memory = mallinfo2().uordblks;
  const LoopStats stats = loop().stats();
  for (int i = 0; i < 1000; ++i) echo_once(server->port());
  run_until([&] { return server->connections() == 0; });
  EXPECT_EQ(open_descriptors(), descriptors);
  // Less than 100 bytes a connection (under AddressSanitizer the leak checker looks instead).
  EXPECT_LT(mallinfo2().uordblks, memory + 100'000);
  EXPECT_EQ(loop().stats().transports, stats.transports);
  EXPECT_EQ(loop().stats().timers, stats.timers);
  EXPECT_EQ(loop().stats().futures, stats.futures);
  EXPECT_EQ(loop().stats().operations, stats.operations);
  server->close();
}

/// A request is a line; the answer comes a little later and the connection stays.
class KeepAlive final : public Protocol {
 public:
  explicit KeepAlive(EventLoop& loop) : timer_(loop, [this] { answer(); }) {}
  void connection_made(std::shared_ptr<Transport> transport) override {
    transport_ = std::move(transport);
  }
  void data_received(BytesView data) override {
    if (data.text().ends_with('\n')) timer_.set(3ms);
  }
  void connection_lost(std::error_code) override { timer_.cancel(); }

  static constexpr std::size_t kAnswer = 200'000;

 private:
  void answer() { transport_->write(pattern(kAnswer)); }

  std::shared_ptr<Transport> transport_;
  Timer timer_;
};

TEST_F(Descriptors, C0642_AServerWithRequestsUnderWayShutsDownGracefully) {
  auto server = serve([this] { return std::make_shared<KeepAlive>(loop()); });
  std::vector<std::shared_ptr<RecordingProtocol>> clients;
  std::size_t answers = 0;
  for (int i = 0; i < 20; ++i) {
    clients.push_back(recording());
    RecordingProtocol& client = *clients.back();
    client.on_data = [&client, &answers](BytesView) {
      if (client.bytes() % KeepAlive::kAnswer != 0) return;
      ++answers;
      client.write("GET / HTTP/1.1\n");
    };
    client.on_made = [&client] { client.write("GET / HTTP/1.1\n"); };
    ConnectOptions options;
    options.host = "127.0.0.1";
    options.port = server->port();
    auto future = create_connection(
        loop(), [protocol = clients.back()] { return protocol; }, std::move(options));
    run_until([&] { return future.done(); });
  }
  run_until([&] {
    return answers >= 100 && std::all_of(clients.begin(), clients.end(),
                                         [](const auto& client) { return client->bytes() > 0; });
  });
  server->close();
  server->close_clients();
  auto closed = server->wait_closed();
  EXPECT_FALSE(closed.done());
  run_until([&] { return closed.done(); }, 60s);
  EXPECT_EQ(server->connections(), 0u);
  for (const auto& client : clients) run_until_lost(*client);
  for (const auto& client : clients) {
    // What had been answered was flushed: whole answers only.
    EXPECT_EQ(client->bytes() % KeepAlive::kAnswer, 0u);
    EXPECT_GT(client->bytes(), 0u);
  }
}

}  // namespace ferry::test
