// Unix datagram sockets, in both worlds: who is connected to whom, and what their queues hold.

#include "kernel_suite.h"

#include <sys/socket.h>

#include <cerrno>
#include <fstream>

namespace ferry::test {
namespace {

class KernelUnixDatagram : public KernelTest {
 protected:
  Socket open() { return Socket(kernel(), kernel().socket(AF_UNIX, SOCK_DGRAM, 0).fd()); }
  Socket bound(const Address& at = unused_unix_address()) {
    Socket socket = open();
    EXPECT_TRUE(kernel().bind(socket.get(), at).ok());
    return socket;
  }
  IoResult connect(const Socket& socket, const Socket& to) {
    return kernel().connect(socket.get(), name_of(to));
  }
  IoResult send(const Socket& socket) { return kernel().send(socket.get(), "x"); }
  IoResult send_to(const Socket& socket, const Address& to) {
    OutgoingDatagram one;
    one.bytes = "x";
    one.to = &to;
    return kernel().send_datagrams(socket.get(), std::span(&one, 1));
  }
  IoResult receive(const Socket& socket) {
    std::byte byte{};
    return kernel().recv(socket.get(), {&byte, 1});
  }
  int pending_error(const Socket& socket) {
    int error = -1;
    EXPECT_TRUE(kernel().get_option(socket.get(), SOL_SOCKET, SO_ERROR, error).ok());
    return error;
  }
  /// How many datagrams a queue holds here, or 0 if that is more than a sender may have under way.
  std::size_t queue_holds() const {
    std::size_t limit = 10;
    if (!simulated()) std::ifstream("/proc/sys/net/unix/max_dgram_qlen") >> limit;
    return limit > 100 ? 0 : limit + 1;
  }
};
INSTANTIATE_TEST_SUITE_P(Worlds, KernelUnixDatagram, ::testing::ValuesIn(kWorlds), world_name);

TEST_P(KernelUnixDatagram, APeerThatDiedIsToldOfOnceAndForgotten) {
  Socket peer = bound();
  const Address name = name_of(peer);
  const Socket sender = bound();
  ASSERT_TRUE(connect(sender, peer).ok());
  EXPECT_TRUE(send(sender).ok());
  ASSERT_TRUE(send_to(peer, name_of(sender)).ok());
  peer.reset();
  const Socket second = bound(name);  // of the same name, and another one
  Address address;
  EXPECT_TRUE(kernel().peer_address(sender.get(), address).ok());
  EXPECT_TRUE(send_to(sender, name).ok());
  EXPECT_EQ(error_of(send(sender)), ECONNREFUSED);
  EXPECT_EQ(error_of(send(sender)), ENOTCONN);
  EXPECT_EQ(error_of(kernel().peer_address(sender.get(), address)), ENOTCONN);
  EXPECT_TRUE(receive(sender).would_block()) << "what came from it is lost";
  EXPECT_TRUE(receive(second).ok());
  EXPECT_TRUE(receive(second).would_block());
  EXPECT_TRUE(connect(sender, second).ok());
  EXPECT_TRUE(send(sender).ok());
}

TEST_P(KernelUnixDatagram, OneThatIsConnectedHearsNobodyElse) {
  Socket friend_of = bound();
  const Socket taken = bound();
  const Socket other = bound();
  ASSERT_TRUE(connect(taken, friend_of).ok());
  EXPECT_EQ(error_of(connect(other, taken)), EPERM);
  EXPECT_EQ(error_of(send_to(other, name_of(taken))), EPERM);
  EXPECT_TRUE(send_to(friend_of, name_of(taken)).ok());
  EXPECT_TRUE(connect(friend_of, taken).ok());
  EXPECT_TRUE(connect(other, other).ok()) << "each may talk to itself";
  EXPECT_TRUE(send(other).ok());
  // It is, until it learns that its peer is gone.
  const Socket third = bound();
  friend_of.reset();
  EXPECT_EQ(error_of(send_to(third, name_of(taken))), EPERM);
  EXPECT_EQ(error_of(send(taken)), ECONNREFUSED);
  EXPECT_TRUE(send_to(third, name_of(taken)).ok());
}

TEST_P(KernelUnixDatagram, ANewPeerCostsWhatTheOldOneSent) {
  const Socket a = bound();
  const Socket b = bound();
  const Socket c = bound();
  ASSERT_TRUE(connect(a, b).ok());
  ASSERT_TRUE(connect(b, a).ok());
  ASSERT_TRUE(send(b).ok());
  ASSERT_TRUE(connect(a, b).ok());
  EXPECT_TRUE(receive(a).ok()) << "it is the same";
  ASSERT_TRUE(send(b).ok());
  ASSERT_TRUE(connect(a, c).ok());
  EXPECT_TRUE(receive(a).would_block());
  EXPECT_EQ(pending_error(b), ECONNRESET);
  EXPECT_EQ(error_of(send(b)), EPERM);
}

TEST_P(KernelUnixDatagram, AFullQueueIsTryAgainAndRoomIsToldToWhoIsConnected) {
  const std::size_t most = queue_holds();
  if (most == 0) GTEST_SKIP() << "this system's queues are too long";
  const Socket receiver = bound();
  const Socket loose = bound();
  const Socket connected = open();
  ASSERT_TRUE(connect(connected, receiver).ok());
  for (std::size_t i = 0; i < most; ++i) ASSERT_TRUE(send(connected).ok()) << i;
  EXPECT_TRUE(send(connected).would_block());
  EXPECT_TRUE(send_to(loose, name_of(receiver)).would_block());

  Ear ear;
  Ear loose_ear;
  const FdWatchPtr watched = watch(kernel(), connected.get(), ear);
  const FdWatchPtr loose_watched = watch(kernel(), loose.get(), loose_ear);
  watched->arm(Direction::write, FdWatch::Arm::if_ready);
  loose_watched->arm(Direction::write, FdWatch::Arm::if_ready);
  turns();
  EXPECT_EQ(ear.writable, 0);
  EXPECT_EQ(loose_ear.writable, 1) << "it could send to others";
  ASSERT_TRUE(receive(receiver).ok());
  run_until([&] { return ear.writable == 1; });
  EXPECT_TRUE(send(connected).ok());
  EXPECT_TRUE(send(connected).would_block());
}

TEST_P(KernelUnixDatagram, TheEndOfAFullQueueIsToldToo) {
  if (queue_holds() == 0) GTEST_SKIP() << "this system's queues are too long";
  Socket receiver = bound();
  const Socket sender = open();
  ASSERT_TRUE(connect(sender, receiver).ok());
  while (send(sender).ok()) continue;
  Ear ear;
  const FdWatchPtr watched = watch(kernel(), sender.get(), ear);
  watched->arm(Direction::write, FdWatch::Arm::if_ready);
  turns();
  EXPECT_EQ(ear.writable, 0);
  receiver.reset();
  run_until([&] { return ear.writable == 1; });
  EXPECT_EQ(error_of(send(sender)), ECONNREFUSED);
}

TEST_P(KernelUnixDatagram, WhoIsConnectedBackIsNotHeldBack) {
  const Socket a = bound();
  const Socket b = bound();
  ASSERT_TRUE(connect(a, b).ok());
  ASSERT_TRUE(connect(b, a).ok());
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(send(a).ok()) << i;
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(receive(b).ok()) << i;
}

TEST_P(KernelUnixDatagram, OneThatReadsNoMoreIsABrokenPipe) {
  const Socket a = bound();
  const Socket b = bound();
  ASSERT_TRUE(connect(b, a).ok());
  ASSERT_TRUE(kernel().shutdown(b.get(), SHUT_RD).ok());
  EXPECT_EQ(error_of(send_to(a, name_of(b))), EPIPE);
}

}  // namespace
}  // namespace ferry::test
