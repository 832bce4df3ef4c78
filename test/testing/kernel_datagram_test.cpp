// Datagram sockets by plain calls of the kernel: both worlds must say the same.

#include "kernel_suite.h"

#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace ferry::test {
namespace {

class KernelDatagram : public KernelTest {
 protected:
  Socket open(int family) { return Socket(kernel(), kernel().socket(family, SOCK_DGRAM, 0).fd()); }
  Socket bound(const char* host = "127.0.0.1") {
    const Address at = *Address::ip(host, 0);
    Socket socket = open(at.family());
    EXPECT_TRUE(kernel().bind(socket.get(), at).ok());
    return socket;
  }
  IoResult send(const Socket& socket, BytesView bytes, const Address* to) {
    OutgoingDatagram one;
    one.bytes = bytes;
    one.to = to;
    return kernel().send_datagrams(socket.get(), std::span(&one, 1));
  }
  /// Receives into `count` places of `size` bytes.
  IoResult receive(const Socket& socket, std::size_t count, std::size_t size = 100) {
    memory_.assign(count * size, std::byte{});
    places_.assign(count, {});
    for (std::size_t i = 0; i < count; ++i) {
      places_[i].buffer = MutableBytes(memory_).subspan(i * size, size);
    }
    return kernel().recv_datagrams(socket.get(), places_);
  }
  std::string text(std::size_t i) const {
    return std::string(BytesView(places_[i].buffer).first(places_[i].size).text());
  }

