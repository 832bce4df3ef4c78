// add_reader, add_writer and their removal.

#include "loop_suite.h"
#include "socket_pair.h"

#include <ferry/fd.h>

#include <fcntl.h>
#include <unistd.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace ferry::test {
namespace {

class Descriptors : public LoopSuite {
 protected:
  void SetUp() override {
    LoopSuite::SetUp();
    std::tie(ours_, theirs_) = stream_pair(kernel());
  }
  void TearDown() override {
    if (ours_) {
      loop().remove_reader(ours_.get());
      loop().remove_writer(ours_.get());
    }
    ours_.reset();
    theirs_.reset();
    LoopSuite::TearDown();
  }

  Kernel& kernel() { return loop().kernel(); }
  int fd() const { return ours_.get(); }
  void peer_writes(std::string_view text) {
    ASSERT_EQ(kernel().send(theirs_.get(), text).count(), text.size());
  }
  /// What recv gives of at most `most` bytes.
  std::string read(std::size_t most) {
    std::string bytes(most, '\0');
    const IoResult result = kernel().recv(fd(), std::as_writable_bytes(std::span(bytes)));
    bytes.resize(result.ok() ? result.count() : 0);
    return bytes;
  }
  /// Writes until the kernel takes no more.
  void fill() {
    const std::string chunk(64 * 1024, 'f');
    while (kernel().send(fd(), chunk).ok()) {
    }
  }
  /// Empties what `fill` filled.
  void peer_reads_all() {
    std::string bytes(256 * 1024, '\0');
    while (kernel().recv(theirs_.get(), std::as_writable_bytes(std::span(bytes))).ok()) {
    }
  }

