// Pipes and splicing by plain calls of the kernel: both worlds must say the same.

#include "kernel_suite.h"

#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <csignal>

namespace ferry::test {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kPages = 16;

class KernelPipe : public KernelTest {
 protected:
  void SetUp() override {
    KernelTest::SetUp();
    int ends[2];
    ASSERT_TRUE(kernel().pipe(ends[0], ends[1]).ok());
    reading_ = Socket(kernel(), ends[0]);
    writing_ = Socket(kernel(), ends[1]);
    // Linux's default, but a user who has many pipes gets less.
    ASSERT_EQ(kernel().set_pipe_size(ends[1], kPages * kPage).count(), kPages * kPage);
  }
  void TearDown() override {
    reading_.reset();
    writing_.reset();
    KernelTest::TearDown();
  }
  IoResult read(std::size_t size) {
    buffer_.resize(size);
    return kernel().read(reading_.get(), buffer_);
  }
  IoResult write(BytesView bytes) {
    return kernel().write_pieces(writing_.get(), std::span(&bytes, 1));
  }
  IoResult write(std::size_t size) { return write(std::string(size, 'w')); }
  IoResult splice_in(const Socket& from, std::size_t count = 1000) {
    return kernel().splice_in(from.get(), writing_.get(), count);
  }
  IoResult splice_out(const Socket& to, std::size_t count = 1000) {
    return kernel().splice_out(reading_.get(), to.get(), count);
  }
  IoResult send(const Socket& socket, BytesView bytes) {
    return kernel().send(socket.get(), bytes);
  }

  Socket reading_;
  Socket writing_;
  std::vector<std::byte> buffer_;
};

TEST_P(KernelPipe, HasTwoEndsOfOneWayEach) {
  const BytesView pieces[] = {"ab", "", "c"};
  EXPECT_EQ(kernel().file_type(reading_.get()).value, S_IFIFO);
  EXPECT_TRUE(read(10).would_block());
  EXPECT_EQ(kernel().write_pieces(writing_.get(), pieces).value, 3);
  EXPECT_EQ(error_of(kernel().read(writing_.get(), buffer_)), EBADF);
  EXPECT_EQ(error_of(kernel().write_pieces(reading_.get(), pieces)), EBADF);
  EXPECT_EQ(read(10).value, 3);
  EXPECT_EQ(kernel().write_pieces(writing_.get(), pieces).value, 3);
  writing_.reset();
  EXPECT_EQ(read(10).value, 3);  // what was written before the end
  EXPECT_EQ(read(10).value, 0);
}

TEST_P(KernelPipe, WritingWhereNobodyReadsIsAnErrorAndNoSignal) {
  Ear ear;
  const FdWatchPtr watched = watch(kernel(), writing_.get(), ear);
  watched->arm(Direction::read, FdWatch::Arm::if_ready);
  turns();
  EXPECT_EQ(ear.readable, 0);
  ASSERT_TRUE(write("x").ok());
  reading_.reset();
  run_until([&] { return ear.readable == 1; });
  EXPECT_EQ(error_of(write("x")), EPIPE);
}

TEST_P(KernelPipe, IsNoSocket) {
  std::byte byte{};
  const BytesView piece = "x";
  Address address;
  int value = 0;
  for (const Socket* end : {&reading_, &writing_}) {
    const int fd = end->get();
    EXPECT_EQ(error_of(kernel().recv(fd, {&byte, 1})), ENOTSOCK);
    EXPECT_EQ(error_of(kernel().send(fd, piece)), ENOTSOCK);
    EXPECT_EQ(error_of(kernel().send_pieces(fd, std::span(&piece, 1))), ENOTSOCK);
    EXPECT_EQ(error_of(kernel().bind(fd, Address::loopback(0))), ENOTSOCK);
    EXPECT_EQ(error_of(kernel().listen(fd, 1)), ENOTSOCK);
    EXPECT_EQ(error_of(kernel().accept(fd, address)), ENOTSOCK);
    EXPECT_EQ(error_of(kernel().connect(fd, Address::loopback(1))), ENOTSOCK);
    EXPECT_EQ(error_of(kernel().shutdown(fd, SHUT_WR)), ENOTSOCK);
    EXPECT_EQ(error_of(kernel().local_address(fd, address)), ENOTSOCK);
    EXPECT_EQ(error_of(kernel().peer_address(fd, address)), ENOTSOCK);
    EXPECT_EQ(error_of(kernel().set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1)), ENOTSOCK);
    EXPECT_EQ(error_of(kernel().get_option(fd, SOL_SOCKET, SO_ERROR, value)), ENOTSOCK);
  }
  EXPECT_EQ(write("x").value, 1) << "nothing has become of it";
  EXPECT_EQ(read(10).value, 1);
}

