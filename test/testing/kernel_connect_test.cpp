// Names, listening and connecting, in both worlds.

#include "kernel_suite.h"

#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

namespace ferry::test {
namespace {

using namespace std::chrono_literals;

class KernelConnect : public KernelTest {
 protected:
  Socket open(int family = AF_INET) {
    const IoResult made = kernel().socket(family, SOCK_STREAM, 0);
    EXPECT_TRUE(made.ok()) << made.code().message();
    return Socket(kernel(), made.fd());
  }
  /// Connects to `to`, accepts on `listener`, and sends a byte each way.
  void expect_path(const Address& to, RawListener& listener) {
    RawPeer client = RawPeer::connect(kernel(), to);
    std::optional<RawPeer> server;
    run_until([&] {
      if (!server) server = listener.accept();
      return server && client.connected();
    });
    ASSERT_TRUE(server);
    client.write("c");
    server->write("s");
    run_until([&] { return client.pump() + server->pump() > 0 || !client.received().empty(); });
    EXPECT_EQ(client.received(), "s");
    EXPECT_EQ(server->received() + server->read(), "c");
  }
};

TEST_P(KernelConnect, ClientsReachAListenerOfEachFamily) {
  for (const Address& at : {Address::loopback(0), *Address::ip("::1", 0), unused_unix_address()}) {
    RawListener listener(kernel(), at);
    EXPECT_FALSE(listener.accept());
    expect_path(listener.address(), listener);
  }
}

TEST_P(KernelConnect, AcceptTellsWhoItIs) {
  RawListener listener(kernel());
  RawPeer client = RawPeer::connect(kernel(), listener.address());
  run_until([&] { return client.connected(); });
  Address peer;
  const IoResult accepted = kernel().accept(listener.fd(), peer);
  ASSERT_TRUE(accepted.ok());
  const Socket server(kernel(), accepted.fd());
  EXPECT_EQ(peer, client.local_address());
  EXPECT_EQ(name_of(server), listener.address());
}

TEST_P(KernelConnect, AcceptWithoutADescriptorFailsAlsoIfNobodyWaits) {
  RawListener listener(kernel());
  const Socket fresh = open();
  Address peer;
  EXPECT_EQ(error_of(kernel().accept(listener.fd(), peer)), EAGAIN);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  if (simulated()) {
    sim().set_descriptor_limit(sim().stats().open_sockets);
  } else {
    const rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  }
  const IoResult nobody = kernel().accept(listener.fd(), peer);
  const IoResult not_listening = kernel().accept(fresh.get(), peer);
  ::setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(error_of(nobody), EMFILE);
  EXPECT_EQ(error_of(not_listening), EMFILE);
}

TEST_P(KernelConnect, TcpConnectIsUnderWayAtFirst) {
  RawListener listener(kernel());
  const Socket client = open();
  EXPECT_EQ(error_of(kernel().connect(client.get(), listener.address())), EINPROGRESS);
  Ear ear;
  const FdWatchPtr w = watch(kernel(), client.get(), ear);
  w->arm(Direction::write, FdWatch::Arm::if_ready);
  turns();
  EXPECT_EQ(ear.writable, 1);
  int error = -1;
  ASSERT_TRUE(kernel().get_option(client.get(), SOL_SOCKET, SO_ERROR, error).ok());
  EXPECT_EQ(error, 0);
}

TEST_P(KernelConnect, UnixConnectIsDoneAtOnce) {
  const RawListener listener(kernel(), unused_unix_address());
  const Socket client = open(AF_UNIX);
  EXPECT_TRUE(kernel().connect(client.get(), listener.address()).ok());
  Address peer;
  ASSERT_TRUE(kernel().peer_address(client.get(), peer).ok());
  EXPECT_EQ(peer, listener.address());
}

TEST_P(KernelConnect, RefusalComesAsReadinessAndPendingError) {
  Address nobody;
  {
    const RawListener listener(kernel());
    nobody = listener.address();
  }
  const Socket client = open();
  const IoResult result = kernel().connect(client.get(), nobody);
  EXPECT_EQ(error_of(result), EINPROGRESS);
  Ear ear;
  const FdWatchPtr w = watch(kernel(), client.get(), ear);
  w->arm(Direction::write, FdWatch::Arm::if_ready);
  turns();
  EXPECT_EQ(ear.writable, 1);
  int error = 0;
  ASSERT_TRUE(kernel().get_option(client.get(), SOL_SOCKET, SO_ERROR, error).ok());
  EXPECT_EQ(error, ECONNREFUSED);
  Address peer;
  EXPECT_EQ(error_of(kernel().peer_address(client.get(), peer)), ENOTCONN);
}

TEST_P(KernelConnect, TheNextConnectOfARefusedSocketOnlySaysSo) {
  Address nobody;
  {
    const RawListener listener(kernel());
    nobody = listener.address();
  }
  RawListener listener(kernel());
  for (const bool asked : {false, true}) {
    SCOPED_TRACE(asked);
    const Socket client = open();
    EXPECT_EQ(error_of(kernel().connect(client.get(), nobody)), EINPROGRESS);
    turns();
    if (asked) {
      int error = 0;
      ASSERT_TRUE(kernel().get_option(client.get(), SOL_SOCKET, SO_ERROR, error).ok());
      EXPECT_EQ(error, ECONNREFUSED);
      std::byte byte{};
      EXPECT_EQ(kernel().recv(client.get(), {&byte, 1}).value, 0);
    }
    EXPECT_EQ(error_of(kernel().listen(client.get(), 1)), EINVAL);
    EXPECT_EQ(error_of(kernel().connect(client.get(), listener.address())),
              asked ? ECONNABORTED : ECONNREFUSED);
    EXPECT_EQ(error_of(kernel().connect(client.get(), listener.address())), EINPROGRESS);
    run_until([&] { return listener.accept().has_value(); });
  }
}

TEST_P(KernelConnect, UnixNameThatNobodyHasIsRefused) {
  const Socket client = open(AF_UNIX);
  EXPECT_EQ(error_of(kernel().connect(client.get(), unused_unix_address())), ECONNREFUSED);
  EXPECT_EQ(
      error_of(kernel().connect(client.get(), Address::unix_path("/nonexistent/ferry-test.sock"))),
      ENOENT);
}

TEST_P(KernelConnect, UnixNameThatIsBoundOnlyIsRefused) {
  const Address name = unused_unix_address();
  const Socket bound = open(AF_UNIX);
  ASSERT_TRUE(kernel().bind(bound.get(), name).ok());
  const Socket client = open(AF_UNIX);
  EXPECT_EQ(error_of(kernel().connect(client.get(), name)), ECONNREFUSED);
}

TEST_P(KernelConnect, PortZeroGivesEachItsOwn) {
  const RawListener one(kernel());
  const RawListener two(kernel());
  EXPECT_NE(one.address().port(), 0);
  EXPECT_NE(two.address().port(), 0);
  EXPECT_NE(one.address().port(), two.address().port());
}

TEST_P(KernelConnect, PortInUseIsRefusedAlsoWithReuseAddress) {
  const RawListener first(kernel());
  for (const int reuse : {0, 1}) {
    const Socket second = open();
    set(second, SOL_SOCKET, SO_REUSEADDR, reuse);
    EXPECT_EQ(error_of(kernel().bind(second.get(), first.address())), EADDRINUSE);
    const Address wildcard = *Address::ip("0.0.0.0", first.address().port());
    EXPECT_EQ(error_of(kernel().bind(second.get(), wildcard)), EADDRINUSE);
  }
}

TEST_P(KernelConnect, PortIsFreeAgainAfterClose) {
  RawListener first(kernel());
  first.close();
  const Socket second = open();
  set(second, SOL_SOCKET, SO_REUSEADDR, 1);
  EXPECT_TRUE(kernel().bind(second.get(), first.address()).ok());
  EXPECT_EQ(name_of(second), first.address());
}

TEST_P(KernelConnect, UnixNameIsTakenUntilClose) {
  const Address name = unused_unix_address();
  {
    const RawListener first(kernel(), name);
    const Socket second = open(AF_UNIX);
    EXPECT_EQ(error_of(kernel().bind(second.get(), name)), EADDRINUSE);
  }
  RawListener again(kernel(), name);
  expect_path(name, again);
}

TEST_P(KernelConnect, SamePortOnTwoAddressesIsNoConflict) {
  RawListener one(kernel());
  RawListener two(kernel(), *Address::ip("127.0.0.2", one.address().port()));
  expect_path(two.address(), two);
  expect_path(one.address(), one);
}

TEST_P(KernelConnect, ReusePortLetsTwoListen) {
  const Socket one = open();
  const Socket two = open();
  set(one, SOL_SOCKET, SO_REUSEPORT, 1);
  set(two, SOL_SOCKET, SO_REUSEPORT, 1);
  ASSERT_TRUE(kernel().bind(one.get(), Address::loopback(0)).ok());
  ASSERT_TRUE(kernel().listen(one.get(), 5).ok());
  ASSERT_TRUE(kernel().bind(two.get(), name_of(one)).ok());
  EXPECT_TRUE(kernel().listen(two.get(), 5).ok());
}

TEST_P(KernelConnect, OfTwoWhoShareAPortEachGetsSome) {
  Address at = Address::loopback(0);
  std::vector<Socket> listeners;
  for (int i = 0; i < 2; ++i) {
    listeners.push_back(open());
    set(listeners.back(), SOL_SOCKET, SO_REUSEPORT, 1);
    ASSERT_TRUE(kernel().bind(listeners.back().get(), at).ok());
    ASSERT_TRUE(kernel().listen(listeners.back().get(), 50).ok());
    at = name_of(listeners.back());
  }
  std::vector<RawPeer> clients;
  for (int i = 0; i < 40; ++i) clients.push_back(RawPeer::connect(kernel(), at));
  run_until([&] {
    return std::all_of(clients.begin(), clients.end(), [](RawPeer& c) { return c.connected(); });
  });
  int accepted = 0;
  for (const Socket& listener : listeners) {
    Address peer;
    const int before = accepted;
    for (;;) {
      const IoResult one = kernel().accept(listener.get(), peer);
      if (!one.ok()) break;
      const Socket server(kernel(), one.fd());
      ++accepted;
    }
    EXPECT_GT(accepted, before);
  }
  EXPECT_EQ(accepted, 40);
}

TEST_P(KernelConnect, AddressOfAnotherMachineCannotBeBound) {
  const Socket socket = open();
  EXPECT_EQ(error_of(kernel().bind(socket.get(), *Address::ip("192.0.2.1", 0))), EADDRNOTAVAIL);
}

TEST_P(KernelConnect, AddressOfAnotherFamilyCannotBeBound) {
  const Socket socket = open();
  EXPECT_EQ(error_of(kernel().bind(socket.get(), *Address::ip("::1", 0))), EAFNOSUPPORT);
}

TEST_P(KernelConnect, SecondBindIsRefused) {
  const Socket socket = open();
  ASSERT_TRUE(kernel().bind(socket.get(), Address::loopback(0)).ok());
  EXPECT_EQ(error_of(kernel().bind(socket.get(), Address::loopback(0))), EINVAL);
}

TEST_P(KernelConnect, WildcardIsReachedThroughLoopback) {
  RawListener listener(kernel(), *Address::ip("0.0.0.0", 0));
  expect_path(Address::loopback(listener.address().port()), listener);
  expect_path(listener.address(), listener);
}

TEST_P(KernelConnect, DualStackWildcardTakesIpv4AsMapped) {
  const Socket six = open(AF_INET6);
  set(six, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  ASSERT_TRUE(kernel().bind(six.get(), *Address::ip("::", 0)).ok());
  ASSERT_TRUE(kernel().listen(six.get(), 5).ok());
  RawPeer client = RawPeer::connect(kernel(), Address::loopback(name_of(six).port()));
  run_until([&] { return client.connected(); });
  Address peer;
  const Socket server(kernel(), kernel().accept(six.get(), peer).fd());
  EXPECT_EQ(peer, *Address::ip("::ffff:127.0.0.1", client.local_address().port()));
}

TEST_P(KernelConnect, AnIpv6SocketConnectsToAnIpv4Listener) {
  RawListener four(kernel());
  const Address mapped = *Address::ip("::ffff:127.0.0.1", four.address().port());
  RawPeer client = RawPeer::connect(kernel(), mapped);
  run_until([&] { return client.connected(); });
  Address peer;
  const Socket server(kernel(), kernel().accept(four.fd(), peer).fd());
  EXPECT_EQ(peer, Address::loopback(client.local_address().port()));
  EXPECT_EQ(client.local_address().host(), "::ffff:127.0.0.1");
  EXPECT_EQ(name_of(server), four.address());
  const Socket alone = open(AF_INET6);
  set(alone, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  EXPECT_EQ(error_of(kernel().connect(alone.get(), mapped)), ENETUNREACH);
  const Socket six = open(AF_INET6);
  ASSERT_TRUE(kernel().bind(six.get(), *Address::ip("::1", 0)).ok());
  EXPECT_EQ(error_of(kernel().connect(six.get(), mapped)), ENETUNREACH);
}

TEST_P(KernelConnect, ADualStackListenerHearsMappedAddressesOfIpv6Sockets) {
  const Socket six = open(AF_INET6);
  ASSERT_TRUE(kernel().bind(six.get(), *Address::ip("::", 0)).ok());
  ASSERT_TRUE(kernel().listen(six.get(), 5).ok());
  RawPeer client =
      RawPeer::connect(kernel(), *Address::ip("::ffff:127.0.0.1", name_of(six).port()));
  run_until([&] { return client.connected(); });
  Address peer;
  const Socket server(kernel(), kernel().accept(six.get(), peer).fd());
  EXPECT_EQ(peer, client.local_address());
  // An IPv4 socket cannot have what a mapped one has.
  const Socket half = open(AF_INET6);
  ASSERT_TRUE(kernel().bind(half.get(), *Address::ip("::ffff:127.0.0.1", 0)).ok());
  const Socket four = open();
  EXPECT_EQ(error_of(kernel().bind(four.get(), Address::loopback(name_of(half).port()))),
            EADDRINUSE);
}

TEST_P(KernelConnect, V6OnlyLeavesThePortToIpv4) {
  // Another program may have the port that IPv6 was given; not twenty times in a row.
  for (int attempt = 0; attempt < 20; ++attempt) {
    const Socket six = open(AF_INET6);
    set(six, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    ASSERT_TRUE(kernel().bind(six.get(), *Address::ip("::", 0)).ok());
    ASSERT_TRUE(kernel().listen(six.get(), 5).ok());
    const Socket four = open();
    if (!kernel().bind(four.get(), *Address::ip("0.0.0.0", name_of(six).port())).ok()) continue;
    EXPECT_TRUE(kernel().listen(four.get(), 5).ok());
    return;
  }
  FAIL() << "IPv4 never got a port that IPv6 listens on";
}

TEST_P(KernelConnect, ClientMayChooseItsAddress) {
  RawListener listener(kernel());
  const Socket client = open();
  ASSERT_TRUE(kernel().bind(client.get(), *Address::ip("127.0.0.3", 0)).ok());
  kernel().connect(client.get(), listener.address());
  std::optional<RawPeer> server;
  run_until([&] { return (server = listener.accept()).has_value(); });
  Address peer;
  ASSERT_TRUE(kernel().peer_address(server->fd(), peer).ok());
  EXPECT_EQ(peer.host(), "127.0.0.3");
  EXPECT_EQ(peer, name_of(client));
}

TEST_P(KernelConnect, ClosingAListenerResetsWhomNobodyAccepted) {
  RawListener listener(kernel());
  RawPeer client = RawPeer::connect(kernel(), listener.address());
  run_until([&] { return client.connected(); });
  listener.close();
  run_until([&] {
    client.read();
    return client.eof() || client.error();
  });
  EXPECT_EQ(client.error(), std::errc::connection_reset);
}

TEST_P(KernelConnect, FullBacklogOfAUnixSocketIsTryAgain) {
  const RawListener listener(kernel(), unused_unix_address(), 1);
  std::vector<Socket> clients;
  int refused = 0;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(open(AF_UNIX));
    const IoResult result = kernel().connect(clients.back().get(), listener.address());
    if (result.ok()) continue;
    EXPECT_TRUE(result.would_block());
    ++refused;
  }
  EXPECT_EQ(refused, 2);
}

TEST_P(KernelConnect, FullBacklogOfTcpIsTriedAgainLater) {
  RawListener listener(kernel(), Address::loopback(0), 1);
  std::vector<RawPeer> clients;
  for (int i = 0; i < 4; ++i) clients.push_back(RawPeer::connect(kernel(), listener.address()));
  const auto connected = [&] {
    return std::count_if(clients.begin(), clients.end(), [](RawPeer& c) { return c.connected(); });
  };
  run_until([&] { return connected() == 2; });
  std::vector<RawPeer> servers;
  while (auto server = listener.accept()) servers.push_back(std::move(*server));
  turns();
  EXPECT_EQ(connected(), 2) << "their SYNs were lost";
  run_until([&] { return connected() == 4; });
}

TEST_P(KernelConnect, FreshSocketSaysThatItIsNotConnected) {
  const Socket socket = open();
  Address address;
  std::byte byte{};
  EXPECT_EQ(error_of(kernel().recv(socket.get(), {&byte, 1})), ENOTCONN);
  EXPECT_EQ(error_of(kernel().send(socket.get(), "x")), EPIPE);
  EXPECT_EQ(error_of(kernel().peer_address(socket.get(), address)), ENOTCONN);
  EXPECT_EQ(error_of(kernel().shutdown(socket.get(), SHUT_WR)), ENOTCONN);
  EXPECT_EQ(error_of(kernel().accept(socket.get(), address)), EINVAL);
  EXPECT_EQ(name_of(socket), *Address::ip("0.0.0.0", 0));
  const Socket unix_socket = open(AF_UNIX);
  EXPECT_EQ(error_of(kernel().recv(unix_socket.get(), {&byte, 1})), EINVAL);
  EXPECT_EQ(error_of(kernel().send(unix_socket.get(), "x")), ENOTCONN);
}

TEST_P(KernelConnect, UnixSocketRemembersAShutdownForItsConnection) {
  RawListener listener(kernel(), unused_unix_address());
  const Socket client = open(AF_UNIX);
  EXPECT_TRUE(kernel().shutdown(client.get(), SHUT_WR).ok());
  EXPECT_EQ(error_of(kernel().send(client.get(), "x")), ENOTCONN);
  EXPECT_TRUE(kernel().connect(client.get(), listener.address()).ok());
  EXPECT_EQ(error_of(kernel().send(client.get(), "x")), EPIPE);
  auto server = listener.accept();
  std::byte byte{};
  EXPECT_TRUE(kernel().recv(server->fd(), {&byte, 1}).would_block());
  EXPECT_TRUE(kernel().shutdown(client.get(), SHUT_WR).ok());
  EXPECT_EQ(kernel().recv(server->fd(), {&byte, 1}).value, 0);
}

TEST_P(KernelConnect, UnixListenerThatIsShutRefuses) {
  RawListener listener(kernel(), unused_unix_address());
  EXPECT_TRUE(kernel().shutdown(listener.fd(), SHUT_WR).ok());
  const Socket first = open(AF_UNIX);
  EXPECT_TRUE(kernel().connect(first.get(), listener.address()).ok());
  EXPECT_TRUE(kernel().shutdown(listener.fd(), SHUT_RD).ok());
  EXPECT_EQ(error_of(kernel().connect(open(AF_UNIX).get(), listener.address())), ECONNREFUSED);
  EXPECT_TRUE(listener.accept()) << "it came before";
  EXPECT_FALSE(listener.accept());
}

TEST_P(KernelConnect, SocketOfAnUnknownFamilyIsRefused) {
  EXPECT_EQ(error_of(kernel().socket(12345, SOCK_STREAM, 0)), EAFNOSUPPORT);
}

INSTANTIATE_TEST_SUITE_P(Worlds, KernelConnect, ::testing::ValuesIn(kWorlds), world_name);

}  // namespace
}  // namespace ferry::test
