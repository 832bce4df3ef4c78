// Connected sockets: bytes, endings and errors, in both worlds and all families, and in the
// simulated one with a network between them as well.

#include "kernel_suite.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <tuple>

namespace ferry::test {
namespace {

enum class Where { asio, sim, network };
using Param = std::tuple<Where, int>;

std::string param_name(const ::testing::TestParamInfo<Param>& info) {
  const auto [where, family] = info.param;
  const std::string name = where == Where::asio ? "Asio" : where == Where::sim ? "Sim" : "Network";
  return name + (family == AF_INET ? "V4" : family == AF_INET6 ? "V6" : "Unix");
}

class KernelStream : public KernelSuite, public ::testing::WithParamInterface<Param> {
 protected:
  World world() const override {
    return std::get<0>(GetParam()) == Where::asio ? World::asio : World::sim;
  }
  int family() const { return std::get<1>(GetParam()); }
  bool is_unix() const { return family() == AF_UNIX; }

  void SetUp() override {
    KernelSuite::SetUp();
    if (std::get<0>(GetParam()) == Where::network) sim().network().set_link({});
    auto pair = stream_pair(kernel(), family());
    a_ = std::move(pair.first);
    b_ = std::move(pair.second);
  }
  void TearDown() override {
    a_.reset();
    b_.reset();
    KernelSuite::TearDown();
  }
  IoResult recv(const Socket& socket, std::size_t size = 1000) {
    buffer_.resize(size);
    return kernel().recv(socket.get(), buffer_);
  }
  IoResult send(const Socket& socket, BytesView bytes) {
    return kernel().send(socket.get(), bytes);
  }
  std::string read(const Socket& socket) { return read_dry(kernel(), socket.get()); }
  /// How many bytes can be read, and in `end` what comes behind them.
  std::size_t count_rest(const Socket& socket, IoResult& end) {
    std::size_t bytes = 0;
    for (end = recv(socket, 1 << 20); end.ok() && end.count() > 0; end = recv(socket, 1 << 20)) {
      bytes += end.count();
    }
    return bytes;
  }
  void shut(const Socket& socket, int how) {
    ASSERT_TRUE(kernel().shutdown(socket.get(), how).ok());
  }

