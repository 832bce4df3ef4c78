#include "net_fixture.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace ferry::test {
namespace {

class UnixSockets : public NetTest {
 protected:
  RecordingFactory<> served_;
  RecordingFactory<> made_;

  static UnixListenOptions listening(const std::string& path) {
    UnixListenOptions options;
    options.path = path;
    return options;
  }
  static UnixConnectOptions connecting(const std::string& path) {
    UnixConnectOptions options;
    options.path = path;
    return options;
  }
  std::shared_ptr<Server> serve_unix(const std::string& path) {
    return wait(create_unix_server(loop(), served_.factory(), listening(path)));
  }
  Connection<> dial_unix(const std::string& path) {
    return wait(create_unix_connection(loop(), made_.factory(), connecting(path)));
  }
};

/// The same with a directory for socket files: there are none in the simulation.
class UnixSocketFiles : public UnixSockets {
 protected:
  void SetUp() override {
    UnixSockets::SetUp();
    std::string name = (std::filesystem::temp_directory_path() / "ferry-test-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  void TearDown() override {
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
    UnixSockets::TearDown();
  }
  std::string path(const char* name = "socket") const { return (directory_ / name).string(); }
  static bool is_socket(const std::string& path) {
    return std::filesystem::is_socket(std::filesystem::symlink_status(path));
  }

  std::filesystem::path directory_;
};

TEST_P(UnixSockets, C0478_HundredClientsAreEchoed) {
  const std::string path = unused_unix_address().path();
  const auto server = wait(create_unix_server(loop(), echo_factory(), listening(path)));
  made_.prepare = [](RecordingProtocol& protocol) {
    protocol.on_made = [&protocol] { protocol.write(pattern(10'000)); };
    protocol.on_data = [&protocol](BytesView) {
      if (protocol.bytes() == 10'000) protocol.close();
    };
  };
  for (int i = 0; i < 100; ++i) {
    static_cast<void>(create_unix_connection(loop(), made_.factory(), connecting(path)));
  }
  run_until([&] {
    if (made_.size() < 100) return false;
    for (const auto& protocol : made_.all()) {
      if (!protocol->lost()) return false;
    }
    return server->connections() == 0;
  });
  for (const auto& protocol : made_.all()) EXPECT_EQ(protocol->data(), pattern(10'000));
  EXPECT_EQ(made_.violations(), std::vector<std::string>());
}

TEST_P(UnixSockets, AddressesOfBothEndsAreKnown) {
  const std::string path = unused_unix_address().path();
  const auto server = serve_unix(path);
  EXPECT_EQ(server->sockets().at(0).path(), path);
  EXPECT_EQ(server->port(), 0);
  const Connection<> connection = dial_unix(path);
  EXPECT_EQ(connection.transport->peername().path(), path);
  run_until([&] { return served_.size() == 1 && served_.at(0).made(); });
  EXPECT_EQ(served_.at(0).transport()->sockname().path(), path);
  connection.transport->abort();
}

TEST_P(UnixSockets, C0481_MissingListenerIsAnErrorThatNamesThePath) {
  const Address nobody = unused_unix_address();
  const IoError error =
      failure(create_unix_connection(loop(), made_.factory(), connecting(nobody.path())));
  EXPECT_EQ(error.code(), std::errc::connection_refused) << "an abstract name";
  EXPECT_EQ(error.address(), nobody);
  EXPECT_EQ(made_.size(), 0u);
}

TEST_P(UnixSockets, ContradictingArgumentsThrowAtTheCall) {
  const auto [near, far] = stream_pair(kernel().inner(), AF_UNIX);
  const auto [tcp, tcp_far] = stream_pair(kernel().inner(), AF_INET);
  const std::pair<std::string, int> wrong_pairs[] = {
      {"", -1}, {"@name", near.get()}, {"", tcp.get()}};
  for (const auto& [path, socket] : wrong_pairs) {
    UnixConnectOptions connect;
    connect.path = path;
    connect.socket = socket;
    EXPECT_THROW(
        static_cast<void>(create_unix_connection(loop(), echo_factory(), std::move(connect))),
        std::invalid_argument);
    UnixListenOptions listen;
    listen.path = path;
    listen.socket = socket;
    EXPECT_THROW(static_cast<void>(create_unix_server(loop(), echo_factory(), std::move(listen))),
                 std::invalid_argument);
  }
  EXPECT_THROW(static_cast<void>(create_unix_connection(loop(), echo_factory(),
                                                        connecting(std::string(200, 'x')))),
               std::invalid_argument);
  EXPECT_TRUE(kernel().inner().send(near.get(), "still open").ok());
  EXPECT_TRUE(kernel().inner().send(tcp.get(), "still open").ok());
}

TEST_P(UnixSockets, C0485_CancelWithASocketClosesItOnce) {
  auto [near, far] = stream_pair(kernel().inner(), AF_UNIX);
  RawPeer peer(kernel().inner(), std::move(far));
  UnixConnectOptions options;
  options.socket = near.release();
  const int number = options.socket;
  const auto future = create_unix_connection(loop(), made_.factory(), std::move(options));
  future.cancel();
  auto [victim, victims_peer] = stream_pair(kernel().inner(), AF_UNIX);
  EXPECT_EQ(victim.get(), number);
  tick(10);
  run_until_eof(peer);
  EXPECT_TRUE(kernel().inner().send(victim.get(), "alive").ok());
  EXPECT_EQ(made_.size(), 0u);
}

TEST_P(UnixSockets, C0486_AllDataArrivesFromAPeerThatSendsAndIsGone) {
  const std::string path = unused_unix_address().path();
  const auto server = serve_unix(path);
  RawPeer peer = raw_dial(server->sockets()[0]);
  const std::string sent = pattern(20'000);
  ASSERT_EQ(peer.write(sent), sent.size());
  peer.close();
  run_until([&] { return served_.size() == 1 && served_.at(0).lost(); });
  EXPECT_EQ(served_.at(0).data(), sent);
  EXPECT_EQ(served_.at(0).summary(), "made data:20000 eof lost:ok");
}

TEST_P(UnixSockets, ConnectWaitsForRoomInTheBacklog) {
  RawListener listener(kernel().inner(), unused_unix_address(), 0);
  std::vector<RawPeer> fillers;
  for (;;) {
    RawPeer filler = RawPeer::connect(kernel().inner(), listener.address());
    if (!filler.connected()) break;
    fillers.push_back(std::move(filler));
    ASSERT_LT(fillers.size(), 100u) << "the backlog is never full";
  }
  const auto future =
      create_unix_connection(loop(), made_.factory(), connecting(listener.address().path()));
  run_for(30ms);
  ASSERT_FALSE(future.done());
  for (std::size_t i = 0; i < fillers.size(); ++i) ASSERT_TRUE(listener.accept());
  const Connection<> connection = wait(future);
  EXPECT_TRUE(made_.at(0).made());
  connection.transport->abort();
}

TEST_P(UnixSockets, ConnectToAFullBacklogTimesOut) {
  const RawListener listener(kernel().inner(), unused_unix_address(), 0);
  std::vector<RawPeer> fillers;
  for (;;) {
    RawPeer filler = RawPeer::connect(kernel().inner(), listener.address());
    if (!filler.connected()) break;
    fillers.push_back(std::move(filler));
    ASSERT_LT(fillers.size(), 100u) << "the backlog is never full";
  }
  const std::size_t sockets = open_sockets();
  UnixConnectOptions options = connecting(listener.address().path());
  options.timeout = 30ms;
  const auto error =
      failure<TimeoutError>(create_unix_connection(loop(), made_.factory(), std::move(options)));
  EXPECT_EQ(error.address(), listener.address());
  EXPECT_EQ(open_sockets(), sockets);
}

TEST_P(UnixSockets, C0484_AbstractNameWorksAndTouchesNoFile) {
  const std::string path = unused_unix_address().path();
  ASSERT_EQ(path.front(), '@');
  auto server = serve_unix(path);
  dial_unix(path).transport->abort();
  const IoError error = failure(create_unix_server(loop(), served_.factory(), listening(path)));
  EXPECT_EQ(error.code(), std::errc::address_in_use);
  server->close();
  server->abort_clients();
  wait(server->wait_closed());
  server = serve_unix(path);
}

TEST_P(UnixSockets, TypedFactoryGivesATypedConnection) {
  const std::string path = unused_unix_address().path();
  const auto server = serve_unix(path);
  const Connection<RecordingProtocol> connection = wait(create_unix_connection(
      loop(), [] { return std::make_shared<RecordingProtocol>(); }, connecting(path)));
  connection.protocol->close();
  run_until([&] { return connection.protocol->lost(); });
}

TEST_P(UnixSocketFiles, C0480_StaleSocketFileIsReplaced) {
  { const RawListener stale(kernel().inner(), Address::unix_path(path())); }
  ASSERT_TRUE(is_socket(path()));
  const auto server = serve_unix(path());
  dial_unix(path()).transport->abort();
}

TEST_P(UnixSocketFiles, C0480_OrdinaryFileIsKeptAndNamed) {
  std::ofstream(path()) << "precious";
  const std::size_t sockets = open_sockets();
  const IoError error = failure(create_unix_server(loop(), served_.factory(), listening(path())));
  EXPECT_EQ(error.code(), std::errc::address_in_use);
  EXPECT_NE(std::string(error.what()).find(path()), std::string::npos);
  std::string content;
  std::ifstream(path()) >> content;
  EXPECT_EQ(content, "precious");
  EXPECT_EQ(open_sockets(), sockets);
}

TEST_P(UnixSocketFiles, C0481_MissingPathIsNoEntry) {
  const IoError error =
      failure(create_unix_connection(loop(), made_.factory(), connecting(path("nothing"))));
  EXPECT_EQ(error.code(), std::errc::no_such_file_or_directory);
  EXPECT_NE(std::string(error.what()).find(path("nothing")), std::string::npos);
}

TEST_P(UnixSocketFiles, C0482_BindFailureClosesTheSocket) {
  const std::size_t sockets = open_sockets();
  const IoError error =
      failure(create_unix_server(loop(), served_.factory(), listening(path("missing/socket"))));
  EXPECT_EQ(error.code(), std::errc::no_such_file_or_directory);
  EXPECT_EQ(open_sockets(), sockets);
}

TEST_P(UnixSocketFiles, FileGoesAwayWithTheServer) {
  const auto server = serve_unix(path());
  ASSERT_TRUE(is_socket(path()));
  server->close();
  EXPECT_FALSE(is_socket(path()));
}

TEST_P(UnixSocketFiles, FileStaysIfItIsAskedTo) {
  UnixListenOptions options = listening(path());
  options.cleanup_socket = false;
  const auto server = wait(create_unix_server(loop(), served_.factory(), std::move(options)));
  server->close();
  EXPECT_TRUE(is_socket(path()));
}

TEST_P(UnixSocketFiles, FileOfASuccessorStays) {
  const auto first = serve_unix(path());
  const auto second = serve_unix(path());
  first->close();
  ASSERT_TRUE(is_socket(path()));
  dial_unix(path()).transport->abort();
  second->close();
  EXPECT_FALSE(is_socket(path()));
}

TEST_P(UnixSocketFiles, BoundSocketIsListenedOnAndItsFileRemoved) {
  const IoResult made = kernel().socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_TRUE(made.ok());
  ASSERT_TRUE(kernel().bind(made.fd(), Address::unix_path(path())).ok());
  UnixListenOptions options;
  options.socket = made.fd();
  const auto server = wait(create_unix_server(loop(), served_.factory(), std::move(options)));
  dial_unix(path()).transport->abort();
  server->close();
  EXPECT_FALSE(is_socket(path()));
}

INSTANTIATE_WORLDS(UnixSockets);
INSTANTIATE_TEST_SUITE_P(Worlds, UnixSocketFiles, ::testing::Values(World::asio), world_name);

}  // namespace
}  // namespace ferry::test