  std::vector<std::byte> memory_;
  std::vector<IncomingDatagram> places_;
};
INSTANTIATE_TEST_SUITE_P(Worlds, KernelDatagram, ::testing::ValuesIn(kWorlds), world_name);

TEST_P(KernelDatagram, ABatchTakesWhatIsThereAndNoMore) {
  const Socket a = bound();
  const Socket b = bound();
  const Address to = name_of(b);
  EXPECT_TRUE(receive(b, 2).would_block());
  std::array<OutgoingDatagram, 3> batch;
  const char* texts[] = {"one", "", "three"};
  for (std::size_t i = 0; i < 3; ++i) batch[i] = {.bytes = texts[i], .to = &to};
  EXPECT_EQ(kernel().send_datagrams(a.get(), batch).value, 3);
  EXPECT_EQ(receive(b, 2).value, 2);
  EXPECT_EQ(text(0), "one");
  EXPECT_EQ(text(1), "");
  EXPECT_EQ(places_[0].info.peer, name_of(a));
  EXPECT_EQ(receive(b, 2).value, 1);
  EXPECT_EQ(text(0), "three");
  EXPECT_TRUE(receive(b, 2).would_block());
}

TEST_P(KernelDatagram, WhatDoesNotFitIsCutAndSaid) {
  const Socket a = bound();
  const Socket b = bound();
  const Address to = name_of(b);
  EXPECT_TRUE(send(a, "12345678", &to).ok());
  EXPECT_TRUE(send(a, "1234", &to).ok());
  EXPECT_EQ(receive(b, 2, 4).value, 2);
  EXPECT_TRUE(places_[0].truncated);
  EXPECT_EQ(text(0), "1234");
  EXPECT_FALSE(places_[1].truncated);
}

TEST_P(KernelDatagram, SizesHaveALimit) {
  for (const char* host : {"127.0.0.1", "::1"}) {
    const Socket a = bound(host);
    const Address to = name_of(a);
    const std::string most(std::string_view(host) == "::1" ? 65527 : 65507, 'x');
    EXPECT_TRUE(send(a, most, &to).ok());
    EXPECT_EQ(error_of(send(a, most + 'x', &to)), EMSGSIZE);
  }
}

TEST_P(KernelDatagram, NoAddressAndNoPeerIsAnError) {
  const Socket a = bound();
  EXPECT_EQ(error_of(send(a, "x", nullptr)), EDESTADDRREQ);
  EXPECT_EQ(error_of(kernel().listen(a.get(), 1)), EOPNOTSUPP);
}

TEST_P(KernelDatagram, TheFirstErrorEndsABatch) {
  const Socket a = bound();
  const Socket b = bound();
  const Address to = name_of(b);
  const std::string large(70'000, 'x');
  std::array<OutgoingDatagram, 3> batch{OutgoingDatagram{.bytes = "1", .to = &to},
                                        OutgoingDatagram{.bytes = large, .to = &to},
                                        OutgoingDatagram{.bytes = "3", .to = &to}};
  EXPECT_EQ(kernel().send_datagrams(a.get(), batch).value, 1);
  EXPECT_EQ(error_of(kernel().send_datagrams(a.get(), std::span(batch).subspan(1))), EMSGSIZE);
}

TEST_P(KernelDatagram, ARefusalReachesAConnectedSocketOnce) {
  Address gone;
  {
    const Socket taken = bound();
    gone = name_of(taken);
  }
  const Socket a = bound();
  ASSERT_TRUE(kernel().connect(a.get(), gone).ok());
  EXPECT_TRUE(send(a, "x", nullptr).ok());
  EXPECT_EQ(error_of(receive(a, 1)), ECONNREFUSED);
  EXPECT_TRUE(receive(a, 1).would_block());
}

TEST_P(KernelDatagram, EveryArrivalIsAnEdge) {
  const Socket a = bound();
  const Socket b = bound();
  const Address to = name_of(b);
  Ear ear;
  const FdWatchPtr watched = watch(kernel(), b.get(), ear);
  watched->arm(Direction::read, FdWatch::Arm::if_ready);
  for (int i = 1; i <= 3; ++i) {
    ASSERT_TRUE(send(a, "x", &to).ok());
    run_until([&] { return ear.readable == i; });
    EXPECT_EQ(receive(b, 4).value, 1);
    watched->arm(Direction::read, FdWatch::Arm::after_would_block);
    turns();
    EXPECT_EQ(ear.readable, i);
  }
}

TEST_P(KernelDatagram, NamesOfStreamsAndOfDatagramsDoNotMeet) {
  // Other programs of this machine may have a port for their streams.
  Socket datagrams;
  bool met = true;
  for (int tries = 0; met && tries < 20; ++tries) {
    datagrams = bound();
    const Socket stream(kernel(), kernel().socket(AF_INET, SOCK_STREAM, 0).fd());
    met = !kernel().bind(stream.get(), name_of(datagrams)).ok();
  }
  EXPECT_FALSE(met);
  const Socket second(kernel(), kernel().socket(AF_INET, SOCK_DGRAM, 0).fd());
  EXPECT_EQ(error_of(kernel().bind(second.get(), name_of(datagrams))), EADDRINUSE);
}

TEST_P(KernelDatagram, AnIpv6SocketAnswersAnIpv4Peer) {
  const Socket six = bound("::");
  const Socket four = bound();
  const Address to = Address::loopback(name_of(six).port());
  ASSERT_TRUE(send(four, "question", &to).ok());
  ASSERT_EQ(receive(six, 1).value, 1);
  const Address peer = places_[0].info.peer;
  EXPECT_EQ(peer, *Address::ip("::ffff:127.0.0.1", name_of(four).port()));
  EXPECT_TRUE(send(six, "answer", &peer).ok());
  ASSERT_EQ(receive(four, 1).value, 1);
  EXPECT_EQ(text(0), "answer");
  EXPECT_EQ(places_[0].info.peer, to);
  EXPECT_EQ(error_of(send(six, std::string(65508, 'x'), &peer)), EMSGSIZE);

  ASSERT_TRUE(kernel().connect(six.get(), peer).ok());
  EXPECT_EQ(name_of(six), *Address::ip("::ffff:127.0.0.1", to.port()));
  EXPECT_TRUE(send(six, "again", nullptr).ok());
  EXPECT_EQ(receive(four, 1).value, 1);
  EXPECT_TRUE(send(four, "and back", &to).ok());
  EXPECT_EQ(receive(six, 1).value, 1);
  EXPECT_EQ(places_[0].info.peer, peer);
}

TEST_P(KernelDatagram, OneForIpv6AloneReachesNoIpv4Peer) {
  const Socket four = bound();
  const Address mapped = *Address::ip("::ffff:127.0.0.1", name_of(four).port());
  const Socket alone = open(AF_INET6);
  ASSERT_TRUE(kernel().set_option(alone.get(), IPPROTO_IPV6, IPV6_V6ONLY, 1).ok());
  EXPECT_EQ(error_of(send(alone, "x", &mapped)), ENETUNREACH);
  EXPECT_EQ(error_of(kernel().connect(alone.get(), mapped)), ENETUNREACH);
  EXPECT_EQ(error_of(kernel().bind(alone.get(), mapped.with_port(0))), EINVAL);
  // Nor does one whose address is of the other kind.
  const Socket six = bound("::1");
  EXPECT_EQ(error_of(send(six, "x", &mapped)), ENETUNREACH);
  const Socket half = bound("::ffff:127.0.0.1");
  const Address to = name_of(six);
  EXPECT_EQ(error_of(send(half, "x", &to)), EAFNOSUPPORT);
  EXPECT_TRUE(send(half, "x", &mapped).ok());
  EXPECT_EQ(receive(four, 1).value, 1);
  EXPECT_EQ(places_[0].info.peer, Address::loopback(name_of(half).port()));
}

TEST_P(KernelDatagram, ARefusalReachesAnIpv6SocketThatIsConnectedToIpv4) {
  Address gone;
  {
    const Socket taken = bound("::ffff:127.0.0.1");
    gone = name_of(taken);
  }
  const Socket a = open(AF_INET6);
  ASSERT_TRUE(kernel().connect(a.get(), gone).ok());
  EXPECT_TRUE(send(a, "x", nullptr).ok());
  EXPECT_EQ(error_of(receive(a, 1)), ECONNREFUSED);
}

TEST_P(KernelDatagram, AGroupReachesNoSocketWithAnAddressOfItsOwn) {
  const Address group = *Address::ip("239.193.7.14", 0);
  const unsigned lo = ::if_nametoindex("lo");
  const Socket sender = bound();
  const Socket member = bound("0.0.0.0");
  const Socket named = bound();
  const Socket of_group = bound("239.193.7.14");
  const Socket stranger = bound("0.0.0.0");
  const Socket choosy = bound("0.0.0.0");
  ASSERT_TRUE(kernel().set_option(choosy.get(), IPPROTO_IP, IP_MULTICAST_ALL, 0).ok());
  const auto hears = [&](const Socket& socket) {
    const Address to = group.with_port(name_of(socket).port());
    EXPECT_TRUE(send(sender, "to all", &to).ok());
    return receive(socket, 2).value == 1;
  };
  EXPECT_FALSE(hears(stranger)) << "nobody has joined";
  ASSERT_TRUE(kernel().set_membership(member.get(), group, lo, true).ok());
  ASSERT_TRUE(kernel().set_membership(named.get(), group, lo, true).ok());
  EXPECT_TRUE(hears(member));
  EXPECT_FALSE(hears(named));
  EXPECT_TRUE(hears(of_group));
  EXPECT_TRUE(hears(stranger)) << "what one has joined all hear";
  EXPECT_FALSE(hears(choosy)) << "but for who does not want to";
}

TEST_P(KernelDatagram, WhatFindsNoRoomIsLostInSilence) {
  const Socket a = bound();
  const Socket b = bound();
  const Address to = name_of(b);
  ASSERT_TRUE(kernel().set_option(b.get(), SOL_SOCKET, SO_RCVBUF, 8192).ok());
  for (int i = 0; i < 100; ++i) {
    const std::string number = std::to_string(i);
    ASSERT_TRUE(send(a, number, &to).ok());
  }
  const std::ptrdiff_t got = receive(b, 100).value;
  EXPECT_GT(got, 5);
  EXPECT_LT(got, 50);
  for (int i = 0; i < got; ++i) EXPECT_EQ(text(static_cast<std::size_t>(i)), std::to_string(i));
  EXPECT_TRUE(send(a, "there is room again", &to).ok());
  EXPECT_EQ(receive(b, 2).value, 1);
  // However little that is, one fits.
  ASSERT_TRUE(kernel().set_option(b.get(), SOL_SOCKET, SO_RCVBUF, 1).ok());
  EXPECT_TRUE(send(a, std::string(30'000, 'x'), &to).ok());
  EXPECT_EQ(receive(b, 2).value, 1);
}

TEST_P(KernelDatagram, OfThoseWhoShareAPortEachFlowHasItsOwn) {
  const auto sharing = [&](const Address& at) {
    Socket socket = open(AF_INET);
    EXPECT_TRUE(kernel().set_option(socket.get(), SOL_SOCKET, SO_REUSEPORT, 1).ok());
    EXPECT_TRUE(kernel().bind(socket.get(), at).ok());
    return socket;
  };
  const Socket one = sharing(Address::loopback(0));
  const Address to = name_of(one);
  const Socket two = sharing(to);
  int flows = 0;  // of the first
  for (int i = 0; i < 40; ++i) {
    const Socket sender = bound();
    for (int again = 0; again < 5; ++again) ASSERT_TRUE(send(sender, "x", &to).ok());
    const std::ptrdiff_t got = receive(one, 10).value;
    EXPECT_TRUE(got == 5 || got == -1) << got;
    EXPECT_EQ(receive(two, 10).value, got == 5 ? -1 : 5);
    flows += got == 5;
  }
  EXPECT_GT(flows, 0);
  EXPECT_LT(flows, 40);
}

}  // namespace
}  // namespace ferry::test