TEST_P(KernelPipe, SizeIsAPowerOfTwoAndNotLessThanIsThere) {
  EXPECT_EQ(kernel().set_pipe_size(writing_.get(), 1).count(), kPage);
  EXPECT_EQ(kernel().set_pipe_size(reading_.get(), kPage + 1).count(), 2 * kPage);
  EXPECT_EQ(write(3 * kPage).count(), 2 * kPage);
  EXPECT_EQ(error_of(kernel().set_pipe_size(writing_.get(), kPage)), EBUSY);
  EXPECT_EQ(kernel().set_pipe_size(writing_.get(), 4 * kPage).count(), 4 * kPage);
  EXPECT_EQ(write(3 * kPage).count(), 2 * kPage);
}

TEST_P(KernelPipe, AWriteOfAPageIsWholeOrNotAtAll) {
  ASSERT_EQ(write(15 * kPage + 1).count(), 15 * kPage + 1);
  EXPECT_TRUE(write(kPage).would_block());
  const std::string half(kPage / 2, 'h');
  const BytesView page[] = {half, half};
  EXPECT_TRUE(kernel().write_pieces(writing_.get(), page).would_block());
  EXPECT_EQ(write(kPage - 1).count(), kPage - 1);
  EXPECT_TRUE(write(1).would_block());
}

TEST_P(KernelPipe, ALongWriteIsCutShort) {
  EXPECT_EQ(write(20 * kPage).count(), kPages * kPage);
  EXPECT_TRUE(write(20 * kPage).would_block());
  EXPECT_EQ(read(kPages * kPage + 1).count(), kPages * kPage);
}

TEST_P(KernelPipe, SmallWritesShareAPage) {
  std::size_t written = 0;
  while (write(1).ok()) ++written;
  EXPECT_EQ(written, kPages * kPage);
}

TEST_P(KernelPipe, RoomComesByWholePages) {
  Ear ear;
  const FdWatchPtr watched = watch(kernel(), writing_.get(), ear);
  ASSERT_EQ(write(20 * kPage).count(), kPages * kPage);
  ASSERT_TRUE(write(1).would_block());
  watched->arm(Direction::write, FdWatch::Arm::after_would_block);
  ASSERT_EQ(read(kPage - 1).count(), kPage - 1);
  turns();
  EXPECT_EQ(ear.writable, 0);
  EXPECT_TRUE(write(1).would_block());
  ASSERT_EQ(read(1).count(), 1u);
  turns();
  EXPECT_EQ(ear.writable, 1);
  EXPECT_EQ(write(2 * kPage).count(), kPage);
}

// -- splicing

TEST_P(KernelPipe, SplicedBytesKeepTheirOrder) {
  const auto [a, b] = stream_pair(kernel());
  const auto [c, d] = stream_pair(kernel());
  EXPECT_TRUE(splice_in(b).would_block());
  EXPECT_TRUE(splice_out(c).would_block());
  send(a, "one ");
  EXPECT_EQ(splice_in(b, 3).value, 3);
  EXPECT_EQ(splice_in(b).value, 1);
  EXPECT_EQ(splice_in(b, 0).value, 0);
  write("two ");
  send(a, "three");
  EXPECT_EQ(splice_in(b).value, 5);
  EXPECT_EQ(splice_out(c, 0).value, 0);
  EXPECT_EQ(splice_out(c, 5).value, 5);
  EXPECT_EQ(splice_out(c).value, 8);
  EXPECT_EQ(read_dry(kernel(), d.get()), "one two three");
  kernel().shutdown(a.get(), SHUT_WR);
  EXPECT_EQ(splice_in(b).value, 0);
  writing_.reset();
  EXPECT_EQ(splice_out(c).value, 0);
}

TEST_P(KernelPipe, EachSplicedPieceTakesAPage) {
  const auto [a, b] = stream_pair(kernel());
  for (std::size_t i = 0; i < kPages; ++i) {
    send(a, "x");
    ASSERT_EQ(splice_in(b).value, 1);
  }
  send(a, "y");
  EXPECT_TRUE(splice_in(b).would_block());
  EXPECT_EQ(read_dry(kernel(), b.get()), "y");
  EXPECT_TRUE(write(1).would_block());
  EXPECT_EQ(read(1).value, 1);
  send(a, "z");
  EXPECT_EQ(splice_in(b).value, 1);
}

