// sendfile on plain connections: by the system's help, and by reading where that is refused.

#include "stream_fixture.h"

#include <ferry/pipe.h>
#include <ferry/sendfile.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace ferry::test {
namespace {

using namespace std::chrono_literals;

enum class Way { native, reading };

class Sendfile : public StreamFixture, public ::testing::WithParamInterface<Way> {
 protected:
  World world() const override { return World::asio; }
  Wire wire() const override { return wire_; }

  void SetUp() override {
    StreamFixture::SetUp();
    kernel().native_sendfile = GetParam() == Way::native;
    file_ = std::tmpfile();
    ASSERT_EQ(std::fwrite(text_.data(), 1, text_.size(), file_), text_.size());
    std::fflush(file_);
    std::rewind(file_);
  }
  void TearDown() override {
    std::fclose(file_);
    StreamFixture::TearDown();
  }

  int file() const { return ::fileno(file_); }
  std::uint64_t position() const {
    return static_cast<std::uint64_t>(::lseek(file(), 0, SEEK_CUR));
  }
  void wait(const Future<std::uint64_t>& future) {
    run_until([&] { return future.done(); });
  }
  /// What it failed with; no code if it did not.
  std::error_code error_of(const Future<std::uint64_t>& future) {
    wait(future);
    try {
      if (future.exception()) std::rethrow_exception(future.exception());
    } catch (const IoError& error) {
      EXPECT_STREQ(error.operation(), "sendfile");
      return error.code();
    }
    return {};
  }
  /// What the peer has got when `sending` is done and the connection closed.
  std::string arrived(Link& link, const Future<std::uint64_t>& sending) {
    run_until([&] {
      link.peer->pump();
      return sending.done();
    });
    link.transport->close();
    run_until_ended(*link.peer);
    return link.peer->received();
  }
  /// A connection whose peer does not read, and which holds less than the file.
  Link narrow(std::shared_ptr<Protocol> protocol) {
    wire_ = Wire::unix_socket;  // a narrow TCP connection is a slow one
    return open(std::move(protocol), 10'000);
  }

  const std::string text_ = pattern(1'000'000);
  Wire wire_ = Wire::tcp;
  std::FILE* file_ = nullptr;
};
INSTANTIATE_TEST_SUITE_P(Ways, Sendfile, ::testing::Values(Way::native, Way::reading),
                         [](const auto& way) {
                           return way.param == Way::native ? "Native" : "Reading";
                         });

TEST_P(Sendfile, C0602_AWholeFile) {
  Link link = open(recording());
  const auto sent = sendfile(link.transport, file());
  EXPECT_TRUE(arrived(link, sent) == text_);
  EXPECT_EQ(sent.result(), text_.size());
  EXPECT_EQ(position(), text_.size());
}

TEST_P(Sendfile, C0602_APart) {
  Link link = open(recording());
  const auto sent = sendfile(link.transport, file(), 1000, 700'000);
  EXPECT_TRUE(arrived(link, sent) == text_.substr(1000, 700'000));
  EXPECT_EQ(sent.result(), 700'000u);
  EXPECT_EQ(position(), 701'000u);
}

TEST_P(Sendfile, C0602_MoreThanThereIs) {
  Link link = open(recording());
  const auto sent = sendfile(link.transport, file(), text_.size() - 10, 2000);
  EXPECT_EQ(arrived(link, sent), text_.substr(text_.size() - 10));
  EXPECT_EQ(sent.result(), 10u);
  EXPECT_EQ(position(), text_.size());
}

TEST_P(Sendfile, C0602_NothingAtAll) {
  Link link = open(recording());
  const auto beyond = sendfile(link.transport, file(), text_.size());
  wait(beyond);
  EXPECT_EQ(beyond.result(), 0u);
  std::FILE* empty = std::tmpfile();
  const auto sent = sendfile(link.transport, ::fileno(empty));
  wait(sent);
  EXPECT_EQ(sent.result(), 0u);
  std::fclose(empty);
  link.transport->write("and on");
  run_until_received(*link.peer, 6);
}

TEST_P(Sendfile, C0605_NoFallbackUnlessWanted) {
  Link link = open(recording());
  const auto sent = sendfile(link.transport, file(), 0, {}, false);
  if (GetParam() == Way::native) {
    EXPECT_TRUE(arrived(link, sent) == text_);
    return;
  }
  EXPECT_EQ(error_of(sent), std::errc::operation_not_supported);
  link.transport->write("alone");
  EXPECT_EQ(arrived(link, sent), "alone");
}

TEST_P(Sendfile, C0606_AnEndedConnectionIsAMisuse) {
  Link link = open(recording());
  link.transport->close();
  EXPECT_THROW(static_cast<void>(sendfile(link.transport, file())), std::logic_error);
  Link half = open(recording());
  half.transport->write_eof();
  EXPECT_THROW(static_cast<void>(sendfile(half.transport, file())), std::logic_error);
  EXPECT_TRUE(half.transport->is_reading());
}

TEST_P(Sendfile, C0608_ThePeerGoesInTheMiddle) {
  auto probe = recording();
  Link link = narrow(probe);
  const auto sent = sendfile(link.transport, file());
  run_until([&] { return link.peer->read_some(1000).size() > 0; });
  ASSERT_FALSE(sent.done());
  link.peer->reset();
  const std::error_code error = error_of(sent);
  EXPECT_TRUE(error == std::errc::connection_reset || error == std::errc::broken_pipe) << error;
  EXPECT_TRUE(link.transport->is_closing());
  EXPECT_GE(position(), 1000u);
  EXPECT_LT(position(), text_.size());
  run_until_lost(*probe);
  EXPECT_EQ(probe->error(), error);
}

TEST_P(Sendfile, C0609_BadArguments) {
  Link link = open(recording());
  EXPECT_THROW(static_cast<void>(sendfile(link.transport, file(), 0, 0)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(sendfile(link.transport, file(), std::uint64_t{1} << 63)),
               std::invalid_argument);
  EXPECT_THROW(static_cast<void>(sendfile(nullptr, file())), std::invalid_argument);
  EXPECT_TRUE(link.transport->is_reading());
}

TEST_P(Sendfile, C0610_ReadingPausesAndIsAsBefore) {
  for (const bool reading : {true, false}) {
    auto probe = recording();
    Link link = narrow(probe);
    if (!reading) probe->pause_reading();
    link.peer->send("meanwhile");
    const auto sent = sendfile(link.transport, file());
    EXPECT_FALSE(link.transport->is_reading());
    settle();
    EXPECT_EQ(probe->bytes(), 0u);
    run_until_received(*link.peer, text_.size());
    wait(sent);
    EXPECT_EQ(link.transport->is_reading(), reading);
    if (!reading) probe->resume_reading();
    run_until([&] { return probe->bytes() == 9; });
  }
}

TEST_P(Sendfile, ItComesBehindWhatIsWrittenBeforeAndBeforeWhatIsWrittenAfter) {
  auto probe = recording();
  probe->resumes_at_low = false;
  Link link = narrow(probe);
  const std::string head = pattern(100'000, 5);
  probe->write(head);
  EXPECT_GT(link.transport->get_write_buffer_size(), 0u);
  const auto sent = sendfile(link.transport, file());
  sent.add_done_callback([&] { probe->write("tail"); });
  EXPECT_TRUE(arrived(link, sent) == head + text_ + "tail");
  // Paused by the head, and told to go on after the file.
  EXPECT_EQ(times(*probe, "pause"), times(*probe, "resume"));
}

TEST_P(Sendfile, InsideACallbackItComesBehindWhatIsGathered) {
  auto probe = recording();
  Link link = open(probe);
  Future<std::uint64_t> sent(loop());
  probe->on_data = [&](BytesView) {
    probe->write("head");
    sent = sendfile(link.transport, file());
  };
  link.peer->send("go");
  run_until_received(*link.peer, 4 + text_.size());
  EXPECT_TRUE(arrived(link, sent) == "head" + text_);
}

TEST_P(Sendfile, NothingElseMayBeWrittenMeanwhile) {
  Link link = narrow(recording());
  const auto sent = sendfile(link.transport, file());
  for (int i = 0; i < 2; ++i) {
    EXPECT_THROW(link.transport->write("x"), std::logic_error);
    EXPECT_THROW(link.transport->writelines({"x", "y"}), std::logic_error);
    EXPECT_THROW(link.transport->write_eof(), std::logic_error);
    EXPECT_THROW(static_cast<void>(sendfile(link.transport, file())), std::logic_error);
    settle();
  }
  EXPECT_FALSE(sent.done());
  EXPECT_TRUE(arrived(link, sent) == text_);
}

TEST_P(Sendfile, AWriterThatIsPausedGoesOnAfterwards) {
  auto probe = recording();
  probe->resumes_at_low = false;
  Link link = narrow(probe);
  probe->on_resume = [&] { probe->write("resumed"); };  // would be a misuse during it
  std::string head;
  while (!probe->writing_paused()) {
    probe->write(pattern(10'000, head.size()));
    head = pattern(head.size() + 10'000);
  }
  const auto sent = sendfile(link.transport, file(), 0, 500'000);
  run_until([&] {
    link.peer->pump();
    return link.peer->received().ends_with("resumed");
  });
  EXPECT_EQ(sent.result(), 500'000u);
  EXPECT_TRUE(link.peer->received() == head + text_.substr(0, 500'000) + "resumed");
}

TEST_P(Sendfile, CloseSendsWhatWasTakenAndEndsIt) {
  auto probe = recording();
  Link link = narrow(probe);
  probe->write("head");
  const auto sent = sendfile(link.transport, file());
  settle();
  probe->close();
  run_until_ended(*link.peer);
  EXPECT_EQ(error_of(sent), std::errc::connection_aborted);
  EXPECT_EQ(link.peer->received().size(), 4 + position());
  EXPECT_TRUE(link.peer->received() == "head" + text_.substr(0, position()));
  run_until_lost(*probe);
  EXPECT_FALSE(probe->error());
}

TEST_P(Sendfile, AbortEndsIt) {
  auto probe = recording();
  Link link = narrow(probe);
  const auto sent = sendfile(link.transport, file());
  settle();
  probe->abort();
  EXPECT_EQ(error_of(sent), std::errc::connection_aborted);
  run_until_lost(*probe);
  EXPECT_FALSE(probe->error());
}

TEST_P(Sendfile, CancellingStopsItAndLeavesTheConnectionOpen) {
  auto probe = recording();
  Link link = narrow(probe);
  const auto sent = sendfile(link.transport, file());
  settle();
  sent.cancel();
  const std::uint64_t taken = position();
  EXPECT_LT(taken, text_.size());
  probe->write("after");
  run_until_received(*link.peer, taken + 5);
  EXPECT_TRUE(link.peer->received() == text_.substr(0, taken) + "after");
  EXPECT_EQ(position(), taken);
  link.peer->send("hello");
  run_until([&] { return probe->bytes() == 5; });
}

TEST_P(Sendfile, ASecondOneRightAfterACancelledOne) {
  auto probe = recording();
  probe->resumes_at_low = false;
  Link link = narrow(probe);
  const auto first = sendfile(link.transport, file());
  settle();
  first.cancel();
  const std::uint64_t taken = position();
  const auto second = sendfile(link.transport, file(), taken);
  EXPECT_TRUE(arrived(link, second) == text_);
  EXPECT_EQ(link.transport->get_protocol(), nullptr);  // lost
  EXPECT_EQ(times(*probe, "pause"), times(*probe, "resume"));
}

TEST_P(Sendfile, TheProtocolIsInItsPlaceWhenItIsDone) {
  auto probe = recording();
  Link link = open(probe);
  const auto sent = sendfile(link.transport, file(), 0, 100'000);
  std::shared_ptr<Protocol> then;
  sent.add_done_callback([&] { then = link.transport->get_protocol(); });
  run_until_received(*link.peer, 100'000);
  run_until([&] { return then != nullptr; });
  EXPECT_EQ(then, probe);
}

TEST_P(Sendfile, ReadingMayGoOnMeanwhile) {
  auto probe = recording_buffered(100);
  Link link = narrow(probe);
  const auto sent = sendfile(link.transport, file());
  probe->resume_reading();
  link.peer->send(pattern(1000));
  run_until([&] { return probe->bytes() == 1000; });
  EXPECT_FALSE(sent.done());
  EXPECT_TRUE(arrived(link, sent) == text_);
  EXPECT_TRUE(probe->data() == pattern(1000));
}

TEST_P(Sendfile, ThePeersEndIsHeardAfterwards) {
  auto probe = recording();
  Link link = narrow(probe);
  const auto sent = sendfile(link.transport, file());
  link.peer->shutdown_write();
  settle();
  EXPECT_FALSE(probe->eof());
  run_until_received(*link.peer, text_.size());
  wait(sent);
  run_until_lost(*probe);
  EXPECT_EQ(probe->summary(), "made eof lost:ok");
}

TEST_P(Sendfile, TheFileMayBeClosedAfterTheCall) {
  Link link = narrow(recording());
  const int copy = ::fcntl(file(), F_DUPFD_CLOEXEC, 0);
  const auto sent = sendfile(link.transport, copy);
  ::close(copy);
  const int other = ::open("/dev/zero", O_RDONLY | O_CLOEXEC);
  EXPECT_EQ(other, copy);
  EXPECT_TRUE(arrived(link, sent) == text_);
  ::close(other);
}

TEST_P(Sendfile, WhatCannotBeReadLeavesTheConnectionOpen) {
  Link link = open(recording());
  EXPECT_EQ(error_of(sendfile(link.transport, -1)), std::errc::bad_file_descriptor);
  const int folder = ::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  EXPECT_EQ(error_of(sendfile(link.transport, folder)), std::errc::is_a_directory);
  ::close(folder);
  const int written = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  EXPECT_EQ(error_of(sendfile(link.transport, written)), std::errc::bad_file_descriptor);
  ::close(written);
  EXPECT_TRUE(link.transport->is_reading());
  link.transport->write("alive");
  run_until_received(*link.peer, 5);
}

TEST_P(Sendfile, ASlowPeerGetsItAll) {
  Link link = narrow(recording());
  const auto sent = sendfile(link.transport, file(), 0, 300'000);
  std::string got;
  run_until([&] {
    got += link.peer->read_some(3'000);
    return sent.done() && got.size() == 300'000;
  });
  EXPECT_TRUE(got == text_.substr(0, 300'000));
}

TEST_P(Sendfile, AFirehoseLeavesOthersTheirTurns) {
  std::FILE* const large = std::tmpfile();
  constexpr std::size_t size = 64 << 20;
  ASSERT_EQ(::ftruncate(::fileno(large), size), 0);
  Link link = open(recording());
  auto probe = recording();
  Link other = open(probe);
  const auto sent = sendfile(link.transport, ::fileno(large));
  bool heard_before_the_end = false;
  probe->on_data = [&](BytesView) { heard_before_the_end = !sent.done(); };
  other.peer->send("ping");
  std::size_t got = 0;
  std::thread reader([&, fd = link.peer->fd()] {
    std::vector<char> chunk(1 << 20);
    pollfd ready{fd, POLLIN, 0};
    while (got < size && ::poll(&ready, 1, 10'000) == 1) {
      const ssize_t n = ::read(fd, chunk.data(), chunk.size());
      if (n <= 0) break;
      got += static_cast<std::size_t>(n);
    }
  });
  run_until([&] { return sent.done(); }, 60s);
  reader.join();
  EXPECT_EQ(got, size);
  EXPECT_TRUE(heard_before_the_end);  // 64 MiB, at most 4 of them in a turn
  std::fclose(large);
}

TEST_P(Sendfile, ManyAtOnceFromOneFile) {
  std::vector<Link> links;
  std::vector<Future<std::uint64_t>> all;
  for (int i = 0; i < 20; ++i) {
    links.push_back(open(recording()));
    all.push_back(sendfile(links.back().transport, file(), static_cast<std::uint64_t>(i) * 1000));
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_TRUE(arrived(links[i], all[i]) == text_.substr(i * 1000));
  }
}

TEST_P(Sendfile, ClosingTheLoopLeavesTheFutureAsItIs) {
  auto probe = recording();
  Link link = narrow(probe);
  const auto sent = sendfile(link.transport, file());
  settle();
  loop().close();
  EXPECT_FALSE(sent.done());
  EXPECT_EQ(probe->error(), errc::loop_closed);
}

TEST_P(Sendfile, APeerThatIsGoneIsNoSignal) {
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
  auto probe = recording();
  auto transport = adopt(pair[0], probe);
  ::close(pair[1]);
  const auto sent = sendfile(transport, file());  // would end the program by SIGPIPE
  EXPECT_EQ(error_of(sent), std::errc::broken_pipe);
  run_until_lost(*probe);
}

TEST_P(Sendfile, IntoAPipe) {
  int ends[2];
  ASSERT_TRUE(kernel().pipe(ends[0], ends[1]).ok());
  auto out = recording();
  auto in = recording();
  auto writer = connect_write_pipe(
      loop(), [&]() -> std::shared_ptr<Protocol> { return out; }, ends[1]);
  auto reader = connect_read_pipe(
      loop(), [&]() -> std::shared_ptr<Protocol> { return in; }, ends[0]);
  run_until([&] { return writer.done() && reader.done(); });
  EXPECT_THROW(static_cast<void>(sendfile(reader.result().transport, file())), std::logic_error);
  out->write("head");
  const auto sent = sendfile(writer.result().transport, file());
  wait(sent);
  EXPECT_EQ(sent.result(), text_.size());
  out->close();
  run_until_lost(*in);
  EXPECT_TRUE(in->data() == "head" + text_);
}

}  // namespace
}  // namespace ferry::test
