#include "wrap_fixture.h"

#include <ferry/connection_limit.h>

#include <stdexcept>
#include <vector>

namespace ferry::test {
namespace {

class ConnectionLimitTest : public WrapTest {
 protected:
  RecordingFactory<> served_;

  std::shared_ptr<Server> serve_limited(std::shared_ptr<ConnectionLimit> limit,
                                        ProtocolFactory factory) {
    ListenOptions options = on_loopback();
    options.gate = std::move(limit);
    return serve(std::move(factory), std::move(options));
  }
  RawPeer dial_from(const char* host, const Address& address) {
    const IoResult made = kernel().inner().socket(AF_INET, SOCK_STREAM, 0);
    Socket socket(kernel().inner(), made.fd());
    EXPECT_TRUE(kernel().inner().bind(socket.get(), *Address::ip(host, 0)).ok());
    kernel().inner().connect(socket.get(), address);
    return {kernel().inner(), std::move(socket)};
  }
};
INSTANTIATE_WORLDS(ConnectionLimitTest);

TEST_P(ConnectionLimitTest, OneTooManyIsClosedBeforeAProtocolIsMade) {
  const auto limit = std::make_shared<ConnectionLimit>(ConnectionLimits{.total = 2});
  const auto server = serve_limited(limit, served_.factory());
  RawPeer one = raw_dial(server->sockets()[0]);
  RawPeer two = raw_dial(server->sockets()[0]);
  RawPeer three = raw_dial(server->sockets()[0]);
  run_until_eof(three);
  EXPECT_EQ(three.received(), "");
  EXPECT_EQ(served_.size(), 2u);
  EXPECT_EQ(server->connections(), 2u);
  EXPECT_EQ(limit->connections(), 2u);
  EXPECT_EQ(limit->refused(), 1u);

  one.close();
  run_until([&] { return limit->connections() == 1; });
  EXPECT_TRUE(served_.at(0).lost());
  RawPeer four = raw_dial(server->sockets()[0]);
  run_until([&] { return served_.size() == 3; });
  EXPECT_EQ(limit->connections(), 2u);
  server->abort_clients();
  server->close();
  run_until([&] { return limit->connections() == 0; });
  EXPECT_EQ(limit->connections_from(Address::loopback(1)), 0u);
}

TEST_P(ConnectionLimitTest, TheRefusedMayBeToldWhy) {
  const auto limit = std::make_shared<ConnectionLimit>(
      ConnectionLimits{.total = 1, .refusal = "ERR too many connections\r\n"});
  const auto server = serve_limited(limit, served_.factory());
  RawPeer one = raw_dial(server->sockets()[0]);
  RawPeer two = RawPeer::connect(kernel().inner(), server->sockets()[0]);
  two.write("a request that nobody reads");
  run_until_eof(two);
  EXPECT_EQ(two.received(), "ERR too many connections\r\n");
  EXPECT_FALSE(two.error());
  server->abort_clients();
  server->close();
  run_until([&] { return server->connections() == 0; });
}

TEST_P(ConnectionLimitTest, EachAddressHasItsOwn) {
  const auto limit = std::make_shared<ConnectionLimit>(ConnectionLimits{.per_peer = 1});
  const auto server = serve_limited(limit, served_.factory());
  RawPeer one = dial_from("127.0.0.1", server->sockets()[0]);
  RawPeer two = dial_from("127.0.0.2", server->sockets()[0]);
  run_until([&] { return served_.size() == 2; });
  RawPeer three = dial_from("127.0.0.2", server->sockets()[0]);
  run_until_eof(three);
  EXPECT_EQ(limit->connections_from(*Address::ip("127.0.0.2", 0)), 1u);
  EXPECT_EQ(limit->connections(), 2u);
  EXPECT_EQ(limit->refused(), 1u);
  server->abort_clients();
  server->close();
  run_until([&] { return limit->connections() == 0; });
}

TEST_P(ConnectionLimitTest, TheCountIsExactHoweverAConnectionFails) {
  const auto limit = std::make_shared<ConnectionLimit>(ConnectionLimits{.total = 1});
  int turn = 0;
  ListenOptions options = on_loopback();
  options.gate = limit;
  options.wrap = [&](std::shared_ptr<Protocol> protocol) {
    if (turn == 2) throw std::runtime_error("no wrap");
    return protocol;
  };
  served_.prepare = [&](RecordingProtocol& protocol) {
    if (turn == 3) protocol.on_made = [] { throw std::runtime_error("not made"); };
    if (turn == 4) protocol.on_lost = [](std::error_code) { throw std::runtime_error("not lost"); };
  };
  const auto server = serve(
      [&, make = served_.factory()]() mutable -> std::shared_ptr<Protocol> {
        ++turn;
        if (turn == 1) throw std::runtime_error("no protocol");
        return make();
      },
      options);
  for (int i = 1; i <= 4; ++i) {
    RawPeer peer = raw_dial(server->sockets()[0]);
    if (i == 4) peer.shutdown_write();
    run_until_eof(peer);
    run_until([&] { return limit->connections() == 0; });
    EXPECT_EQ(turn, i);
  }
  EXPECT_EQ(limit->refused(), 0u);
  EXPECT_EQ(take_exceptions().size(), 2u);
  server->close();
}

TEST_P(ConnectionLimitTest, ServersMayShareOneAndClosingTheLoopReleasesAll) {
  const auto limit = std::make_shared<ConnectionLimit>(ConnectionLimits{.total = 2});
  auto one = serve_limited(limit, served_.factory());
  auto two = serve_limited(limit, served_.factory());
  RawPeer a = raw_dial(one->sockets()[0]);
  RawPeer b = raw_dial(two->sockets()[0]);
  RawPeer c = raw_dial(one->sockets()[0]);
  run_until_eof(c);
  EXPECT_EQ(limit->connections(), 2u);
  for (RawPeer* peer : {&a, &b, &c}) peer->close();
  one.reset();
  two.reset();
  close_loop();
  EXPECT_EQ(limit->connections(), 0u);
}

TEST_P(ConnectionLimitTest, AGateThatThrowsRefuses) {
  class Broken final : public ConnectionGate {
    Admission admit(const Address&) override { throw std::runtime_error("broken"); }
  };
  ListenOptions options = on_loopback();
  options.gate = std::make_shared<Broken>();
  const auto server = serve(served_.factory(), options);
  RawPeer peer = raw_dial(server->sockets()[0]);
  run_until_eof(peer);
  EXPECT_EQ(served_.size(), 0u);
  server->close();
}

TEST_P(ConnectionLimitTest, UnixPeersCountAsOne) {
  const auto limit = std::make_shared<ConnectionLimit>(ConnectionLimits{.per_peer = 1});
  UnixListenOptions options;
  options.path = unused_unix_address().path();
  options.gate = limit;
  const auto server = wait(create_unix_server(loop(), served_.factory(), options));
  RawPeer one = raw_dial(server->sockets()[0]);
  RawPeer two = raw_dial(server->sockets()[0]);
  run_until_eof(two);
  EXPECT_EQ(limit->connections_from(Address::unix_path("")), 1u);
  EXPECT_EQ(served_.size(), 1u);
  server->abort_clients();
  server->close();
  run_until([&] { return limit->connections() == 0; });
}

TEST(ConnectionLimits, Ipv6PeersAreNetworks) {
  const auto peer = [](const char* host) { return *Address::ip(host, 7); };
  ConnectionLimit limit({.per_peer = 1});
  const Admission first = limit.admit(peer("2001:db8:1:2::1"));
  EXPECT_TRUE(first.admitted);
  EXPECT_FALSE(limit.admit(peer("2001:db8:1:2:ffff::2")).admitted);
  EXPECT_TRUE(limit.admit(peer("2001:db8:1:3::1")).admitted);  // and gone at once
  EXPECT_EQ(limit.connections(), 1u);

  ConnectionLimit exact({.per_peer = 1, .ipv6_prefix = 128});
  const Admission one = exact.admit(peer("2001:db8::1"));
  EXPECT_TRUE(exact.admit(peer("2001:db8::2")).admitted);
  EXPECT_FALSE(exact.admit(peer("2001:db8::1")).admitted);

  ConnectionLimit odd({.per_peer = 1, .ipv6_prefix = 12});
  const Admission low = odd.admit(peer("2001::"));
  EXPECT_FALSE(odd.admit(peer("200f:ffff::")).admitted);
  EXPECT_TRUE(odd.admit(peer("2010::")).admitted);
  EXPECT_THROW(ConnectionLimit({.ipv6_prefix = 129}), std::invalid_argument);
}

TEST(ConnectionLimits, AnIpv4PeerIsTheSameInItsIpv6Form) {
  ConnectionLimit limit({.per_peer = 1});
  const Admission first = limit.admit(*Address::ip("192.0.2.7", 1));
  EXPECT_FALSE(limit.admit(*Address::ip("::ffff:192.0.2.7", 2)).admitted);
  EXPECT_TRUE(limit.admit(*Address::ip("::ffff:192.0.2.8", 2)).admitted);
}

TEST(ConnectionLimits, ATicketOutlivesItsLimit) {
  auto limit = std::make_unique<ConnectionLimit>(ConnectionLimits{.total = 1});
  Admission admission = limit->admit(Address::loopback(1));
  limit.reset();
  admission.ticket.reset();
}

}  // namespace
}  // namespace ferry::test
