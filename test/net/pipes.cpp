// Streams over one end of a pipe.

#include "stream_fixture.h"

#include <ferry/fd.h>
#include <ferry/pipe.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <stdexcept>

namespace ferry::test {
namespace {

using namespace std::chrono_literals;

class Pipes : public StreamFixture, public ::testing::WithParamInterface<World> {
 protected:
  World world() const override { return GetParam(); }

  void SetUp() override {
    StreamFixture::SetUp();
    int ends[2];
    ASSERT_TRUE(kernel().pipe(ends[0], ends[1]).ok());
    read_end_ = Socket(kernel(), ends[0]);
    write_end_ = Socket(kernel(), ends[1]);
  }
  void TearDown() override {
    read_end_.reset();
    write_end_.reset();
    StreamFixture::TearDown();
  }

  std::shared_ptr<Transport> reader(std::shared_ptr<Protocol> protocol) {
    return connected(connect_read_pipe(loop(), giving(protocol), read_end_.release()));
  }
  std::shared_ptr<Transport> writer(std::shared_ptr<Protocol> protocol) {
    return connected(connect_write_pipe(loop(), giving(protocol), write_end_.release()));
  }
  static ProtocolFactory giving(std::shared_ptr<Protocol> protocol) {
    return [protocol] { return protocol; };
  }
  std::shared_ptr<Transport> connected(Future<Connection<>> future) {
    run_until([&] { return future.done(); });
    return future.result().transport;
  }
  std::string read_all() {
    std::string all;
    std::array<std::byte, 4096> chunk;
    for (;;) {
      const IoResult r = kernel().read(read_end_.get(), chunk);
      eof_ = r.ok() && r.value == 0;
      if (!r.ok() || eof_) return all;
      all.append(reinterpret_cast<const char*>(chunk.data()), r.count());
    }
  }

