#include "net_fixture.h"

#include <netdb.h>
#include <netinet/in.h>

namespace ferry::test {
namespace {

class Listen : public NetTest {
 protected:
  RecordingFactory<> made_;
};

TEST_P(Listen, C0369_PortZeroIsAnyFreePortOnePerSocket) {
  ListenOptions options;
  options.hosts = {"127.0.0.1", "127.0.0.2"};
  const auto server = serve(echo_factory(), options);
  ASSERT_EQ(server->sockets().size(), 2u);
  EXPECT_EQ(server->native_handles().size(), 2u);
  for (const Address& address : server->sockets()) {
    EXPECT_NE(address.port(), 0);
    raw_dial(address);
  }
  EXPECT_EQ(server->port(), server->sockets()[0].port());
}

TEST_P(Listen, C0370_NoHostIsAllInterfacesOfBothFamilies) {
  ListenOptions options;
  options.port = free_port();
  const auto server = serve(made_.factory(), options);
  const bool six = has_ipv6(kernel().inner());
  EXPECT_GE(server->sockets().size(), six ? 2u : 1u);
  raw_dial(Address::loopback(options.port));
  run_until([&] { return made_.size() == 1; });
  if (!six) return;
  raw_dial(*Address::ip("::1", options.port));
  run_until([&] { return made_.size() == 2; });
}

TEST_P(Listen, FamilyLimitsAllInterfacesToOne) {
  ListenOptions options;
  options.family = AF_INET;
  const auto server = serve(echo_factory(), options);
  ASSERT_EQ(server->sockets().size(), 1u);
  EXPECT_EQ(server->sockets()[0].host(), "0.0.0.0");
}

TEST_P(Listen, C0372_EmptyHostAsksTheResolverForAPassiveAddress) {
  const auto resolver = std::make_shared<ScriptedResolver>();
  resolver->names[""] = {Address::loopback(0)};
  loop().set_resolver(resolver);
  for (const auto& hosts : {std::vector<std::string>{}, std::vector<std::string>{""}}) {
    ListenOptions options;
    options.hosts = hosts;
    const auto server = serve(echo_factory(), options);
    EXPECT_EQ(server->sockets().size(), 1u);
  }
  ASSERT_EQ(resolver->asked.size(), 2u);
  for (const ResolveQuery& query : resolver->asked) {
    EXPECT_EQ(query.host, "");
    EXPECT_EQ(query.flags & AI_PASSIVE, AI_PASSIVE);
    EXPECT_EQ(query.type, SOCK_STREAM);
  }
}

TEST_P(Listen, C0373_AddressInUseFailsAndLeavesNothingOpen) {
  const RawListener other(kernel().inner());
  ListenOptions options;
  options.hosts = {"127.0.0.2", "127.0.0.1"};
  options.port = other.address().port();
  const std::size_t sockets = open_sockets();
  const IoError error = failure(create_server(loop(), echo_factory(), options));
  EXPECT_EQ(error.code(), std::errc::address_in_use);
  EXPECT_EQ(error.address(), other.address());
  EXPECT_NE(std::string(error.what()).find(other.address().to_string()), std::string::npos);
  EXPECT_EQ(open_sockets(), sockets);
  EXPECT_EQ(loop().stats().servers, 0u);
}

TEST_P(Listen, PortOfAServerThatWasClosedCanBeTakenAtOnce) {
  ListenOptions options = on_loopback();
  options.port = free_port();
  auto server = serve(echo_factory(), options);
  // Leaves a connection in TIME_WAIT on the server's side.
  RawPeer peer = raw_dial(server->sockets()[0]);
  run_until([&] { return server->connections() == 1; });
  server->close_clients();
  run_until_eof(peer);
  peer.close();
  server->close();
  wait(server->wait_closed());
  server = serve(echo_factory(), options);
  EXPECT_EQ(server->port(), options.port);
}

TEST_P(Listen, C0374_AddressThatIsNotOursIsSkipped) {
  ListenOptions options;
  options.hosts = {"127.0.0.1", "192.0.2.1"};
  const auto server = serve(echo_factory(), options);
  ASSERT_EQ(server->sockets().size(), 1u);
  EXPECT_EQ(server->sockets()[0].host(), "127.0.0.1");

  options.hosts = {"192.0.2.1"};
  const IoError error = failure(create_server(loop(), echo_factory(), options));
  EXPECT_EQ(error.code(), std::errc::address_not_available);
  EXPECT_EQ(error.address().host(), "192.0.2.1");
}

TEST_P(Listen, AddressesFoundTwiceAreBoundOnce) {
  const auto resolver = std::make_shared<ScriptedResolver>();
  const std::uint16_t port = free_port();
  resolver->names["a.test"] = {Address::loopback(port), Address::loopback(port)};
  resolver->names["b.test"] = {Address::loopback(port)};
  loop().set_resolver(resolver);
  ListenOptions options;
  options.hosts = {"a.test", "b.test", "127.0.0.1"};
  options.port = port;
  const auto server = serve(echo_factory(), options);
  EXPECT_EQ(server->sockets(), std::vector<Address>{Address::loopback(port)});
}

TEST_P(Listen, UnknownHostFailsAndLeavesNothingOpen) {
  const auto resolver = std::make_shared<ScriptedResolver>();
  resolver->silent = {"silent.test"};
  loop().set_resolver(resolver);
  ListenOptions options;
  options.hosts = {"silent.test", "127.0.0.1", "unknown.test"};
  const std::size_t sockets = open_sockets();
  const auto error = failure<ResolveError>(create_server(loop(), echo_factory(), options));
  EXPECT_EQ(error.subject(), "unknown.test");
  EXPECT_EQ(open_sockets(), sockets);
}

TEST_P(Listen, CancelDuringTheLookUpMakesNoServer) {
  const auto resolver = std::make_shared<ScriptedResolver>();
  resolver->silent = {"silent.test"};
  loop().set_resolver(resolver);
  ListenOptions options;
  options.hosts = {"silent.test"};
  const auto future = create_server(loop(), echo_factory(), options);
  tick(3);
  EXPECT_EQ(loop().stats().operations, 1u);
  future.cancel();
  EXPECT_EQ(loop().stats().operations, 0u);
}

TEST_P(Listen, C0376_KeepAliveIsInheritedByConnections) {
  ListenOptions options = on_loopback();
  options.keep_alive = true;
  const auto server = serve(made_.factory(), options);
  int value = 0;
  ASSERT_TRUE(
      kernel().get_option(server->native_handles()[0], SOL_SOCKET, SO_KEEPALIVE, value).ok());
  EXPECT_NE(value, 0);
  const RawPeer peer = raw_dial(server->sockets()[0]);
  run_until([&] { return made_.size() == 1 && made_.at(0).made(); });
  value = 0;
  ASSERT_TRUE(
      kernel()
          .get_option(made_.at(0).transport()->native_handle(), SOL_SOCKET, SO_KEEPALIVE, value)
          .ok());
  EXPECT_NE(value, 0);
}

TEST_P(Listen, C0377_BoundSocketIsListenedOn) {
  Kernel& plain = kernel().inner();
  const IoResult made = plain.socket(AF_INET, SOCK_STREAM, 0);
  ASSERT_TRUE(made.ok());
  ASSERT_TRUE(plain.bind(made.fd(), Address::loopback(0)).ok());
  ListenOptions options;
  options.socket = made.fd();
  const auto server = serve(made_.factory(), options);
  EXPECT_EQ(server->native_handles(), std::vector<int>{made.fd()});
  const RawPeer peer = raw_dial(server->sockets()[0]);
  run_until([&] { return made_.size() == 1; });
  const std::size_t sockets = open_sockets();
  server->close();
  EXPECT_EQ(open_sockets(), sockets - 1);
}

TEST_P(Listen, C0377_BlockingSocketIsMadeNonBlocking) {
  if (simulated()) GTEST_SKIP() << "simulated sockets do not block";
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  ASSERT_TRUE(kernel().bind(fd, Address::loopback(0)).ok());
  ListenOptions options;
  options.socket = fd;
  const auto server = serve(made_.factory(), options);
  const RawPeer peer = raw_dial(server->sockets()[0]);
  // A blocking accept after the first connection would hang here.
  run_until([&] { return made_.size() == 1 && made_.at(0).made(); });
}

TEST_P(Listen, C0377_ContradictingArgumentsThrowAtTheCall) {
  const auto listen = [&](ListenOptions options) {
    static_cast<void>(create_server(loop(), echo_factory(), std::move(options)));
  };
  const auto [near, far] = stream_pair(kernel().inner());
  ListenOptions both;
  both.socket = near.get();
  both.hosts = {"127.0.0.1"};
  EXPECT_THROW(listen(both), std::invalid_argument);
  both.hosts.clear();
  both.port = 80;
  EXPECT_THROW(listen(both), std::invalid_argument);
  ListenOptions wrong = on_loopback();
  wrong.backlog = -1;
  EXPECT_THROW(listen(wrong), std::invalid_argument);
  wrong = on_loopback();
  wrong.family = AF_UNIX;
  EXPECT_THROW(listen(wrong), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(create_server(loop(), ProtocolFactory(), on_loopback())),
               std::invalid_argument);
  if (const IoResult made = kernel().socket(AF_INET, SOCK_DGRAM, 0); made.ok()) {
    const Socket datagrams(kernel(), made.fd());
    ListenOptions options;
    options.socket = datagrams.get();
    EXPECT_THROW(listen(options), std::invalid_argument);
  }
  EXPECT_TRUE(kernel().inner().send(near.get(), "still open").ok());
}

TEST_P(Listen, ReusePortLetsTwoServersShareAPort) {
  ListenOptions options = on_loopback();
  options.reuse_port = true;
  const auto first = wait(create_server(loop(), echo_factory(), options));
  options.port = first->port();
  const auto second = serve(made_.factory(), options);
  EXPECT_EQ(second->port(), first->port());
  first->close();
  const RawPeer peer = raw_dial(second->sockets()[0]);
  run_until([&] { return made_.size() == 1; });
}

INSTANTIATE_WORLDS(Listen);

}  // namespace
}  // namespace ferry::test
