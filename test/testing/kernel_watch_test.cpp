// What FdWatch promises, in both worlds.

#include "kernel_suite.h"
#include "watch_kind.h"

#include <array>
#include <cerrno>

namespace ferry::test {
namespace {

using Arm = FdWatch::Arm;

class KernelWatch : public KernelTest {
 protected:
  void SetUp() override {
    KernelTest::SetUp();
    auto pair = stream_pair(kernel());
    near_ = std::move(pair.first);
    far_ = std::move(pair.second);
  }
  void TearDown() override {
    near_.reset();
    far_.reset();
    KernelTest::TearDown();
  }
  int near() const { return near_.get(); }
  void far_sends(BytesView bytes) { ASSERT_TRUE(kernel().send(far_.get(), bytes).ok()); }

  Socket near_;
  Socket far_;
  Ear ear_;
};

TEST_P(KernelWatch, ArrivalAfterWouldBlockIsReportedOnce) {
  const FdWatchPtr w = watch(kernel(), near(), ear_);
  read_dry(kernel(), near());
  w->arm(Direction::read, Arm::after_would_block);
  turns();
  EXPECT_EQ(ear_.readable, 0);
  far_sends("one");
  EXPECT_EQ(ear_.readable, 0) << "called from inside send";
  turns();
  EXPECT_EQ(ear_.readable, 1);
  far_sends("two");
  turns();
  EXPECT_EQ(ear_.readable, 1) << "called again without being armed";
  EXPECT_EQ(read_dry(kernel(), near()), "onetwo");
}

TEST_P(KernelWatch, EachArmingIsAnsweredByOneCall) {
  const FdWatchPtr w = watch(kernel(), near(), ear_);
  for (int round = 1; round <= 5; ++round) {
    read_dry(kernel(), near());
    w->arm(Direction::read, Arm::after_would_block);
    w->arm(Direction::read, Arm::after_would_block);
    far_sends("x");
    turns();
    EXPECT_EQ(ear_.readable, round);
  }
}

TEST_P(KernelWatch, IfReadyReportsWhatIsThereAlready) {
  far_sends("early");
  const FdWatchPtr w = watch(kernel(), near(), ear_);
  turns();
  w->arm(Direction::read, Arm::if_ready);
  EXPECT_EQ(ear_.readable, 0) << "called from inside arm";
  turns();
  EXPECT_EQ(ear_.readable, 1);
  // Nothing was read: armed anew, it says so again.
  w->arm(Direction::read, Arm::if_ready);
  turns();
  EXPECT_EQ(ear_.readable, 2);
}

TEST_P(KernelWatch, IfReadyOnAQuietSocketWaitsForTheArrival) {
  const FdWatchPtr w = watch(kernel(), near(), ear_);
  w->arm(Direction::read, Arm::if_ready);
  turns();
  EXPECT_EQ(ear_.readable, 0);
  far_sends("late");
  turns();
  EXPECT_EQ(ear_.readable, 1);
}

TEST_P(KernelWatch, IfReadyHelpsAnArmingThatMissedItsEdge) {
  const FdWatchPtr w = watch(kernel(), near(), ear_);
  read_dry(kernel(), near());
  w->arm(Direction::read, Arm::after_would_block);
  far_sends("x");
  w->disarm(Direction::read);
  turns();
  EXPECT_EQ(ear_.readable, 0);
  w->arm(Direction::read, Arm::if_ready);
  turns();
  EXPECT_EQ(ear_.readable, 1);
}

TEST_P(KernelWatch, EdgeThatFindsItUnarmedIsGone) {
  if (!simulated() && watch_is_async_wait()) GTEST_SKIP() << "each arming asks the reactor";
  const FdWatchPtr w = watch(kernel(), near(), ear_);
  read_dry(kernel(), near());
  const std::size_t sent = fill(kernel(), near());
  w->arm(Direction::read, Arm::after_would_block);
  w->arm(Direction::write, Arm::after_would_block);
  turns();
  EXPECT_EQ(ear_.readable + ear_.writable, 0);
  w->disarm(Direction::read);
  w->disarm(Direction::write);
  // Both directions get an edge, and are looked at.
  far_sends("x");
  for (std::size_t received = 0; received < sent;) {
    received += read_dry(kernel(), far_.get()).size();
    turns(1);
  }
  turns();
  w->arm(Direction::read, Arm::after_would_block);
  w->arm(Direction::write, Arm::after_would_block);
  turns();
  EXPECT_EQ(ear_.readable + ear_.writable, 0) << "armed without having seen EAGAIN";
  far_sends("y");
  turns();
  EXPECT_EQ(ear_.readable, 1);
}

TEST_P(KernelWatch, EdgeSinceTheLastLookAnswersAnArming) {
  const FdWatchPtr w = watch(kernel(), near(), ear_);
  turns();
  far_sends("x");
  w->arm(Direction::read, Arm::after_would_block);
  turns();
  EXPECT_EQ(ear_.readable, 1);
}

TEST_P(KernelWatch, FirstArmingForWritingAsksAfresh) {
  const FdWatchPtr w = watch(kernel(), near(), ear_);
  turns();
  w->arm(Direction::write, Arm::after_would_block);
  turns();
  EXPECT_EQ(ear_.writable, 1);
}

TEST_P(KernelWatch, ShortReadIsAsGoodAsWouldBlock) {
  const FdWatchPtr w = watch(kernel(), near(), ear_);
  std::array<std::byte, 100> chunk;
  std::string got;
  ear_.then_readable = [&] {
    const IoResult result = kernel().recv(near(), chunk);
    ASSERT_TRUE(result.ok());
    got.append(reinterpret_cast<const char*>(chunk.data()), result.count());
    w->arm(Direction::read, Arm::after_would_block);
  };
  w->arm(Direction::read, Arm::if_ready);
  for (const char* piece : {"a", "b", "c", "d"}) {
    far_sends(piece);
    turns();
  }
  EXPECT_EQ(got, "abcd");
}

TEST_P(KernelWatch, DataAndFinThatComeTogetherAreBothSeen) {
  const FdWatchPtr w = watch(kernel(), near(), ear_);
  std::array<std::byte, 100> chunk;
  std::string got;
  bool eof = false;
  ear_.then_readable = [&] {
    for (;;) {
      const IoResult result = kernel().recv(near(), chunk);
      if (!result.ok()) break;
      eof = result.count() == 0;
      got.append(reinterpret_cast<const char*>(chunk.data()), result.count());
      // As the contract allows: a short read without `drain` means that nothing is left.
      if (eof || !ear_.drain) break;
    }
    if (!eof) w->arm(Direction::read, Arm::after_would_block);
  };
  read_dry(kernel(), near());
  w->arm(Direction::read, Arm::after_would_block);
  far_sends("last");
  ASSERT_TRUE(kernel().shutdown(far_.get(), SHUT_WR).ok());
  turns();
  EXPECT_EQ(got, "last");
  EXPECT_TRUE(eof);
}

TEST_P(KernelWatch, FinAloneIsAnEdge) {
  const FdWatchPtr w = watch(kernel(), near(), ear_);
  far_sends("x");
  read_dry(kernel(), near());
  w->arm(Direction::read, Arm::after_would_block);
  turns();
  EXPECT_EQ(ear_.readable, 0);
  ASSERT_TRUE(kernel().shutdown(far_.get(), SHUT_WR).ok());
  turns();
  EXPECT_EQ(ear_.readable, 1);
}

TEST_P(KernelWatch, ResetWakesBothDirections) {
  const FdWatchPtr w = watch(kernel(), near(), ear_);
  fill(kernel(), near());
  read_dry(kernel(), near());
  w->arm(Direction::read, Arm::after_would_block);
  w->arm(Direction::write, Arm::after_would_block);
  turns();
  EXPECT_EQ(ear_.readable + ear_.writable, 0);
  RawPeer(kernel(), std::move(far_)).reset();
  turns();
  EXPECT_EQ(ear_.readable, 1);
  EXPECT_EQ(ear_.writable, 1);
}

TEST_P(KernelWatch, WriterIsToldWhenTheReaderMadeRoom) {
  const FdWatchPtr w = watch(kernel(), near(), ear_);
  const std::size_t sent = fill(kernel(), near());
  w->arm(Direction::write, Arm::after_would_block);
  turns();
  EXPECT_EQ(ear_.writable, 0);
  std::size_t received = 0;
  while (received < sent) {
    received += read_dry(kernel(), far_.get()).size();
    turns(1);
  }
  turns();
  EXPECT_EQ(ear_.writable, 1);
  EXPECT_GT(kernel().send(near(), "more").value, 0);
}

TEST_P(KernelWatch, IfReadyOnAFullSocketWaitsForRoomAlsoIfNoSendWasRefused) {
  const FdWatchPtr w = watch(kernel(), near(), ear_);
  // Nearly full, and no send has said so.
  const std::size_t room = fill(kernel(), near());
  read_dry(kernel(), far_.get());
  std::size_t sent = 0;
  const std::string chunk(1000, 'c');
  while (sent + 2 * chunk.size() < room) {
    const IoResult result = kernel().send(near(), chunk);
    if (!result.ok()) break;
    sent += result.count();
  }
  w->arm(Direction::write, Arm::if_ready);
  for (int round = 0; round < 100 && ear_.writable == 0; ++round) {
    turns(2);
    read_dry(kernel(), far_.get());
  }
  turns();
  EXPECT_EQ(ear_.writable, 1);
}

TEST_P(KernelWatch, ShortSendIsAsGoodAsWouldBlock) {
  const FdWatchPtr w = watch(kernel(), near(), ear_);
  const std::string much(64 << 20, 'm');
  const IoResult result = kernel().send(near(), much);
  ASSERT_TRUE(result.ok());
  ASSERT_LT(result.count(), much.size());
  w->arm(Direction::write, Arm::after_would_block);
  std::size_t received = 0;
  while (received < result.count()) {
    received += read_dry(kernel(), far_.get()).size();
    turns(1);
  }
  turns();
  EXPECT_EQ(ear_.writable, 1);
}

TEST_P(KernelWatch, WritableIfReadyComesAtOnceOnAnEmptySocket) {
  const FdWatchPtr w = watch(kernel(), near(), ear_);
  turns();
  w->arm(Direction::write, Arm::if_ready);
  EXPECT_EQ(ear_.writable, 0) << "called from inside arm";
  turns();
  EXPECT_EQ(ear_.writable, 1);
}

TEST_P(KernelWatch, DisarmedDirectionIsQuietAndTheOtherIsNot) {
  const FdWatchPtr w = watch(kernel(), near(), ear_);
  w->arm(Direction::read, Arm::if_ready);
  w->arm(Direction::write, Arm::if_ready);
  w->disarm(Direction::read);
  far_sends("x");
  turns();
  EXPECT_EQ(ear_.readable, 0);
  EXPECT_EQ(ear_.writable, 1);
}

TEST_P(KernelWatch, DisarmInAnotherListenersCallComesInTime) {
  Ear other;
  const FdWatchPtr near_watch = watch(kernel(), near(), ear_);
  const FdWatchPtr far_watch = watch(kernel(), far_.get(), other);
  ear_.then_readable = [&] { far_watch->disarm(Direction::read); };
  other.then_readable = [&] { near_watch->disarm(Direction::read); };
  near_watch->arm(Direction::read, Arm::if_ready);
  far_watch->arm(Direction::read, Arm::if_ready);
  far_sends("x");
  ASSERT_TRUE(kernel().send(near(), "y").ok());
  turns();
  EXPECT_EQ(ear_.readable + other.readable, 1);
}

TEST_P(KernelWatch, CloseInAnotherListenersCallComesInTime) {
  Ear other;
  FdWatchPtr near_watch = watch(kernel(), near(), ear_);
  FdWatchPtr far_watch = watch(kernel(), far_.get(), other);
  ear_.then_readable = [&] { far_watch.reset(); };
  other.then_readable = [&] { near_watch.reset(); };
  near_watch->arm(Direction::read, Arm::if_ready);
  far_watch->arm(Direction::read, Arm::if_ready);
  far_sends("x");
  ASSERT_TRUE(kernel().send(near(), "y").ok());
  turns();
  EXPECT_EQ(ear_.readable + other.readable, 1);
}

TEST_P(KernelWatch, ListenerMayCloseItsOwnWatchAndSocket) {
  FdWatchPtr w = watch(kernel(), near(), ear_);
  ear_.then_readable = [&] {
    w.reset();
    near_.reset();
  };
  w->arm(Direction::write, Arm::after_would_block);
  w->arm(Direction::read, Arm::if_ready);
  far_sends("x");
  turns();
  EXPECT_EQ(ear_.readable, 1);
  EXPECT_FALSE(near_);
}

TEST_P(KernelWatch, SuccessorOfAClosedDescriptorGetsOnlyItsOwnBytes) {
  Ear other;
  Ear fresh;
  Socket fresh_near;
  Socket fresh_far;
  FdWatchPtr near_watch = watch(kernel(), near(), ear_);
  FdWatchPtr far_watch = watch(kernel(), far_.get(), other);
  FdWatchPtr fresh_watch;
  std::string got;
  fresh.then_readable = [&] {
    got += read_dry(kernel(), fresh_near.get());
    fresh_watch->arm(Direction::read, Arm::after_would_block);
  };
  // Whoever is called first puts new sockets in the other one's place.
  const auto replace = [&](FdWatchPtr& old_watch, Socket& old) {
    const int fd = old.get();
    old_watch.reset();
    old.reset();
    std::tie(fresh_near, fresh_far) = stream_pair(kernel());
    if (fresh_near.get() != fd) std::swap(fresh_near, fresh_far);
    EXPECT_EQ(fresh_near.get(), fd);
    fresh_watch = watch(kernel(), fd, fresh);
    EXPECT_EQ(read_dry(kernel(), fd), "");
    fresh_watch->arm(Direction::read, Arm::after_would_block);
  };
  ear_.then_readable = [&] { replace(far_watch, far_); };
  other.then_readable = [&] { replace(near_watch, near_); };
  near_watch->arm(Direction::read, Arm::if_ready);
  far_watch->arm(Direction::read, Arm::if_ready);
  far_sends("x");
  ASSERT_TRUE(kernel().send(near(), "y").ok());
  turns();
  EXPECT_EQ(ear_.readable + other.readable, 1);
  if (simulated()) {
    EXPECT_EQ(fresh.readable, 0);  // Asio may call once in vain here
  }
  EXPECT_EQ(got, "");
  ASSERT_TRUE(kernel().send(fresh_far.get(), "z").ok());
  turns();
  EXPECT_EQ(got, "z");
}

TEST_P(KernelWatch, ListeningSocketIsReadableWhenSomebodyConnects) {
  RawListener listener(kernel());
  const FdWatchPtr w = watch(kernel(), listener.fd(), ear_);
  EXPECT_FALSE(listener.accept());
  w->arm(Direction::read, Arm::after_would_block);
  turns();
  EXPECT_EQ(ear_.readable, 0);
  const RawPeer client = RawPeer::connect(kernel(), listener.address());
  turns();
  EXPECT_EQ(ear_.readable, 1);
  EXPECT_TRUE(listener.accept());
}

TEST_P(KernelWatch, DescriptorThatIsNotOpenCannotBeWatched) {
  std::error_code error;
  EXPECT_FALSE(kernel().watch(987654, ear_, error));
  EXPECT_EQ(error, std::errc::bad_file_descriptor);
}

INSTANTIATE_TEST_SUITE_P(Worlds, KernelWatch, ::testing::ValuesIn(kWorlds), world_name);

}  // namespace
}  // namespace ferry::test
