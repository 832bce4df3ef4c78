#include "stream_fixture.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

namespace ferry::test {

using namespace std::chrono_literals;

class StreamWrite : public StreamTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, StreamWrite, ::testing::ValuesIn(kStreamWorlds),
                         stream_world_name);

TEST_P(StreamWrite, C0396_AnIdleTransportSendsAtOnce) {
  auto probe = recording();
  Link link = open(probe);
  probe->write("ping");
  EXPECT_EQ(link.transport->get_write_buffer_size(), 0u);
  EXPECT_EQ(kernel().sent(), std::vector<std::size_t>{4});
  run_until_received(*link.peer, 4);
  EXPECT_EQ(link.peer->received(), "ping");
}

TEST_P(StreamWrite, C0396_WritesInsideACallbackAreCountedAtOnceAndSentTogetherWhenItReturns) {
  auto probe = recording();
  std::size_t buffered = 0;
  std::size_t calls_inside = 0;
  probe->on_data = [&](BytesView) {
    probe->write("one ");
    probe->transport()->writelines({"two ", "three "});
    probe->write("four");
    buffered = probe->transport()->get_write_buffer_size();
    calls_inside = kernel().send_calls();
  };
  Link link = open(probe);
  link.peer->send("go");
  run_until_received(*link.peer, 18);
  EXPECT_EQ(link.peer->received(), "one two three four");
  EXPECT_EQ(buffered, 18u);
  EXPECT_EQ(calls_inside, 0u);
  EXPECT_EQ(kernel().sent(), std::vector<std::size_t>{18});
  EXPECT_EQ(link.transport->get_write_buffer_size(), 0u);
}

TEST_P(StreamWrite, C0396_WritesInConnectionMadeArriveInOrder) {
  auto probe = recording();
  probe->on_made = [&] {
    probe->write("hello ");
    probe->write("world");
  };
  Link link = open(probe);
  run_until_received(*link.peer, 11);
  EXPECT_EQ(link.peer->received(), "hello world");
}