  Socket a_;
  Socket b_;
  std::vector<std::byte> buffer_;
};

/// What unix sockets do not have.
class KernelTcp : public KernelStream {};

TEST_P(KernelStream, BytesArriveInOrderAndThenThereIsNothing) {
  EXPECT_TRUE(recv(b_).would_block());
  EXPECT_EQ(send(a_, "hello ").value, 6);
  EXPECT_EQ(send(a_, "world").value, 5);
  EXPECT_EQ(recv(b_, 4).value, 4);
  EXPECT_EQ(BytesView(buffer_).text(), "hell");
  EXPECT_EQ(read(b_), "o world");
  EXPECT_TRUE(recv(b_).would_block());
}

TEST_P(KernelStream, DirectionsAreIndependent) {
  const std::size_t sent = fill(kernel(), a_.get());
  EXPECT_GT(sent, 0u);
  EXPECT_EQ(send(b_, "back").value, 4);
  EXPECT_EQ(read(a_), "back");
}

TEST_P(KernelStream, FullPipeCutsShortThenRefusesAndLosesNothing) {
  std::string all;
  for (int i = 0; all.size() < (32u << 20); ++i) all += std::to_string(i) + ',';
  std::size_t sent = 0;
  bool short_count = false;
  bool refused = false;
  std::string received;
  while (received.size() < all.size()) {
    const BytesView rest = BytesView(all).drop(sent);
    if (!rest.empty()) {
      const IoResult result = send(a_, rest);
      if (result.ok()) {
        short_count |= result.count() < rest.size();
        sent += result.count();
      } else {
        ASSERT_TRUE(result.would_block()) << result.code().message();
        refused = true;
      }
      if (result.ok()) continue;
    }
    received += read(b_);
  }
  EXPECT_TRUE(short_count);
  EXPECT_TRUE(refused);
  EXPECT_TRUE(received == all);
}

TEST_P(KernelStream, PiecesAreSentAsOne) {
  const std::array<BytesView, 4> pieces = {"one ", BytesView(), "two ", "three"};
  EXPECT_EQ(kernel().send_pieces(a_.get(), pieces).value, 13);
  EXPECT_EQ(read(b_), "one two three");
}

TEST_P(KernelStream, NoMoreThanTheLimitOfPiecesIsTaken) {
  const std::vector<BytesView> pieces(Kernel::kMaxPieces + 10, BytesView("ab"));
  const IoResult result = kernel().send_pieces(a_.get(), pieces);
  EXPECT_EQ(result.count(), 2 * Kernel::kMaxPieces);
}

TEST_P(KernelStream, ShutdownOfWritingIsTheEndBehindTheData) {
  send(a_, "last words");
  shut(a_, SHUT_WR);
  EXPECT_EQ(recv(b_).value, 10);
  EXPECT_EQ(recv(b_).value, 0);
  EXPECT_TRUE(recv(b_).ok());
  EXPECT_EQ(recv(b_).value, 0) << "the end must stay the end";
}

TEST_P(KernelStream, OtherDirectionLivesOnAfterAHalfClose) {
  shut(a_, SHUT_WR);
  EXPECT_EQ(recv(b_).value, 0);
  EXPECT_EQ(send(b_, "still here").value, 10);
  EXPECT_EQ(read(a_), "still here");
  EXPECT_EQ(error_of(send(a_, "x")), EPIPE);
  shut(b_, SHUT_WR);
  EXPECT_EQ(recv(a_).value, 0);
}

TEST_P(KernelTcp, ConnectionIsOverWhenBothSaidTheirEnd) {
  Address address;
  send(a_, "unread");
  shut(a_, SHUT_WR);
  shut(a_, SHUT_WR);
  EXPECT_TRUE(kernel().peer_address(a_.get(), address).ok());
  EXPECT_TRUE(kernel().peer_address(b_.get(), address).ok());
  shut(b_, SHUT_WR);
  for (const Socket* each : {&a_, &b_}) {
    EXPECT_EQ(error_of(kernel().peer_address(each->get(), address)), ENOTCONN);
    EXPECT_EQ(error_of(kernel().shutdown(each->get(), SHUT_WR)), ENOTCONN);
    EXPECT_EQ(error_of(kernel().shutdown(each->get(), SHUT_RD)), ENOTCONN);
    EXPECT_EQ(error_of(kernel().connect(each->get(), address)), EISCONN);
  }
  EXPECT_EQ(error_of(send(a_, "x")), EPIPE);
  b_.reset();
  EXPECT_EQ(recv(a_).value, 0) << "nobody is left to be reset";
  int error = 0;
  ASSERT_TRUE(kernel().get_option(a_.get(), SOL_SOCKET, SO_ERROR, error).ok());
  EXPECT_EQ(error, 0);
}

TEST_P(KernelTcp, ConnectionIsOverWhenTheLastOfTwoEndsSaysSo) {
  Address address;
  a_.reset();
  EXPECT_TRUE(kernel().peer_address(b_.get(), address).ok());
  shut(b_, SHUT_WR);
  EXPECT_EQ(error_of(kernel().peer_address(b_.get(), address)), ENOTCONN);
  EXPECT_EQ(recv(b_).value, 0);
}

TEST_P(KernelTcp, ConnectionIsNotOverWhileAnEndWaitsBehindData) {
  Address address;
  fill(kernel(), a_.get());
  shut(a_, SHUT_WR);
  shut(b_, SHUT_WR);
  for (const Socket* each : {&a_, &b_}) {
    EXPECT_TRUE(kernel().peer_address(each->get(), address).ok());
    EXPECT_TRUE(kernel().shutdown(each->get(), SHUT_WR).ok());
  }
  run_until([&] { return read(b_).empty() && recv(b_).value == 0; });
  for (const Socket* each : {&a_, &b_}) {
    EXPECT_EQ(error_of(kernel().peer_address(each->get(), address)), ENOTCONN);
  }
}

TEST_P(KernelStream, CloseDeliversWhatWasSentThenTheEnd) {
  send(a_, "bye");
  a_.reset();
  EXPECT_EQ(recv(b_).value, 3);
  const IoResult end = recv(b_);
  EXPECT_TRUE(end.ok());
  EXPECT_EQ(end.value, 0);
}

TEST_P(KernelStream, WritingToAClosedPeerEndsInEpipe) {
  a_.reset();
  if (is_unix()) {
    EXPECT_EQ(error_of(send(b_, "x")), EPIPE);
  } else {
    // The first one is answered by a RST.
    EXPECT_EQ(send(b_, "x").value, 1);
    EXPECT_EQ(error_of(send(b_, "x")), EPIPE);
  }
  EXPECT_EQ(error_of(send(b_, "x")), EPIPE);
  EXPECT_EQ(recv(b_).value, 0);
}

TEST_P(KernelStream, ClosingWithUnreadInputResetsThePeer) {
  send(b_, "never read");
  a_.reset();
  EXPECT_EQ(error_of(recv(b_)), ECONNRESET);
  EXPECT_EQ(recv(b_).value, 0) << "the error is reported once";
  EXPECT_EQ(error_of(send(b_, "x")), EPIPE);
}

TEST_P(KernelStream, SendAfterTheResetOfAUnixSocketLeavesTheErrorToRecv) {
  if (!is_unix()) GTEST_SKIP() << "TCP reports it to whoever comes first";
  send(b_, "never read");
  a_.reset();
  EXPECT_EQ(error_of(send(b_, "x")), EPIPE);
  EXPECT_EQ(error_of(send(b_, "x")), EPIPE);
  EXPECT_EQ(error_of(recv(b_)), ECONNRESET);
  EXPECT_EQ(recv(b_).value, 0);
}

TEST_P(KernelTcp, ResetIsAnErrorOnce) {
  RawPeer(kernel(), std::move(a_)).reset();
  EXPECT_EQ(error_of(recv(b_)), ECONNRESET);
  EXPECT_EQ(recv(b_).value, 0);
  EXPECT_EQ(error_of(send(b_, "x")), EPIPE);
  Address address;
  EXPECT_EQ(error_of(kernel().peer_address(b_.get(), address)), ENOTCONN);
  EXPECT_EQ(error_of(kernel().shutdown(b_.get(), SHUT_WR)), ENOTCONN);
}

TEST_P(KernelTcp, ResetIsReportedToASenderToo) {
  RawPeer(kernel(), std::move(a_)).reset();
  EXPECT_EQ(error_of(send(b_, "x")), ECONNRESET);
  EXPECT_EQ(error_of(send(b_, "x")), EPIPE);
}

TEST_P(KernelTcp, DataBeforeAResetCanStillBeRead) {
  send(a_, "data");
  RawPeer(kernel(), std::move(a_)).reset();
  EXPECT_EQ(recv(b_).value, 4);
  EXPECT_EQ(error_of(recv(b_)), ECONNRESET);
}

TEST_P(KernelTcp, ResetTakesWithItWhatTheReaderHasNoPlaceFor) {
  const std::size_t sent = fill(kernel(), a_.get());
  send(b_, "never read");
  a_.reset();
  IoResult end;
  const std::size_t received = count_rest(b_, end);
  EXPECT_LT(received, sent);
  EXPECT_GT(received, 0u);
  EXPECT_EQ(error_of(end), ECONNRESET);
}

TEST_P(KernelTcp, ResetBehindAnEndThatCouldNotArriveIsAReset) {
  const std::size_t sent = fill(kernel(), a_.get());
  shut(a_, SHUT_WR);
  send(b_, "never read");
  a_.reset();
  IoResult end;
  EXPECT_LT(count_rest(b_, end), sent);
  EXPECT_EQ(error_of(end), ECONNRESET);
}

TEST_P(KernelTcp, LateDataCostsAClosedEndWhatItHasNotSent) {
  const std::size_t sent = fill(kernel(), a_.get());
  a_.reset();
  EXPECT_EQ(send(b_, "late").value, 4);
  IoResult end;
  const std::size_t received = count_rest(b_, end);
  EXPECT_LT(received, sent);
  EXPECT_GT(received, 0u);
  EXPECT_EQ(error_of(end), ECONNRESET);
  EXPECT_EQ(error_of(send(b_, "x")), EPIPE);
}

TEST_P(KernelTcp, LateDataTakesNothingFromWhatHasArrivedWithItsEnd) {
  send(a_, "all");
  a_.reset();
  EXPECT_EQ(send(b_, "late").value, 4);
  IoResult end;
  EXPECT_EQ(count_rest(b_, end), 3u);
  EXPECT_EQ(end.value, 0);
  int error = 0;
  ASSERT_TRUE(kernel().get_option(b_.get(), SOL_SOCKET, SO_ERROR, error).ok());
  EXPECT_EQ(error, EPIPE);
}

TEST_P(KernelTcp, DataThatAnEndShutBothWaysGetsResetsBothEnds) {
  const std::size_t sent = fill(kernel(), a_.get());
  shut(a_, SHUT_RDWR);
  EXPECT_EQ(send(b_, "late").value, 4);
  IoResult end;
  EXPECT_LT(count_rest(b_, end), sent);
  EXPECT_EQ(error_of(end), ECONNRESET);
  EXPECT_EQ(error_of(recv(a_)), ECONNRESET);
}

TEST_P(KernelStream, PendingErrorIsReadAndClearedByItsOption) {
  send(b_, "never read");
  a_.reset();
  int error = 0;
  ASSERT_TRUE(kernel().get_option(b_.get(), SOL_SOCKET, SO_ERROR, error).ok());
  EXPECT_EQ(error, ECONNRESET);
  ASSERT_TRUE(kernel().get_option(b_.get(), SOL_SOCKET, SO_ERROR, error).ok());
  EXPECT_EQ(error, 0);
}

TEST_P(KernelStream, ShutdownOfReadingIsTheEndHere) {
  shut(b_, SHUT_RD);
  EXPECT_EQ(recv(b_).value, 0);
  if (is_unix()) {
    EXPECT_EQ(error_of(send(a_, "x")), EPIPE);
  } else {
    EXPECT_EQ(send(a_, "x").value, 1);  // TCP has no way to tell the peer
    EXPECT_EQ(read(b_), "x");
  }
}

TEST_P(KernelStream, AddressesOfTheTwoEndsMatch) {
  Address a_local;
  Address a_peer;
  Address b_local;
  Address b_peer;
  ASSERT_TRUE(kernel().local_address(a_.get(), a_local).ok());
  ASSERT_TRUE(kernel().peer_address(a_.get(), a_peer).ok());
  ASSERT_TRUE(kernel().local_address(b_.get(), b_local).ok());
  ASSERT_TRUE(kernel().peer_address(b_.get(), b_peer).ok());
  EXPECT_EQ(a_local, b_peer);
  EXPECT_EQ(a_peer, b_local);
  EXPECT_EQ(a_local.family(), family());
  if (!is_unix()) {
    EXPECT_NE(a_local.port(), 0);
    EXPECT_NE(a_local, b_local);
  }
}

TEST_P(KernelStream, SocketTellsWhatItIs) {
  int value = -1;
  ASSERT_TRUE(kernel().get_option(a_.get(), SOL_SOCKET, SO_TYPE, value).ok());
  EXPECT_EQ(value, SOCK_STREAM);
  ASSERT_TRUE(kernel().get_option(a_.get(), SOL_SOCKET, SO_DOMAIN, value).ok());
  EXPECT_EQ(value, family());
  ASSERT_TRUE(kernel().get_option(a_.get(), SOL_SOCKET, SO_ACCEPTCONN, value).ok());
  EXPECT_EQ(value, 0);
  ASSERT_TRUE(kernel().get_option(a_.get(), SOL_SOCKET, SO_ERROR, value).ok());
  EXPECT_EQ(value, 0);
}

TEST_P(KernelStream, ConnectingAConnectedSocketIsRefused) {
  Address peer;
  ASSERT_TRUE(kernel().peer_address(a_.get(), peer).ok());
  if (is_unix()) peer = unused_unix_address();
  const RawListener elsewhere(kernel(), is_unix() ? peer : peer.with_port(0));
  kernel().connect(a_.get(), elsewhere.address());  // may tell of the first connect's success
  EXPECT_EQ(error_of(kernel().connect(a_.get(), elsewhere.address())), EISCONN);
}

TEST_P(KernelStream, EveryCallKnowsAClosedDescriptor) {
  const int fd = a_.get();
  a_.reset();
  Address address;
  int value = 0;
  std::array<std::byte, 10> chunk;
  const std::array<BytesView, 1> pieces = {"x"};
  EXPECT_EQ(error_of(kernel().recv(fd, chunk)), EBADF);
  EXPECT_EQ(error_of(kernel().send(fd, "x")), EBADF);
  EXPECT_EQ(error_of(kernel().send_pieces(fd, pieces)), EBADF);
  EXPECT_EQ(error_of(kernel().bind(fd, Address::loopback(0))), EBADF);
  EXPECT_EQ(error_of(kernel().listen(fd, 1)), EBADF);
  EXPECT_EQ(error_of(kernel().accept(fd, address)), EBADF);
  EXPECT_EQ(error_of(kernel().connect(fd, Address::loopback(1))), EBADF);
  EXPECT_EQ(error_of(kernel().shutdown(fd, SHUT_WR)), EBADF);
  EXPECT_EQ(error_of(kernel().local_address(fd, address)), EBADF);
  EXPECT_EQ(error_of(kernel().peer_address(fd, address)), EBADF);
  EXPECT_EQ(error_of(kernel().set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1)), EBADF);
  EXPECT_EQ(error_of(kernel().get_option(fd, SOL_SOCKET, SO_ERROR, value)), EBADF);
  EXPECT_EQ(error_of(kernel().adopt(fd)), EBADF);
  EXPECT_EQ(error_of(kernel().close(fd)), EBADF);
}

TEST_P(KernelStream, LowestFreeDescriptorIsUsedNext) {
  const int fd = a_.get();
  const IoResult before = kernel().socket(family(), SOCK_STREAM, 0);
  const Socket above(kernel(), before.fd());
  a_.reset();
  const Socket again(kernel(), kernel().socket(family(), SOCK_STREAM, 0).fd());
  EXPECT_EQ(again.get(), fd);
}

INSTANTIATE_TEST_SUITE_P(Worlds, KernelStream,
                         ::testing::Combine(::testing::Values(Where::asio, Where::sim),
                                            ::testing::Values(AF_INET, AF_INET6, AF_UNIX)),
                         param_name);
INSTANTIATE_TEST_SUITE_P(Network, KernelStream,
                         ::testing::Combine(::testing::Values(Where::network),
                                            ::testing::Values(AF_INET, AF_INET6)),
                         param_name);
INSTANTIATE_TEST_SUITE_P(Worlds, KernelTcp,
                         ::testing::Combine(::testing::Values(Where::asio, Where::sim,
                                                              Where::network),
                                            ::testing::Values(AF_INET, AF_INET6)),
                         param_name);

}  // namespace
}  // namespace ferry::test