TEST_P(KernelPipe, ASpliceTakesNoMoreThanThereArePages) {
  const auto [a, b] = stream_pair(kernel(), AF_UNIX);
  for (std::size_t i = 0; i < kPages + 4; ++i) send(a, "xy");
  EXPECT_EQ(splice_in(b).count(), 2 * kPages);
  EXPECT_TRUE(splice_in(b).would_block());
  EXPECT_EQ(read_dry(kernel(), b.get()).size(), 8u);
}

TEST_P(KernelPipe, NothingIsWrittenBehindSplicedBytesInTheirPage) {
  const auto [a, b] = stream_pair(kernel());
  ASSERT_EQ(write(15 * kPage).count(), 15 * kPage);
  send(a, "x");
  ASSERT_EQ(splice_in(b).value, 1);
  EXPECT_TRUE(write(1).would_block());
}

TEST_P(KernelPipe, AFullOneIsTryAgainWhateverTheSocketHas) {
  auto [a, b] = stream_pair(kernel());
  ASSERT_EQ(write(20 * kPage).count(), kPages * kPage);
  EXPECT_TRUE(splice_in(b).would_block());
  kernel().shutdown(a.get(), SHUT_WR);
  EXPECT_TRUE(splice_in(b).would_block()) << "the end";
  EXPECT_EQ(read(20 * kPage).count(), kPages * kPage);
  EXPECT_EQ(splice_in(b).value, 0);

  auto [c, d] = stream_pair(kernel());
  ASSERT_EQ(write(20 * kPage).count(), kPages * kPage);
  RawPeer(kernel(), std::move(c)).reset();
  EXPECT_TRUE(splice_in(d).would_block()) << "an error";
  EXPECT_EQ(read(20 * kPage).count(), kPages * kPage);
  EXPECT_EQ(error_of(splice_in(d)), ECONNRESET);
  EXPECT_EQ(splice_in(d).value, 0);
}

TEST_P(KernelPipe, OneThatNobodyReadsIsAnErrorWhateverTheSocketHas) {
  const auto [a, b] = stream_pair(kernel());
  reading_.reset();
  const auto before =
      ::signal(SIGPIPE, SIG_IGN);  // who splices has both ends, so nobody asks for it
  EXPECT_EQ(error_of(splice_in(b)), EPIPE);
  send(a, "x");
  EXPECT_EQ(error_of(splice_in(b)), EPIPE);
  ::signal(SIGPIPE, before);
  EXPECT_EQ(read_dry(kernel(), b.get()), "x");
}

TEST_P(KernelPipe, AnEmptyOneIsToldBeforeWhatTheSocketSays) {
  const auto [a, b] = stream_pair(kernel());
  kernel().shutdown(a.get(), SHUT_WR);
  EXPECT_TRUE(splice_out(a).would_block());
  write("x");
  EXPECT_EQ(error_of(splice_out(a)), EPIPE);
  fill(kernel(), b.get());
  EXPECT_TRUE(splice_out(b).would_block());
  EXPECT_EQ(read(10).value, 1) << "it is still there";
}

TEST_P(KernelPipe, SplicingNeedsTheRightEndOfAPipeAndASocket) {
  auto [a, b] = stream_pair(kernel());
  const int in = reading_.get();
  const int out = writing_.get();
  EXPECT_EQ(error_of(kernel().splice_out(out, a.get(), 1)), EBADF);
  EXPECT_EQ(error_of(kernel().splice_in(a.get(), in, 1)), EBADF);
  EXPECT_EQ(error_of(kernel().splice_in(a.get(), b.get(), 1)), EINVAL);
  const Socket fresh(kernel(), kernel().socket(AF_INET, SOCK_STREAM, 0).fd());
  EXPECT_EQ(error_of(splice_in(fresh)), ENOTCONN);
  write("x");
  EXPECT_EQ(error_of(splice_out(fresh)), EPIPE);
  const int closed = a.get();
  a.reset();
  EXPECT_EQ(error_of(kernel().splice_in(closed, out, 1)), EBADF);
  EXPECT_EQ(error_of(kernel().splice_out(in, closed, 1)), EBADF);
  if (simulated()) {
    EXPECT_EQ(sim().stats().bad_descriptors, 2u);
  }
}

INSTANTIATE_TEST_SUITE_P(Worlds, KernelPipe, ::testing::ValuesIn(kWorlds), world_name);

}  // namespace
}  // namespace ferry::test
