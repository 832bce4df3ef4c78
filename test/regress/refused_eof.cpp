// write_eof on a connection that is gone.

#include "stream_fixture.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <system_error>

namespace ferry::test {

using std::errc;

class RefusedEof : public StreamTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, RefusedEof, ::testing::ValuesIn(kStreamWorlds), stream_world_name);

// Nobody was told: the peer waited for an EOF that never came, and this end for the peer.
TEST_P(RefusedEof, IsTheConnectionsEnd) {
  auto probe = recording();
  const Link link = open(probe);
  kernel().fail_next_shutdown(ENOTCONN);
  probe->write("last words");
  probe->write_eof();
  run_until_lost(*probe);
  EXPECT_EQ(probe->error(), errc::not_connected);
  run_until_ended(*link.peer);
  EXPECT_EQ(link.peer->read(), "last words");
}

TEST_P(RefusedEof, IsTheConnectionsEndAfterThatOfThePeer) {
  auto probe = recording();
  probe->keep_open_on_eof = true;
  const Link link = open(probe);
  link.peer->shutdown_write();
  run_until([&] { return probe->eof(); });
  kernel().fail_next_shutdown(ENOTCONN);
  probe->write_eof();
  run_until_lost(*probe);
  EXPECT_EQ(probe->error(), errc::not_connected);
}

// A paused protocol is told when it reads again, and gets all that came before.
TEST_P(RefusedEof, DoesNotHideWhatCameBefore) {
  auto probe = recording();
  const Link link = open(probe);
  probe->pause_reading();
  link.peer->send(pattern(300'000));
  settle();
  kernel().fail_next_shutdown(ENOTCONN);
  probe->write_eof();
  settle();
  EXPECT_FALSE(probe->lost());
  probe->on_data = [&](BytesView) { link.peer->pump(); };
  probe->resume_reading();
  run_until_lost(*probe);
  EXPECT_EQ(probe->error(), errc::not_connected);
  EXPECT_TRUE(probe->data() == pattern(300'000)) << probe->summary();
}

TEST_P(RefusedEof, IsNoErrorWhereTheConnectionIsClosing) {
  auto probe = recording();
  const Link link = open(probe);
  kernel().block_sends();
  probe->write("last words");
  kernel().fail_next_shutdown(ENOTCONN);
  probe->write_eof();
  probe->close();
  kernel().release_sends();
  run_until_lost(*probe);
  EXPECT_FALSE(probe->error());
}

// The system's own ENOTCONN: who reads learns of the reset.
TEST_P(RefusedEof, AfterAResetTheResetIsToldNotTheRefusal) {
  if (wire() == Wire::unix_socket) GTEST_SKIP() << "unix sockets know no reset";
  auto probe = recording();
  const Link link = open(probe);
  probe->pause_reading();
  link.peer->send("before");
  settle();
  link.peer->reset();
  settle();
  probe->write_eof();
  probe->resume_reading();
  run_until_lost(*probe);
  EXPECT_EQ(probe->data(), "before");
  EXPECT_EQ(probe->error(), errc::connection_reset);
}

}  // namespace ferry::test