TEST_P(StreamWrite, C0397_AMixOfWritesArrivesInOrderThroughASlowReader) {
  const std::size_t total = simulated() ? 10'000'000 : 100'000'000;
  auto probe = recording();
  Link link = open(probe);
  std::size_t written = 0;
  std::size_t block = 0;
  std::size_t received = 0;
  std::size_t wrong_at = total;
  const auto write_until_paused = [&] {
    while (!probe->writing_paused() && written < total) {
      const std::size_t size = std::min(total - written, 1 + (++block * 7919) % 40'000);
      const std::string bytes = pattern(size, written);
      const BytesView view(bytes);
      if (block % 3 == 0) {
        link.transport->writelines(
            {view.first(size / 3), view.drop(size / 3).first(1), view.drop(size / 3).drop(1)});
      } else {
        probe->write(view);
      }
      written += size;
    }
  };
  run_until(
      [&] {
        write_until_paused();
        const std::string got = link.peer->read_some(300'000);
        if (got != pattern(got.size(), received)) wrong_at = std::min(wrong_at, received);
        received += got.size();
        return received >= total || wrong_at < total;
      },
      200s);
  EXPECT_EQ(received, total);
  EXPECT_EQ(wrong_at, total) << "the chunk from here on differs";
  EXPECT_GT(times(*probe, "pause"), 0u);
}

TEST_P(StreamWrite, C0398_EmptyWritesDoNothing) {
  auto probe = recording();
  Link link = open(probe);
  link.transport->set_write_buffer_limits(0);
  const auto events = probe->events();
  probe->write("");
  link.transport->writelines({});
  link.transport->writelines({"", "", ""});
  settle();
  EXPECT_EQ(kernel().send_calls(), 0u);
  EXPECT_EQ(link.transport->get_write_buffer_size(), 0u);
  EXPECT_EQ(probe->events(), events);
  EXPECT_FALSE(link.transport->is_closing());
}

TEST_P(StreamWrite, C0398_EmptyWritesBehindABacklogDoNothing) {
  auto probe = recording();
  Link link = open(probe);
  kernel().block_sends();
  probe->write("abc");
  const std::size_t calls = kernel().send_calls();
  probe->write("");
  link.transport->writelines({"", ""});
  EXPECT_EQ(kernel().send_calls(), calls);
  EXPECT_EQ(link.transport->get_write_buffer_size(), 3u);
  kernel().release_sends();
  run_until_received(*link.peer, 3);
  EXPECT_EQ(link.peer->received(), "abc");
}

TEST_P(StreamWrite, C0400_ASendThatWouldBlockIsRepeatedWhenTheSocketIsReady) {
  auto probe = recording();
  Link link = open(probe);
  kernel().limit_next_sends({0});
  probe->write("data");
  EXPECT_EQ(link.transport->get_write_buffer_size(), 4u);
  run_until_received(*link.peer, 4);
  EXPECT_EQ(link.peer->received(), "data");
  EXPECT_EQ(link.transport->get_write_buffer_size(), 0u);
}

TEST_P(StreamWrite, C0400_ManyShortSendsKeepTheOrder) {
  auto probe = recording();
  Link link = open(probe);
  kernel().limit_next_sends({0, 1, 0, 2, 3, 0, 1, 1, 5, 0});
  probe->write("abcdefgh");
  link.transport->writelines({"ijk", "", "lm", "nopq"});
  probe->write("rstuvwxyz");
  run_until_received(*link.peer, 26);
  EXPECT_EQ(link.peer->received(), "abcdefghijklmnopqrstuvwxyz");
}

class StreamPartialSend : public StreamTest {
 protected:
  /// Writes `pieces` when the kernel takes only `sent` bytes, and checks what is left and arrives.
  void expect_rest_kept(const std::vector<BytesView>& pieces, std::size_t sent) {
    std::string all;
    for (BytesView piece : pieces) all += piece.text();
    auto probe = recording();
    Link link = open(probe);
    kernel().block_sends(sent);
    if (pieces.size() == 1) {
      probe->write(pieces[0]);
    } else {
      link.transport->writelines(pieces);
    }
    EXPECT_EQ(link.transport->get_write_buffer_size(), all.size() - sent);
    run_until_received(*link.peer, sent);
    settle();
    EXPECT_EQ(link.peer->read(), all.substr(0, sent));
    kernel().release_sends();
    run_until_received(*link.peer, all.size());
    EXPECT_EQ(link.peer->received(), all);
    EXPECT_EQ(link.transport->get_write_buffer_size(), 0u);
  }
};
INSTANTIATE_TEST_SUITE_P(Worlds, StreamPartialSend, ::testing::ValuesIn(kStreamWorlds),
                         stream_world_name);

TEST_P(StreamPartialSend, C0401_TwoOfFourBytesLeaveTheOtherTwo) {
  expect_rest_kept({"data"}, 2);
}

TEST_P(StreamPartialSend, C0401_TwoBytesOfTwoPiecesLeaveTheRestOfTheFirst) {
  expect_rest_kept({"data1", "data2"}, 2);
}

TEST_P(StreamPartialSend, C0401_SevenBytesOfTwoPiecesLeaveTheRestOfTheSecond) {
  expect_rest_kept({"data1", "data2"}, 7);
}

TEST_P(StreamPartialSend, C0401_ACutBetweenTwoPiecesLeavesTheSecond) {
  expect_rest_kept({"data1", "data2"}, 5);
}

TEST_P(StreamPartialSend, C0401_ABigPieceThatIsCutKeepsItsRest) {
  const std::string big = pattern(700'000);
  expect_rest_kept({"head", big, "tail"}, 5'004);
}

TEST_P(StreamWrite, C0402_WritelinesLargerThanTheKernelBufferArrivesWhole) {
  auto probe = recording();
  Link link = open(probe, 65536);
  std::vector<std::string> lines;
  std::string all;
  for (std::size_t i = 0; i < 100; ++i) {
    lines.push_back(pattern(6500, i * 6500));
    all += lines.back();
  }
  lines.push_back("end");
  all += "end";
  link.transport->writelines(std::vector<BytesView>(lines.begin(), lines.end()));
  for (int i = 0; i < 2000 && link.peer->received().size() < all.size(); ++i) {
    link.peer->read_some(4000);
    run_for(1ms);
  }
  EXPECT_TRUE(link.peer->received() == all);
}

TEST_P(StreamWrite, C0404_WritelinesAfterTheLossIsDropped) {
  auto probe = recording();
  Link link = open(probe);
  kernel().fail_next_recv(ECONNRESET);
  link.peer->send("x");
  run_until_lost(*probe);
  EXPECT_EQ(probe->error(), std::errc::connection_reset);
  const std::size_t calls = kernel().send_calls();
  EXPECT_NO_THROW(link.transport->writelines({"a", "b"}));
  EXPECT_NO_THROW(probe->write("c"));
  EXPECT_EQ(link.transport->get_write_buffer_size(), 0u);
  EXPECT_EQ(kernel().send_calls(), calls);
}

TEST_P(StreamWrite, C0404_WritelinesBetweenTheFailureAndConnectionLostIsDropped) {
  auto probe = recording();
  Link link = open(probe);
  kernel().fail_next_send(EPIPE);
  probe->write("x");
  EXPECT_TRUE(link.transport->is_closing());
  EXPECT_FALSE(probe->lost());
  const std::size_t calls = kernel().send_calls();
  link.transport->writelines({"a", "b"});
  EXPECT_EQ(link.transport->get_write_buffer_size(), 0u);
  run_until_lost(*probe);
  EXPECT_EQ(kernel().send_calls(), calls);
}

TEST_P(StreamWrite, C0405_MorePiecesThanOneSystemCallTakesAreAllSent) {
  const std::string letters = pattern(3000);
  std::vector<BytesView> pieces;
  for (std::size_t i = 0; i < letters.size(); ++i) {
    pieces.push_back(BytesView(letters).drop(i).first(1));
  }
  for (const bool blocked : {false, true}) {
    auto probe = recording();
    Link link = open(probe);
    if (blocked) kernel().block_sends();
    link.transport->writelines(pieces);
    if (blocked) {
      EXPECT_EQ(link.transport->get_write_buffer_size(), 3000u);
      kernel().release_sends();
    }
    run_until_received(*link.peer, 3000);
    EXPECT_TRUE(link.peer->received() == letters);
    EXPECT_LE(kernel().most_pieces(), Kernel::kMaxPieces);
  }
}

TEST_P(StreamWrite, C0405_MorePiecesThanOneSystemCallTakesWorkInsideACallbackToo) {
  const std::string letters = pattern(3000);
  auto probe = recording();
  probe->on_made = [&] {
    for (std::size_t i = 0; i < letters.size(); ++i) {
      probe->write(BytesView(letters).drop(i).first(1));
    }
  };
  Link link = open(probe);
  run_until_received(*link.peer, 3000);
  EXPECT_TRUE(link.peer->received() == letters);
  EXPECT_LE(kernel().most_pieces(), Kernel::kMaxPieces);
  // Gathered: one call, or few, but not one for each write.
  EXPECT_LE(kernel().send_calls(), 3000 / Kernel::kMaxPieces + 1);
}

TEST_P(StreamWrite, TheCallersMemoryMayChangeRightAfterWrite) {
  auto probe = recording();
  Link link = open(probe);
  kernel().block_sends();
  std::string bytes = pattern(100'000);
  probe->write(bytes);
  std::fill(bytes.begin(), bytes.end(), '!');
  kernel().release_sends();
  run_until_received(*link.peer, 100'000);
  EXPECT_TRUE(link.peer->received() == pattern(100'000));
}

TEST_P(StreamWrite, BigWritesBetweenSmallOnesInACallbackKeepTheOrder) {
  const std::string big = pattern(300'000);
  auto probe = recording();
  probe->on_data = [&](BytesView) {
    std::string copy = big;
    probe->write("<");
    probe->write(copy);
    std::fill(copy.begin(), copy.end(), '!');
    probe->write("|");
    copy = big;
    probe->transport()->writelines({"a", BytesView(copy), "b"});
    std::fill(copy.begin(), copy.end(), '!');
    probe->write(">");
  };
  Link link = open(probe);
  link.peer->send("go");
  run_until_received(*link.peer, 600'005);
  EXPECT_TRUE(link.peer->received() == "<" + big + "|a" + big + "b>");
}

}  // namespace ferry::test