  Socket read_end_;
  Socket write_end_;
  bool eof_ = false;  // seen by read_all
};
INSTANTIATE_TEST_SUITE_P(Worlds, Pipes, ::testing::ValuesIn(kWorlds), world_name);

TEST_P(Pipes, C0488_WhatIsWrittenIsReadAndThenTheEnd) {
  auto probe = recording();
  auto transport = writer(probe);
  EXPECT_TRUE(transport->can_write_eof());
  EXPECT_FALSE(transport->is_reading());
  transport->write("1");
  EXPECT_EQ(read_all(), "1");
  transport->writelines({"23", "", "45"});
  EXPECT_EQ(read_all(), "2345");
  probe->close();
  run_until([&] { return probe->lost(); });
  EXPECT_EQ(read_all(), "");
  EXPECT_TRUE(eof_);
  EXPECT_EQ(probe->summary(), "made lost:ok");
}

TEST_P(Pipes, AReadPipeDeliversItsBytesItsEndAndItsLoss) {
  auto probe = recording();
  probe->keep_open_on_eof = true;  // of no use where nothing can be written
  auto transport = reader(probe);
  EXPECT_FALSE(transport->can_write_eof());
  EXPECT_THROW(transport->write("x"), std::logic_error);
  const BytesView text = "hello";
  ASSERT_TRUE(kernel().write_pieces(write_end_.get(), std::span(&text, 1)).ok());
  run_until([&] { return probe->bytes() == 5; });
  write_end_.reset();
  run_until([&] { return probe->lost(); });
  EXPECT_EQ(probe->summary(), "made data:5 eof lost:ok");
}

TEST_P(Pipes, AMebibyteGoesThroughUnchanged) {
  auto out = recording();
  auto in = recording();
  auto to = writer(out);
  reader(in);
  const std::string text = pattern(1 << 20);
  out->write(text);
  EXPECT_TRUE(out->writing_paused());
  out->close();
  run_until([&] { return in->lost(); });
  EXPECT_TRUE(in->data() == text);
  EXPECT_FALSE(out->error());
}

TEST_P(Pipes, C0489_TheReaderClosesAndNothingWaits) {
  auto probe = recording();
  writer(probe);
  probe->write("x");
  read_end_.reset();
  run_until([&] { return probe->lost(); });
  EXPECT_EQ(probe->summary(), "made lost:ok");
}

TEST_P(Pipes, C0489_TheReaderClosesAndSomethingWaits) {
  auto probe = recording();
  auto transport = writer(probe);
  probe->write(pattern(1 << 20));
  EXPECT_GT(transport->get_write_buffer_size(), 0u);
  read_end_.reset();
  run_until([&] { return probe->lost(); });
  EXPECT_EQ(probe->error(), std::errc::broken_pipe);
}

TEST_P(Pipes, C0489_AWriteAfterTheReaderIsGoneIsNoSignal) {
  auto probe = recording();
  auto transport = writer(probe);
  read_end_.reset();
  probe->write("x");  // would end the program by SIGPIPE
  run_until([&] { return probe->lost(); });
  EXPECT_EQ(probe->error(), std::errc::broken_pipe);
}

TEST_P(Pipes, C0490_AFullPipePausesAndItsEndIsHeard) {
  auto probe = recording();
  writer(probe);
  while (!probe->writing_paused()) probe->write(pattern(10'000));
  read_end_.reset();
  run_until([&] { return probe->lost(); });
}

TEST_P(Pipes, C0492_WriteEofIsCloseAndSendsFirst) {
  auto probe = recording();
  auto transport = writer(probe);
  const std::string text = pattern(200'000);
  probe->write(text);
  probe->write_eof();
  EXPECT_TRUE(transport->is_closing());
  std::string got;
  run_until([&] {
    got += read_all();
    return eof_;
  });
  EXPECT_TRUE(got == text);
  run_until([&] { return probe->lost(); });
  EXPECT_FALSE(probe->error());
}

TEST_P(Pipes, C0493_AbortLeavesWhatTheKernelHasAndNoMore) {
  auto probe = recording();
  auto transport = writer(probe);
  const std::string text = pattern(1 << 20);
  probe->write(text);
  const std::size_t taken = text.size() - transport->get_write_buffer_size();
  probe->abort();
  EXPECT_FALSE(probe->lost());
  tick();
  EXPECT_TRUE(probe->lost());
  EXPECT_FALSE(probe->error());
  EXPECT_TRUE(read_all() == text.substr(0, taken));
  EXPECT_TRUE(eof_);
}

TEST_P(Pipes, C0494_AnythingElseIsRefusedAndLeftAlone) {
  if (simulated()) GTEST_SKIP() << "no files";
  std::FILE* file = std::tmpfile();
  ASSERT_NE(file, nullptr);
  const int fd = ::fileno(file);
  EXPECT_THROW(static_cast<void>(connect_read_pipe(loop(), giving(recording()), fd)),
               std::invalid_argument);
  EXPECT_THROW(static_cast<void>(connect_write_pipe(loop(), giving(recording()), fd)),
               std::invalid_argument);
  EXPECT_NE(::fcntl(fd, F_GETFD), -1);
  std::fclose(file);
  EXPECT_THROW(static_cast<void>(connect_read_pipe(loop(), giving(recording()), -1)),
               std::invalid_argument);
}

TEST_P(Pipes, C0496_PauseAndResumeReading) {
  auto probe = recording();
  auto transport = reader(probe);
  probe->pause_reading();
  const BytesView text = "hello";
  ASSERT_TRUE(kernel().write_pieces(write_end_.get(), std::span(&text, 1)).ok());
  settle();
  EXPECT_EQ(probe->bytes(), 0u);
  probe->resume_reading();
  run_until([&] { return probe->bytes() == 5; });
  probe->close();
  run_until([&] { return probe->lost(); });
  transport->pause_reading();
  transport->resume_reading();
}

TEST_P(Pipes, C0497_OpenPipesOutliveTheirLoop) {
  auto out = recording();
  auto in = recording();
  auto to = writer(out);
  auto from = reader(in);
  close_loop();
  EXPECT_EQ(in->error(), errc::loop_closed);
  to->write("x");
  EXPECT_EQ(to->native_handle(), -1);
  EXPECT_EQ(from->peername().to_string(), "-");
}

TEST_P(Pipes, C0498_TheDescriptorBecomesNonBlockingAndCloseOnExec) {
  if (simulated()) GTEST_SKIP() << "no flags";
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  read_end_ = Socket(kernel(), ends[0]);
  write_end_ = Socket(kernel(), ends[1]);
  auto transport = reader(recording());
  EXPECT_TRUE(::fcntl(transport->native_handle(), F_GETFL) & O_NONBLOCK);
  EXPECT_TRUE(::fcntl(transport->native_handle(), F_GETFD) & FD_CLOEXEC);
}

TEST_P(Pipes, CancellingClosesTheDescriptor) {
  auto future = connect_read_pipe(loop(), giving(recording()), read_end_.release());
  future.cancel();
  settle();
  const BytesView text = "x";
  EXPECT_EQ(kernel().write_pieces(write_end_.get(), std::span(&text, 1)).error, EPIPE);
}

TEST_P(Pipes, SocketsAreTakenAsPipesToo) {
  ConnectedSockets sockets = connect_sockets();
  auto probe = recording();
  auto transport = connected(connect_write_pipe(loop(), giving(probe), sockets.near));
  probe->write("over a socket");
  run_until_received(*sockets.far, 13);
  probe->close();
  run_until_ended(*sockets.far);
  EXPECT_EQ(sockets.far->received(), "over a socket");
}

TEST_P(Pipes, ATerminalGivesItsLines) {
  if (simulated()) GTEST_SKIP() << "no terminals";
  const int master = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0 || ::grantpt(master) != 0 || ::unlockpt(master) != 0) {
    GTEST_SKIP() << "no pseudo-terminals here";
  }
  Fd terminal(master);
  const int slave = ::open(::ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
  ASSERT_GE(slave, 0);
  auto probe = recording();
  auto transport = connected(connect_read_pipe(loop(), giving(probe), slave));
  // Both lines are there at once, and each read(2) gives one of them.
  ASSERT_EQ(::write(master, "one\ntwo\n", 8), 8);
  run_until([&] { return probe->bytes() == 8; });
  EXPECT_EQ(probe->data(), "one\ntwo\n");
  probe->close();
  run_until([&] { return probe->lost(); });
}

}  // namespace
}  // namespace ferry::test
