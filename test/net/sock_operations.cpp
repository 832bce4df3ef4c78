// sock_recv and its kin.

#include "stream_fixture.h"

#include <ferry/sock.h>

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <stdexcept>

namespace ferry::test {
namespace {

using namespace std::chrono_literals;

class SockOperations : public StreamFixture, public ::testing::WithParamInterface<World> {
 protected:
  World world() const override { return GetParam(); }

  void SetUp() override {
    StreamFixture::SetUp();
    auto pair = stream_pair(kernel().inner());
    a_ = std::move(pair.first);
    b_ = std::move(pair.second);
  }
  void TearDown() override {
    a_.reset();
    b_.reset();
    StreamFixture::TearDown();
  }
  int a() const { return a_.get(); }
  int b() const { return b_.get(); }
  template <class T>
  void wait(const Future<T>& future) {
    run_until([&] { return future.done(); });
  }
  template <class T>
  std::error_code error_of(const Future<T>& future) {
    wait(future);
    try {
      if (future.exception()) std::rethrow_exception(future.exception());
    } catch (const IoError& error) {
      return error.code();
    }
    return {};
  }
  void expect_nothing_waits() {
    EXPECT_EQ(loop().stats().watches, 0u);
    EXPECT_EQ(loop().stats().operations, 0u);
  }
  Socket bound(int type) {
    Socket socket(kernel(), kernel().socket(AF_INET, type, 0).fd());
    EXPECT_TRUE(kernel().bind(socket.get(), Address::loopback(0)).ok());
    return socket;
  }
  Address name_of(const Socket& socket) {
    Address address;
    EXPECT_TRUE(kernel().local_address(socket.get(), address).ok());
    return address;
  }