  Socket ours_;
  Socket theirs_;
};
INSTANTIATE_TEST_SUITE_P(Worlds, Descriptors, ::testing::ValuesIn(kWorlds), world_name);

class DescriptorsReal : public LoopSuite {};
INSTANTIATE_TEST_SUITE_P(World, DescriptorsReal, ::testing::Values(World::asio), world_name);

TEST_P(Descriptors, C0061_AReaderIsLevelTriggered) {
  std::vector<std::string> reads;
  loop().add_reader(fd(), [&] { reads.push_back(read(3)); });
  peer_writes("abcdef");
  run_until([&] { return reads.size() == 2; });
  tick(10);
  EXPECT_EQ(reads, (std::vector<std::string>{"abc", "def"}));
  EXPECT_EQ(loop().stats().watches, 1U);
}

TEST_P(Descriptors, AReaderIsToldOfDataThatWasThereBefore) {
  peer_writes("early");
  tick();
  std::string got;
  loop().add_reader(fd(), [&] { got += read(100); });
  run_until([&] { return got == "early"; });
}

TEST_P(Descriptors, AReaderIsToldAgainAfterEachBurst) {
  std::string got;
  loop().add_reader(fd(), [&] { got += read(100); });
  for (int i = 1; i <= 20; ++i) {
    peer_writes("burst");
    run_until([&] { return got.size() == 5U * static_cast<std::size_t>(i); });
  }
}

TEST_P(Descriptors, AnIdleReaderCostsNoTurns) {
  int called = 0;
  loop().add_reader(fd(), [&] { ++called; });
  run_for(20ms);
  EXPECT_EQ(called, 0);
}

TEST_P(Descriptors, AnIdleWriterIsCalledEachTurnAndAFullOneNotAtAll) {
  int called = 0;
  loop().add_writer(fd(), [&] { ++called; });
  run_until([&] { return called >= 5; });
  fill();
  tick(5);
  const int when_full = called;
  tick(10);
  EXPECT_EQ(called, when_full);
  peer_reads_all();
  run_until([&] { return called > when_full; });
}

TEST_P(Descriptors, C0062_AReaderSeesEofAndMayRemoveItselfInTheCallback) {
  Token token;
  int called = 0;
  bool first = false;
  bool second = true;
  loop().add_reader(fd(), [&, held = token.held()] {
    ++called;
    EXPECT_EQ(read(10), "");
    first = loop().remove_reader(fd());
    second = loop().remove_reader(fd());
    EXPECT_TRUE(token.captured());  // alive until it returns
  });
  theirs_.reset();
  run_until([&] { return called > 0; });
  tick(5);
  EXPECT_EQ(called, 1);
  EXPECT_TRUE(first);
  EXPECT_FALSE(second);
  EXPECT_FALSE(token.captured());
  EXPECT_EQ(loop().stats().watches, 0U);
}

TEST_P(Descriptors, C0064_RegisteringAgainReplacesAndFreesTheOldCallback) {
  Token token;
  int a = 0;
  int b = 0;
  loop().add_reader(fd(), [&, held = token.held()] { ++a; });
  loop().add_reader(fd(), [&] {
    ++b;
    read(100);
  });
  EXPECT_FALSE(token.captured());
  EXPECT_EQ(loop().stats().watches, 1U);
  peer_writes("x");
  run_until([&] { return b > 0; });
  tick(5);
  EXPECT_EQ(a, 0);
  EXPECT_EQ(b, 1);
}

TEST_P(Descriptors, ACallbackMayReplaceItself) {
  std::string ran;
  peer_writes("xy");
  loop().add_reader(fd(), [&] {
    loop().add_reader(fd(), [&] {
      ran += 'b';
      read(1);
      if (ran.size() == 3) loop().remove_reader(fd());
    });
    ran += 'a';
  });
  run_until([&] { return ran.size() == 3; });
  EXPECT_EQ(ran, "abb");
}

TEST_P(Descriptors, C0065_ReaderAndWriterOfOneDescriptorAreIndependent) {
  std::string got;
  int writes = 0;
  loop().add_reader(fd(), [&] { got += read(100); });
  loop().add_writer(fd(), [&] { ++writes; });
  peer_writes("x");
  run_until([&] { return got == "x" && writes > 0; });

  EXPECT_TRUE(loop().remove_reader(fd()));
  peer_writes("y");
  const int before = writes;
  run_until([&] { return writes > before + 3; });
  EXPECT_EQ(got, "x");

  loop().add_reader(fd(), [&] { got += read(100); });
  EXPECT_TRUE(loop().remove_writer(fd()));
  const int stopped = writes;
  run_until([&] { return got == "xy"; });
  peer_writes("z");
  run_until([&] { return got == "xyz"; });
  EXPECT_EQ(writes, stopped);
}

TEST_P(Descriptors, C0066_RemovingAnUnknownDescriptorIsFalse) {
  EXPECT_FALSE(loop().remove_reader(fd()));
  EXPECT_FALSE(loop().remove_writer(fd()));
  EXPECT_FALSE(loop().remove_reader(-1));
  EXPECT_FALSE(loop().remove_writer(1 << 20));
  loop().add_reader(fd(), [] {});
  EXPECT_FALSE(loop().remove_writer(fd()));
  EXPECT_TRUE(loop().remove_reader(fd()));
}

TEST_P(Descriptors, C0068_ADescriptorMayBeClosedAfterRemovalAndItsNumberUsedAgain) {
  int stray = 0;
  loop().add_reader(fd(), [&] { ++stray; });
  loop().add_writer(fd(), [&] { ++stray; });
  peer_writes("for the old one");
  loop().call_soon([&] {
    // Its readiness may have been harvested already.
    const int old = fd();
    loop().remove_reader(old);
    loop().remove_writer(old);
    const int before = stray;
    ours_.reset();
    theirs_.reset();
    std::tie(ours_, theirs_) = stream_pair(kernel());
    stray = before;
    loop().add_reader(fd(), [&] {
      read(100);
      loop().stop();
    });
    loop().call_later(2ms, [&, before] {
      EXPECT_EQ(stray, before);
      peer_writes("for the new one");
    });
  });
  loop().run_forever();
}

TEST_P(Descriptors, C0069_ManyRegistrationsNeedOneRemoval) {
  int called = 0;
  for (int i = 0; i < 50; ++i) {
    loop().add_reader(fd(), [&] { ++called; });
  }
  EXPECT_TRUE(loop().remove_reader(fd()));
  EXPECT_FALSE(loop().remove_reader(fd()));
  peer_writes("x");
  tick(10);
  EXPECT_EQ(called, 0);
  EXPECT_EQ(loop().stats().watches, 0U);
}

TEST_P(Descriptors, AddAndRemoveInTurnManyTimesMissesNothing) {
  for (int i = 0; i < 200; ++i) {
    std::string got;
    if (i % 3 == 0) peer_writes("0");
    loop().add_reader(fd(), [&] { got += read(100); });
    if (i % 3 == 1) peer_writes("1");
    loop().remove_reader(fd());
    if (i % 3 == 2) peer_writes("2");
    loop().add_reader(fd(), [&] { got += read(100); });
    run_until([&] { return got == std::to_string(i % 3); });
    loop().remove_reader(fd());
  }
}

TEST_P(Descriptors, C0070_ATransportsDescriptorIsRefusedByAllFour) {
  loop().claim_descriptor(fd());
  EXPECT_THROW(loop().add_reader(fd(), [] {}), std::logic_error);
  EXPECT_THROW(loop().add_writer(fd(), [] {}), std::logic_error);
  EXPECT_THROW(loop().remove_reader(fd()), std::logic_error);
  try {
    loop().remove_writer(fd());
    FAIL() << "it did not throw";
  } catch (const std::logic_error& e) {
    EXPECT_NE(std::string(e.what()).find("is used by a transport"), std::string::npos) << e.what();
  }
  loop().release_descriptor(fd());
  EXPECT_NO_THROW(loop().add_reader(fd(), [] {}));
  EXPECT_TRUE(loop().remove_reader(fd()));
}

TEST_P(Descriptors, C0072_AThrowingReaderIsReportedAndStaysRegistered) {
  int called = 0;
  loop().add_reader(fd(), [&] {
    ++called;
    read(1);
    if (called == 1) throw std::runtime_error("a bad read");
  });
  peer_writes("ab");
  run_until([&] { return called == 2; });
  const auto reported = take_exceptions();
  ASSERT_EQ(reported.size(), 1U);
  EXPECT_NE(reported[0].to_string().find("a bad read"), std::string::npos);
}

TEST_P(Descriptors, ALoopExitOutOfAReaderLeavesItRegistered) {
  int called = 0;
  loop().add_reader(fd(), [&] {
    ++called;
    read(1);
    if (called == 1) throw LoopExit{};
  });
  peer_writes("ab");
  EXPECT_THROW(loop().run_forever(), LoopExit);
  EXPECT_EQ(called, 1);
  run_until([&] { return called == 2; });
}

TEST_P(Descriptors, C0073_APeerThatVanishesWakesReaderAndWriter) {
  int reads = 0;
  int writes = 0;
  fill();
  loop().add_reader(fd(), [&] {
    ++reads;
    loop().remove_reader(fd());
  });
  loop().add_writer(fd(), [&] {
    ++writes;
    loop().remove_writer(fd());
  });
  tick(3);
  ASSERT_EQ(writes, 0);
  RawPeer(kernel(), std::move(theirs_)).reset();
  run_until([&] { return reads == 1 && writes == 1; });
}

TEST_P(Descriptors, ACallbackMayRemoveAnotherDescriptorThatIsReadyToo) {
  auto [second, second_peer] = stream_pair(kernel());
  std::string ran;
  const int other = second.get();
  loop().add_reader(fd(), [&] {
    ran += '1';
    loop().remove_reader(fd());
    loop().remove_reader(other);
  });
  loop().add_reader(other, [&] {
    ran += '2';
    loop().remove_reader(fd());
    loop().remove_reader(other);
  });
  peer_writes("x");
  ASSERT_EQ(kernel().send(second_peer.get(), "x").count(), 1U);
  run_until([&] { return !ran.empty(); });
  tick(5);
  EXPECT_EQ(ran.size(), 1U);  // whichever came first kept the other from running
}

TEST_P(Descriptors, ClosingTheLoopFreesTheCallbacks) {
  Token token;
  loop().add_reader(fd(), [held = token.held()] {});
  loop().add_writer(fd(), [held = token.held()] {});
  EXPECT_TRUE(token.captured());
  loop().close();
  EXPECT_FALSE(token.captured());
  EXPECT_FALSE(loop().remove_reader(fd()));
  EXPECT_FALSE(loop().remove_writer(fd()));
  EXPECT_THROW(loop().add_reader(fd(), [] {}), std::logic_error);
}

TEST_P(Descriptors, AnEmptyCallbackAndABadDescriptorAreRefused) {
  EXPECT_THROW(loop().add_reader(fd(), {}), std::invalid_argument);
  EXPECT_EQ(loop().stats().watches, 0U);
  EXPECT_ANY_THROW(loop().add_reader(-1, [] {}));
  EXPECT_ANY_THROW(loop().add_writer(1 << 20, [] {}));
  EXPECT_EQ(loop().stats().watches, 0U);
}

TEST_P(DescriptorsReal, ARegularFileIsRefused) {
  char name[] = "/tmp/ferry-test-XXXXXX";
  Fd file(::mkstemp(name));
  ::unlink(name);
  ASSERT_TRUE(file);
  try {
    loop().add_reader(file.get(), [] {});
    FAIL() << "it did not throw";
  } catch (const std::system_error& e) {
    EXPECT_EQ(e.code(), std::errc::operation_not_permitted);
  }
  EXPECT_EQ(loop().stats().watches, 0U);
}

TEST_P(DescriptorsReal, APipeWorksAsWell) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
  Fd out(ends[0]);
  Fd in(ends[1]);
  std::string got;
  bool eof = false;
  loop().add_reader(out.get(), [&] {
    char bytes[3];
    const ssize_t n = ::read(out.get(), bytes, sizeof bytes);
    if (n > 0) got.append(bytes, static_cast<std::size_t>(n));
    if (n == 0) {
      eof = true;
      loop().remove_reader(out.get());
    }
  });
  ASSERT_EQ(::write(in.get(), "through a pipe", 14), 14);
  run_until([&] { return got == "through a pipe"; });
  in.reset();
  run_until([&] { return eof; });
}

}  // namespace
}  // namespace ferry::test
