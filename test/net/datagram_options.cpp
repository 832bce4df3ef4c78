// How datagram sockets come about, and of which kinds.

#include "datagram_fixture.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <stdexcept>

namespace ferry::test {
namespace {

using Strings = std::vector<std::string>;

class DatagramOptionsTest : public DatagramTest {
 protected:
  int option(const Endpoint& endpoint, int name) {
    int value = -1;
    EXPECT_TRUE(
        kernel().get_option(endpoint.transport->native_handle(), SOL_SOCKET, name, value).ok());
    return value;
  }
  void expect_misuse(DatagramOptions options) {
    EXPECT_THROW(static_cast<void>(create_datagram_endpoint(
                     loop(), [] { return std::make_shared<RecordingDatagrams>(); }, options)),
                 std::invalid_argument);
  }
};
INSTANTIATE_TEST_SUITE_P(Worlds, DatagramOptionsTest, ::testing::ValuesIn(kWorlds), world_name);

TEST_P(DatagramOptionsTest, C0457_LocalAndRemoteByName) {
  Endpoint server = open();
  Endpoint client = open({.local_host = "localhost",
                          .remote_host = "localhost",
                          .remote_port = server.transport->sockname().port(),
                          .family = AF_INET});
  EXPECT_EQ(client.transport->sockname().host(), "127.0.0.1");
  client.transport->sendto("x");
  run_until_received(server, 1);
  EXPECT_EQ(server.protocol->infos[0].peer, client.transport->sockname());
}

TEST_P(DatagramOptionsTest, C0458_AFamilyIsEnoughToSend) {
  Endpoint server = open();
  Endpoint client = open({.family = AF_INET});
  EXPECT_EQ(client.transport->sockname().port(), 0);
  EXPECT_TRUE(client.transport->peername().empty());
  client.transport->sendto("x", server.transport->sockname());
  run_until_received(server, 1);
  EXPECT_NE(client.transport->sockname().port(), 0);
  EXPECT_EQ(server.protocol->infos[0].peer.port(), client.transport->sockname().port());
}

TEST_P(DatagramOptionsTest, OptionsThatContradictEachOtherAreAMisuse) {
  expect_misuse({});
  expect_misuse({.local_host = "127.0.0.1", .local_path = "@x"});
  expect_misuse({.local_path = "@x", .family = AF_INET});
  expect_misuse({.local_host = "127.0.0.1", .family = AF_UNIX});
  expect_misuse({.family = 12345});
}

TEST_P(DatagramOptionsTest, FamiliesThatDoNotMeetAreAnError) {
  EXPECT_EQ(open_error({.local_host = "127.0.0.1", .remote_host = "::1", .remote_port = 9}),
            errc::no_address);
}

TEST_P(DatagramOptionsTest, APortThatIsTakenIsAnError) {
  Endpoint first = open();
  EXPECT_EQ(
      open_error({.local_host = "127.0.0.1", .local_port = first.transport->sockname().port()}),
      std::errc::address_in_use);
}

TEST_P(DatagramOptionsTest, C0460_ASocketAndAnythingElseIsAMisuse) {
  const IoResult r = kernel().socket(AF_INET, SOCK_DGRAM, 0);
  ASSERT_TRUE(r.ok());
  Socket socket(kernel(), r.fd());
  expect_misuse({.local_host = "127.0.0.1", .socket = r.fd()});
  expect_misuse({.remote_port = 9, .socket = r.fd()});
  expect_misuse({.local_path = "@x", .socket = r.fd()});
  expect_misuse({.family = AF_INET, .socket = r.fd()});
  expect_misuse({.protocol = IPPROTO_UDP, .socket = r.fd()});
  expect_misuse({.flags = 1, .socket = r.fd()});
  expect_misuse({.reuse_port = true, .socket = r.fd()});
  expect_misuse({.allow_broadcast = true, .socket = r.fd()});
  const IoResult stream = kernel().socket(AF_INET, SOCK_STREAM, 0);
  Socket other(kernel(), stream.fd());
  expect_misuse({.socket = stream.fd()});
  Address address;  // both are still the caller's
  EXPECT_TRUE(kernel().local_address(r.fd(), address).ok());
  EXPECT_TRUE(kernel().local_address(stream.fd(), address).ok());
}

TEST_P(DatagramOptionsTest, ASocketMadeElsewhereIsTaken) {
  Endpoint server = open();
  const IoResult r = kernel().socket(AF_INET, SOCK_DGRAM, 0);
  ASSERT_TRUE(kernel().connect(r.fd(), server.transport->sockname()).ok());
  Endpoint client = open({.socket = r.fd()});
  EXPECT_EQ(client.transport->peername(), server.transport->sockname());
  client.transport->sendto("x");
  run_until_received(server, 1);
}

TEST_P(DatagramOptionsTest, C0461_OptionsAreOffUnlessAskedFor) {
  Endpoint plain = open();
  Endpoint asked = open({.local_host = "127.0.0.1", .reuse_port = true, .allow_broadcast = true});
  EXPECT_EQ(option(plain, SO_REUSEPORT), 0);
  EXPECT_EQ(option(plain, SO_BROADCAST), 0);
  EXPECT_EQ(option(plain, SO_REUSEADDR), 0);
  EXPECT_EQ(option(asked, SO_REUSEPORT), 1);
  EXPECT_EQ(option(asked, SO_BROADCAST), 1);
  EXPECT_EQ(option(asked, SO_REUSEADDR), 0);
  Endpoint again = open({.local_host = "127.0.0.1",
                         .local_port = asked.transport->sockname().port(),
                         .reuse_port = true});
  EXPECT_EQ(again.transport->sockname(), asked.transport->sockname());
}

TEST_P(DatagramOptionsTest, C0462_WithBroadcastTheRemoteAddressDoesNotConnect) {
  Endpoint server = open();
  Endpoint stranger = open();
  Endpoint client = open({.local_host = "127.0.0.1",
                          .remote_host = "127.0.0.1",
                          .remote_port = server.transport->sockname().port(),
                          .allow_broadcast = true});
  client.transport->sendto("by default");
  EXPECT_THROW(client.transport->sendto("x", stranger.transport->sockname()),
               std::invalid_argument);
  stranger.transport->sendto("heard", client.transport->sockname());
  run_until_received(server, 1);
  run_until_received(client, 1);
}

TEST_P(DatagramOptionsTest, AFactoryThatThrowsFailsTheFutureAndLeavesNothing) {
  auto future = create_datagram_endpoint(
      loop(),
      []() -> std::shared_ptr<RecordingDatagrams> { throw std::runtime_error("no protocol"); },
      {.local_host = "127.0.0.1"});
  run_until([&] { return future.done(); });
  EXPECT_EQ(what(future.exception()), "no protocol");
}

// -- unix datagrams

TEST_P(DatagramOptionsTest, C0474_UnixSocketsSeeEachOthersNames) {
  const Address at = unused_unix_address();
  const Address from = unused_unix_address();
  Endpoint server = open({.local_path = at.path()});
  Endpoint client = open({.local_path = from.path(), .remote_path = at.path()});
  Endpoint unnamed = open_to(at);
  client.transport->sendto("signed");
  run_until_received(server, 1);
  unnamed.transport->sendto("");
  run_until_received(server, 2);
  EXPECT_EQ(server.protocol->data, (Strings{"signed", ""}));
  EXPECT_EQ(server.protocol->infos[0].peer, from);
  EXPECT_EQ(server.protocol->infos[1].peer.path(), "");
  server.transport->sendto("answer", from);
  run_until_received(client, 1);
  EXPECT_EQ(client.protocol->infos[0].peer, at);
}

TEST_P(DatagramOptionsTest, C0474_AUnixPairHasNoNames) {
  int pair[2] = {-1, -1};
  if (simulated()) {
    std::tie(pair[0], pair[1]) = sim_kernel().connected_pair(AF_UNIX, SOCK_DGRAM);
  } else {
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
  }
  Endpoint a = open({.socket = pair[0]});
  Endpoint b = open({.socket = pair[1]});
  a.transport->sendto("hello");
  run_until_received(b, 1);
  EXPECT_EQ(b.protocol->infos[0].peer.path(), "");
  b.transport->sendto("back");
  run_until_received(a, 1);
}

TEST_P(DatagramOptionsTest, LargeUnixDatagramsPass) {
  const Address at = unused_unix_address();
  Endpoint server = open({.local_path = at.path()});
  Endpoint client = open_to(at);
  const std::string large = pattern(200'000);
  for (std::size_t i = 1; i <= 3; ++i) {
    client.transport->sendto(large);
    run_until_received(server, i);
    EXPECT_TRUE(server.protocol->data.back() == large);
  }
}

TEST_P(DatagramOptionsTest, NobodyAtAUnixNameIsAnErrorOfTheSend) {
  Endpoint a = open({.local_path = unused_unix_address().path()});
  a.transport->sendto("x", unused_unix_address());
  ASSERT_EQ(a.protocol->errors.size(), 1u);
  EXPECT_EQ(a.protocol->errors[0], std::errc::connection_refused);
}

TEST_P(DatagramOptionsTest, AFullQueueOfAnotherUnixSocketDelaysAndLosesNothing) {
  // Linux queues ten datagrams for a unix socket; its sender is told EAGAIN, and nothing when that
  // is over if it is not connected.
  const Address at = unused_unix_address();
  Endpoint server = open({.local_path = at.path()});
  Endpoint connected = open_to(at);
  Endpoint loose = open({.family = AF_UNIX});
  server.transport->pause_reading();
  for (int i = 0; i < 100; ++i) {
    connected.transport->sendto("c" + std::to_string(i));
    loose.transport->sendto("l" + std::to_string(i), at);
  }
  server.transport->resume_reading();
  run_until_received(server, 200);
  int next[2] = {0, 0};
  for (const std::string& data : server.protocol->data) {
    int& expected = next[data[0] == 'c' ? 0 : 1];
    EXPECT_EQ(data.substr(1), std::to_string(expected++));
  }
}

TEST_P(DatagramOptionsTest, AStaleSocketFileIsReplacedAndGoneAtTheEnd) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("ferry-datagram-" + std::to_string(::getpid()));
  std::filesystem::create_directory(folder);
  const std::string path = folder / "socket";
  {
    const IoResult r = kernel().socket(AF_UNIX, SOCK_DGRAM, 0);
    Socket stale(kernel(), r.fd());
    ASSERT_TRUE(kernel().bind(r.fd(), Address::unix_path(path)).ok());
  }
  FileId file;
  EXPECT_TRUE(kernel().find_socket_file(Address::unix_path(path), file).ok());
  Endpoint server = open({.local_path = path});
  Endpoint client = open_to(Address::unix_path(path));
  client.transport->sendto("x");
  run_until_received(server, 1);
  server.transport->close();
  run_until([&] { return server.protocol->lost; });
  EXPECT_FALSE(kernel().find_socket_file(Address::unix_path(path), file).ok());
  EXPECT_FALSE(std::filesystem::exists(path));
  std::filesystem::remove_all(folder);
}

TEST_P(DatagramOptionsTest, DescriptorsSentAlongDoNotEnter) {
  if (simulated()) GTEST_SKIP() << "the simulation has none to send";
  const Address at = unused_unix_address();
  Endpoint server = open({.local_path = at.path()});
  Endpoint client = open_to(at);
  const std::size_t before = open_descriptors();
  char byte = 'x';
  iovec place{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &place;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  const int fd = STDIN_FILENO;
  std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  ASSERT_EQ(::sendmsg(client.transport->native_handle(), &message, 0), 1);
  run_until_received(server, 1);
  EXPECT_EQ(open_descriptors(), before);
}

}  // namespace
}  // namespace ferry::test