  Socket a_;
  Socket b_;
};
INSTANTIATE_TEST_SUITE_P(Worlds, SockOperations, ::testing::ValuesIn(kWorlds), world_name);

TEST_P(SockOperations, C0588_WhatCanBeDoneAtOnceIs) {
  EXPECT_TRUE(sock_sendall(loop(), a(), "hello").done());
  const auto got = sock_recv(loop(), b(), 100);
  wait(got);
  EXPECT_EQ(got.result().view().text(), "hello");
  ASSERT_TRUE(kernel().send(a(), "more").ok());
  settle();
  const auto now = sock_recv(loop(), b(), 2);
  ASSERT_TRUE(now.done());
  EXPECT_EQ(now.result().view().text(), "mo");
  expect_nothing_waits();
}

TEST_P(SockOperations, ReceivingWaitsAndTheEndIsEmpty) {
  const auto got = sock_recv(loop(), b(), 100);
  settle();
  EXPECT_FALSE(got.done());
  ASSERT_TRUE(kernel().send(a(), "x").ok());
  wait(got);
  EXPECT_EQ(got.result().view().text(), "x");
  const auto end = sock_recv(loop(), b(), 100);
  a_.reset();
  wait(end);
  EXPECT_TRUE(end.result().empty());
  expect_nothing_waits();
}

TEST_P(SockOperations, C0601_AMebibyteEachWayAtOnce) {
  const std::string text = pattern(1 << 20);
  const auto there = sock_sendall(loop(), a(), text);
  const auto back = sock_sendall(loop(), b(), text);
  std::string got[2];
  const int from[2] = {b(), a()};
  std::array<std::byte, 10'000> memory;
  for (int i = 0; i < 2; ++i) {
    while (got[i].size() < text.size()) {
      if (i == 0) {
        const auto part = sock_recv(loop(), from[i], 10'000);
        wait(part);
        got[i] += part.result().view().text();
      } else {
        const auto size = sock_recv_into(loop(), from[i], memory);
        wait(size);
        got[i] += BytesView(memory).first(size.result()).text();
      }
    }
    EXPECT_TRUE(got[i] == text);
  }
  wait(there);
  wait(back);
  expect_nothing_waits();
}

TEST_P(SockOperations, C0593_AfterACancelledReceiveTheNextOneGetsTheData) {
  std::array<std::byte, 10> memory;
  for (const bool into : {false, true}) {
    const auto first = sock_recv(loop(), b(), 10);
    first.cancel();
    expect_nothing_waits();
    const auto second = sock_recv(loop(), b(), 10);
    const auto third = into ? sock_recv_into(loop(), b(), memory) : Future<std::size_t>(loop());
    if (into) second.cancel();
    ASSERT_TRUE(kernel().send(a(), "data").ok());
    if (into) {
      wait(third);
      EXPECT_EQ(third.result(), 4u);
    } else {
      wait(second);
      EXPECT_EQ(second.result().view().text(), "data");
    }
  }
}

TEST_P(SockOperations, C0597_CancellingTakesEffectInTheNextCallbacks) {
  const auto waiting = sock_recv(loop(), b(), 10);
  bool heard = false;
  waiting.add_done_callback([&] { heard = true; });
  loop().call_soon([&] { waiting.cancel(); });
  tick(2);
  EXPECT_TRUE(waiting.cancelled());
  EXPECT_TRUE(heard);
  expect_nothing_waits();
}

TEST_P(SockOperations, C0594_AfterACancelledSendTheNextOneGoes) {
  const std::string filler = pattern(8 << 20);
  const auto first = sock_sendall(loop(), a(), filler);
  ASSERT_FALSE(first.done());
  first.cancel();
  expect_nothing_waits();
  const auto second = sock_sendall(loop(), a(), "end");
  std::string got;
  while (!got.ends_with("end")) {
    const auto part = sock_recv(loop(), b(), 100'000);
    wait(part);
    got += part.result().view().text();
  }
  wait(second);
  EXPECT_TRUE(got.substr(0, got.size() - 3) == filler.substr(0, got.size() - 3));
}

TEST_P(SockOperations, C0596_AfterACancelledAcceptTheNextOneAccepts) {
  RawListener listener(kernel().inner());
  const auto first = sock_accept(loop(), listener.fd());
  first.cancel();
  expect_nothing_waits();
  const auto second = sock_accept(loop(), listener.fd());
  Socket client(kernel(), kernel().socket(AF_INET, SOCK_STREAM, 0).fd());
  const auto connected = sock_connect(loop(), client.get(), listener.address());
  wait(second);
  wait(connected);
  EXPECT_FALSE(connected.exception());
  EXPECT_EQ(second.result().peer, name_of(client));
  second.result().socket.reset();
}

TEST_P(SockOperations, C0589_ARefusedConnectFailsAndLeavesNothing) {
  // Bound but not listening: it refuses, and nobody else can take its port.
  const Socket refuses = bound(SOCK_STREAM);
  const Socket client = bound(SOCK_STREAM);
  EXPECT_EQ(error_of(sock_connect(loop(), client.get(), name_of(refuses))),
            std::errc::connection_refused);
  expect_nothing_waits();
}

TEST_P(SockOperations, C0590_ConnectByNameUsesTheSocketsFamily) {
  RawListener listener(kernel().inner());
  const Socket client = bound(SOCK_STREAM);
  const auto connected = sock_connect(loop(), client.get(), "localhost", listener.address().port());
  wait(connected);
  EXPECT_FALSE(connected.exception()) << what(connected.exception());
}

TEST_P(SockOperations, C0592_ABlockingSocketIsAMisuseInDebugMode) {
  if (simulated()) GTEST_SKIP() << "none is blocking";
  loop().set_debug(true);
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  const Socket one(kernel(), pair[0]);
  const Socket other(kernel(), pair[1]);
  std::array<std::byte, 1> memory;
  Address peer;
  EXPECT_THROW(static_cast<void>(sock_recv(loop(), pair[0], 1)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(sock_recv_into(loop(), pair[0], memory)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(sock_sendall(loop(), pair[0], "x")), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(sock_connect(loop(), pair[0], Address::loopback(1))),
               std::invalid_argument);
  EXPECT_THROW(static_cast<void>(sock_accept(loop(), pair[0])), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(sock_recvfrom(loop(), pair[0], 1)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(sock_recvfrom_into(loop(), pair[0], memory, peer)),
               std::invalid_argument);
  EXPECT_THROW(static_cast<void>(sock_sendto(loop(), pair[0], "x", peer)), std::invalid_argument);
}

TEST_P(SockOperations, C0598_ClosingTheSocketDoesNotConfuseAWaitingOperation) {
  if (simulated()) GTEST_SKIP() << "a simulated descriptor has no copies";
  const auto waiting = sock_recv(loop(), b(), 10);
  const int number = b();
  b_.reset();
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
  const Socket first(kernel(), pair[0]);
  const Socket second(kernel(), pair[1]);
  ASSERT_TRUE(pair[0] == number || pair[1] == number);  // the lowest that is free
  const int far = pair[0] == number ? pair[1] : pair[0];
  const auto other = sock_recv(loop(), number, 10);
  ASSERT_TRUE(kernel().send(far, "for the other").ok());
  wait(other);
  EXPECT_FALSE(waiting.done());
  EXPECT_EQ(other.result().view().text(), "for the ot");
  ASSERT_TRUE(kernel().send(a(), "the first").ok());
  wait(waiting);
  EXPECT_EQ(waiting.result().view().text(), "the first");
}

TEST_P(SockOperations, ATransportsDescriptorIsAMisuse) {
  Link link = open(recording());
  EXPECT_THROW(static_cast<void>(sock_recv(loop(), link.transport->native_handle(), 1)),
               std::logic_error);
}

TEST_P(SockOperations, C0600_Datagrams) {
  const Socket one = bound(SOCK_DGRAM);
  const Socket two = bound(SOCK_DGRAM);
  const auto got = sock_recvfrom(loop(), two.get(), 5);
  settle();
  const auto sent = sock_sendto(loop(), one.get(), "datagram", name_of(two));
  wait(got);
  EXPECT_EQ(sent.result(), 8u);
  EXPECT_EQ(got.result().data.view().text(), "datag");
  EXPECT_EQ(got.result().peer, name_of(one));
  std::array<std::byte, 10> memory;
  Address peer;
  const auto size = sock_recvfrom_into(loop(), two.get(), memory, peer);
  wait(sock_sendto(loop(), one.get(), "", name_of(two)));
  wait(size);
  EXPECT_EQ(size.result(), 0u);
  EXPECT_EQ(peer, name_of(one));
  kernel().fail_next_send(EAGAIN);
  const auto later = sock_sendto(loop(), one.get(), "later", name_of(two));
  EXPECT_FALSE(later.done());
  wait(later);
  const auto last = sock_recvfrom(loop(), two.get(), 10);
  wait(last);
  EXPECT_EQ(last.result().data.view().text(), "later");
}

TEST_P(SockOperations, ClosingTheLoopEndsWhatWaits) {
  const auto waiting = sock_recv(loop(), b(), 10);
  loop().close();
  EXPECT_FALSE(waiting.done());
  EXPECT_EQ(loop().stats().operations, 0u);
}

// -- files

class SockSendfile : public SockOperations {
 protected:
  void SetUp() override {
    SockOperations::SetUp();
    file_ = std::tmpfile();
    ASSERT_EQ(std::fwrite(text_.data(), 1, text_.size(), file_), text_.size());
    std::rewind(file_);
    std::fflush(file_);
  }
  void TearDown() override {
    std::fclose(file_);
    SockOperations::TearDown();
  }
  int file() const { return ::fileno(file_); }
  std::uint64_t position() const {
    return static_cast<std::uint64_t>(::lseek(file(), 0, SEEK_CUR));
  }
  /// What arrives while `sending` is done, and then waits.
  std::string arrived(const Future<std::uint64_t>& sending) {
    std::string got;
    RawPeer peer(kernel().inner(), std::move(b_));
    run_until([&] {
      got += peer.read();
      return sending.done();
    });
    a_.reset();
    run_until([&] {
      got += peer.read();
      return peer.eof();
    });
    return got;
  }

  const std::string text_ = pattern(3'000'000);
  std::FILE* file_ = nullptr;
};
INSTANTIATE_TEST_SUITE_P(Asio, SockSendfile, ::testing::Values(World::asio), world_name);

TEST_P(SockSendfile, C0602_AWholeFile) {
  const auto sent = sock_sendfile(loop(), a(), file());
  EXPECT_TRUE(arrived(sent) == text_);
  EXPECT_EQ(sent.result(), text_.size());
  EXPECT_EQ(position(), text_.size());
}

TEST_P(SockSendfile, C0602_APart) {
  const auto sent = sock_sendfile(loop(), a(), file(), 1000, 2000);
  EXPECT_TRUE(arrived(sent) == text_.substr(1000, 2000));
  EXPECT_EQ(position(), 3000u);
}

TEST_P(SockSendfile, C0602_MoreThanThereIsAndNothingAtAll) {
  const auto sent = sock_sendfile(loop(), a(), file(), text_.size() - 10, 2000);
  wait(sent);
  EXPECT_EQ(sent.result(), 10u);
  const auto beyond = sock_sendfile(loop(), a(), file(), text_.size());
  wait(beyond);
  EXPECT_EQ(beyond.result(), 0u);
}

TEST_P(SockSendfile, C0604_WithoutTheSystemsHelp) {
  kernel().native_sendfile = false;
  const auto sent = sock_sendfile(loop(), a(), file(), 7, 2'500'000);
  EXPECT_TRUE(arrived(sent) == text_.substr(7, 2'500'000));
  EXPECT_EQ(sent.result(), 2'500'000u);
  EXPECT_EQ(position(), 2'500'007u);
}

TEST_P(SockSendfile, C0605_NoFallbackUnlessWanted) {
  kernel().native_sendfile = false;
  const auto sent = sock_sendfile(loop(), a(), file(), 0, {}, false);
  EXPECT_EQ(error_of(sent), std::errc::operation_not_supported);
  settle();
  EXPECT_TRUE(arrived(sent).empty());
}

TEST_P(SockSendfile, C0608_ThePeerClosesInTheMiddle) {
  ASSERT_TRUE(kernel().set_option(a(), SOL_SOCKET, SO_SNDBUF, 10'000).ok());
  ASSERT_TRUE(kernel().set_option(b(), SOL_SOCKET, SO_RCVBUF, 10'000).ok());
  const auto sent = sock_sendfile(loop(), a(), file());
  ASSERT_FALSE(sent.done());
  RawPeer peer(kernel().inner(), std::move(b_));
  peer.read(1000);
  peer.reset();
  EXPECT_TRUE(static_cast<bool>(error_of(sent)));
  EXPECT_GE(position(), 1000u);
  EXPECT_LT(position(), text_.size());
}

TEST_P(SockSendfile, APeerThatIsGoneIsNoSignal) {
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
  const Socket near(kernel(), pair[0]);
  ::close(pair[1]);
  // sendfile(2) knows no MSG_NOSIGNAL.
  EXPECT_EQ(error_of(sock_sendfile(loop(), near.get(), file())), std::errc::broken_pipe);
}

TEST_P(SockSendfile, C0609_BadArguments) {
  EXPECT_THROW(static_cast<void>(sock_sendfile(loop(), a(), file(), 0, 0)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(sock_sendfile(loop(), a(), file(), std::uint64_t{1} << 63)),
               std::invalid_argument);
  const Socket datagrams = bound(SOCK_DGRAM);
  EXPECT_THROW(static_cast<void>(sock_sendfile(loop(), datagrams.get(), file())),
               std::invalid_argument);
}

}  // namespace
}  // namespace ferry::test
