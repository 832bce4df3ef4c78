#include "stream_fixture.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

namespace ferry::test {

using namespace std::chrono_literals;

class ReadEof : public StreamTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, ReadEof, ::testing::ValuesIn(kStreamWorlds), stream_world_name);

TEST_P(ReadEof, C0441_ByDefaultEofClosesAfterTheFlush) {
  auto probe = recording();
  Link link = open(probe);
  kernel().block_sends(1000);
  probe->write(pattern(500'000));
  link.peer->shutdown_write();
  run_until([&] { return probe->eof(); });
  EXPECT_TRUE(link.transport->is_closing());
  settle();
  EXPECT_FALSE(probe->lost());
  kernel().release_sends();
  run_until_ended(*link.peer);
  EXPECT_TRUE(link.peer->received() == pattern(500'000));
  EXPECT_TRUE(link.peer->eof());
  run_until_lost(*probe);
  EXPECT_FALSE(probe->error());
  EXPECT_EQ(times(*probe, "eof"), 1u);
}

TEST_P(ReadEof, C0442_KeptOpenTheOtherDirectionGoesOn) {
  auto probe = recording();
  probe->keep_open_on_eof = true;
  Link link = open(probe);
  link.peer->send("request");
  link.peer->shutdown_write();
  run_until([&] { return probe->eof(); });
  EXPECT_EQ(probe->data(), "request");
  EXPECT_FALSE(link.transport->is_closing());
  const std::size_t calls = kernel().recv_calls();
  run_for(50ms);
  EXPECT_LE(kernel().recv_calls(), calls + 1) << "the loop must not spin on the EOF";
  probe->write(pattern(1'000'000));
  run_until_received(*link.peer, 1'000'000);
  EXPECT_TRUE(link.peer->received() == pattern(1'000'000));
  EXPECT_FALSE(probe->lost());
  probe->close();
  run_until_lost(*probe);
  EXPECT_FALSE(probe->error());
  EXPECT_EQ(times(*probe, "eof"), 1u);
  run_until_ended(*link.peer);
  EXPECT_TRUE(link.peer->eof());
}

TEST_P(ReadEof, C0442_PausingAndResumingAfterTheEofRepeatsNothing) {
  auto probe = recording();
  probe->keep_open_on_eof = true;
  Link link = open(probe);
  link.peer->shutdown_write();
  run_until([&] { return probe->eof(); });
  probe->pause_reading();
  probe->resume_reading();
  settle();
  EXPECT_EQ(times(*probe, "eof"), 1u);
  EXPECT_FALSE(probe->lost());
}

TEST_P(ReadEof, C0444_DataAndEofInOneBurstAreBothSeen) {
  auto probe = recording();
  ConnectedSockets sockets = connect_sockets();
  sockets.far->send(pattern(51));
  sockets.far->close();
  adopt(sockets.near, probe);
  run_until_lost(*probe);
  EXPECT_EQ(probe->summary(), "made data:51 eof lost:ok");
  EXPECT_EQ(probe->data(), pattern(51));
}

TEST_P(ReadEof, C0444_DataAndEofInOneBurstOnALiveConnection) {
  auto probe = recording();
  Link link = open(probe);
  link.peer->send("first");
  run_until([&] { return probe->bytes() == 5; });
  link.peer->send(pattern(51));
  link.peer->close();
  run_until_lost(*probe);
  EXPECT_EQ(probe->summary(), "made data:56 eof lost:ok");
}

TEST_P(ReadEof, C0444_DataAndEofWhilePausedAreBothSeenAfterResume) {
  auto probe = recording();
  Link link = open(probe);
  probe->pause_reading();
  link.peer->send(pattern(51));
  link.peer->close();
  settle();
  EXPECT_EQ(probe->summary(), "made");
  probe->resume_reading();
  run_until_lost(*probe);
  EXPECT_EQ(probe->summary(), "made data:51 eof lost:ok");
}

TEST_P(ReadEof, C0444_AnEofThatFollowsTheDataWhilePausedIsSeenAfterResume) {
  auto probe = recording();
  Link link = open(probe);
  probe->pause_reading();
  link.peer->send(pattern(51));
  settle();
  link.peer->close();
  settle();
  probe->resume_reading();
  run_until_lost(*probe);
  EXPECT_EQ(probe->summary(), "made data:51 eof lost:ok");
}

TEST_P(ReadEof, C0444_AnEofThatComesInTheMiddleOfALongReadIsSeen) {
  auto probe = recording_buffered(64);
  Link link = open(probe);
  probe->on_data = [&](BytesView) {
    if (link.peer->fd() >= 0) link.peer->close();
  };
  // More than one turn's budget of reads.
  link.peer->send(pattern(20'000));
  ASSERT_EQ(link.peer->unsent(), 0u);
  run_until_lost(*probe);
  EXPECT_TRUE(probe->data() == pattern(20'000));
  EXPECT_TRUE(probe->eof());
  EXPECT_FALSE(probe->error());
}

TEST_P(ReadEof, C0444_PausingInTheLastDataCallbackHoldsTheEofBack) {
  auto probe = recording();
  probe->on_data = [&](BytesView) { probe->pause_reading(); };
  Link link = open(probe);
  link.peer->send(pattern(51));
  link.peer->close();
  run_until([&] { return probe->bytes() == 51; });
  settle();
  EXPECT_EQ(probe->summary(), "made data:51");
  probe->resume_reading();
  run_until_lost(*probe);
  EXPECT_EQ(probe->summary(), "made data:51 eof lost:ok");
}

TEST_P(ReadEof, C0445_AResetIsAnErrorAndNoEof) {
  if (wire() != Wire::tcp) GTEST_SKIP() << "only TCP has RST";
  auto probe = recording();
  Link link = open(probe);
  link.peer->reset();
  run_until_lost(*probe);
  EXPECT_EQ(probe->error(), std::errc::connection_reset);
  EXPECT_FALSE(probe->eof());
  EXPECT_TRUE(take_exceptions().empty());
}

TEST_P(ReadEof, C0445_AnErrorOfRecvIsReportedWithItsStory) {
  auto probe = recording();
  Link link = open(probe);
  kernel().fail_next_recv(ECONNRESET);
  link.peer->send("x");
  run_until_lost(*probe);
  EXPECT_EQ(probe->error(), std::errc::connection_reset);
  EXPECT_FALSE(probe->eof());
  const Error& error = link.transport->error();
  EXPECT_EQ(error.code, std::errc::connection_reset);
  EXPECT_STREQ(error.operation, "recv");
  EXPECT_EQ(error.address, link.transport->peername());
}

TEST_P(ReadEof, C0445_AResetIsNoticedWhileReadingIsPausedAndSomethingIsWritten) {
  if (wire() != Wire::tcp) GTEST_SKIP() << "only TCP has RST";
  auto probe = recording();
  Link link = open(probe);
  probe->pause_reading();
  link.peer->reset();
  settle();
  probe->write("anybody there?");
  run_until_lost(*probe);
  EXPECT_TRUE(probe->error() == std::errc::connection_reset ||
              probe->error() == std::errc::broken_pipe)
      << probe->error().message();
}

TEST_P(ReadEof, C0486_MoreThanTheUserBufferAndCloseAtOnceIsAllDelivered) {
  auto probe = recording_buffered(64);
  ConnectedSockets sockets = connect_sockets();
  const std::string bytes = pattern(20'000);
  sockets.far->send(bytes);
  ASSERT_EQ(sockets.far->unsent(), 0u);
  sockets.far->close();
  adopt(sockets.near, probe);
  run_until_lost(*probe);
  EXPECT_TRUE(probe->data() == bytes);
  EXPECT_TRUE(probe->eof());
  EXPECT_FALSE(probe->error());
}

}  // namespace ferry::test
