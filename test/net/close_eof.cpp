#include "stream_fixture.h"

#include <gtest/gtest.h>

#include <sys/socket.h>

#include <stdexcept>
#include <string>

namespace ferry::test {

class CloseWriteEof : public StreamTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, CloseWriteEof, ::testing::ValuesIn(kStreamWorlds),
                         stream_world_name);

TEST_P(CloseWriteEof, C0428_WriteEofComesBehindTheBacklog) {
  auto probe = recording();
  Link link = open(probe);
  EXPECT_TRUE(link.transport->can_write_eof());
  kernel().block_sends(10);
  probe->write(pattern(100'000));
  probe->write_eof();
  settle();
  EXPECT_TRUE(kernel().shutdowns().empty());
  kernel().release_sends();
  run_until_ended(*link.peer);
  EXPECT_TRUE(link.peer->received() == pattern(100'000));
  EXPECT_TRUE(link.peer->eof());
  EXPECT_EQ(kernel().shutdowns(), std::vector<int>{SHUT_WR});
}

TEST_P(CloseWriteEof, C0428_ReadingGoesOnAfterWriteEof) {
  auto probe = recording();
  Link link = open(probe);
  probe->write_eof();
  run_until_ended(*link.peer);
  EXPECT_TRUE(link.peer->eof());
  EXPECT_FALSE(link.transport->is_closing());
  link.peer->send(pattern(300'000));
  run_until([&] {
    link.peer->send("");
    return probe->bytes() == 300'000;
  });
  EXPECT_TRUE(probe->data() == pattern(300'000));
  link.peer->close();
  run_until_lost(*probe);
  EXPECT_FALSE(probe->error());
}

TEST_P(CloseWriteEof, C0428_WriteEofInsideACallbackComesBehindWhatTheCallbackWrote) {
  auto probe = recording();
  probe->on_data = [&](BytesView) {
    probe->write("answer");
    probe->write_eof();
  };
  Link link = open(probe);
  link.peer->send("question");
  run_until_ended(*link.peer);
  EXPECT_EQ(link.peer->received(), "answer");
  EXPECT_FALSE(link.transport->is_closing());
}

TEST_P(CloseWriteEof, C0428_BothSidesMayHalfCloseAtTheSameTime) {
  auto probe = recording();
  probe->keep_open_on_eof = true;
  Link link = open(probe);
  link.peer->send("bye");
  link.peer->shutdown_write();
  probe->write("farewell");
  probe->write_eof();
  run_until([&] { return probe->eof(); });
  run_until_ended(*link.peer);
  EXPECT_EQ(probe->data(), "bye");
  EXPECT_EQ(link.peer->received(), "farewell");
  // Nothing can happen on this connection any more, but it is the application's to close.
  probe->close();
  run_until_lost(*probe);
  EXPECT_FALSE(probe->error());
}

TEST_P(CloseWriteEof, C0429_WritingAfterWriteEofIsALogicErrorAndHarmsNothing) {
  auto probe = recording();
  Link link = open(probe);
  kernel().block_sends();
  probe->write("before");
  probe->write_eof();
  EXPECT_THROW(link.transport->write("after"), std::logic_error);
  EXPECT_THROW(link.transport->writelines({"after"}), std::logic_error);
  kernel().release_sends();
  run_until_ended(*link.peer);
  EXPECT_EQ(link.peer->received(), "before");
  EXPECT_THROW(link.transport->write("after"), std::logic_error);
  EXPECT_FALSE(link.transport->is_closing());
  link.peer->send("still open");
  run_until([&] { return probe->bytes() == 10; });
}

TEST_P(CloseWriteEof, C0429_WriteEofAgainDoesNothing) {
  auto probe = recording();
  Link link = open(probe);
  probe->write_eof();
  probe->write_eof();
  run_until_ended(*link.peer);
  probe->write_eof();
  EXPECT_EQ(kernel().shutdowns().size(), 1u);
  EXPECT_FALSE(link.transport->is_closing());
}

TEST_P(CloseWriteEof, C0430_WriteEofAfterCloseOrAbortDoesNothing) {
  for (const bool abort : {false, true}) {
    auto probe = recording();
    Link link = open(probe);
    if (abort) {
      probe->abort();
    } else {
      probe->close();
    }
    probe->write_eof();
    run_until_lost(*probe);
    probe->write_eof();
    EXPECT_FALSE(probe->error());
    EXPECT_EQ(probe->summary(), "made lost:ok");
  }
}

TEST_P(CloseWriteEof, CloseAfterWriteEofWithABacklogStillFlushes) {
  auto probe = recording();
  Link link = open(probe);
  kernel().block_sends();
  probe->write(pattern(50'000));
  probe->write_eof();
  probe->close();
  kernel().release_sends();
  run_until_ended(*link.peer);
  EXPECT_TRUE(link.peer->received() == pattern(50'000));
  run_until_lost(*probe);
  EXPECT_FALSE(probe->error());
}

}  // namespace ferry::test
