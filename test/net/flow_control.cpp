#include "stream_fixture.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

namespace ferry::test {

class FlowControl : public StreamTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, FlowControl, ::testing::ValuesIn(kStreamWorlds),
                         stream_world_name);

void expect_limits(Transport& transport, std::size_t low, std::size_t high) {
  EXPECT_EQ(transport.get_write_buffer_limits().low, low);
  EXPECT_EQ(transport.get_write_buffer_limits().high, high);
}

TEST_P(FlowControl, C0406_PauseComesStrictlyAboveHighAndOnce) {
  auto probe = recording();
  Link link = open(probe);
  link.transport->set_write_buffer_limits(10, 5);
  kernel().block_sends();
  probe->write(pattern(10));
  EXPECT_FALSE(probe->writing_paused());
  probe->write("+");
  EXPECT_TRUE(probe->writing_paused());
  probe->write(pattern(20));
  EXPECT_EQ(times(*probe, "pause"), 1u);
  kernel().release_sends();
  run_until_received(*link.peer, 31);
  EXPECT_EQ(times(*probe, "resume"), 1u);
}

TEST_P(FlowControl, C0406_ResumeComesAtLowAndNotAbove) {
  auto probe = recording();
  Link link = open(probe);
  link.transport->set_write_buffer_limits(10, 5);
  kernel().block_sends();
  probe->write(pattern(11));
  kernel().allow_sends(5);
  settle();
  EXPECT_EQ(link.transport->get_write_buffer_size(), 6u);
  EXPECT_TRUE(probe->writing_paused());
  kernel().allow_sends(1);
  settle();
  EXPECT_EQ(link.transport->get_write_buffer_size(), 5u);
  EXPECT_FALSE(probe->writing_paused());
  kernel().release_sends();
  run_until_received(*link.peer, 11);
}

TEST_P(FlowControl, C0406_PauseAndResumeAlternate) {
  auto probe = recording();
  Link link = open(probe);
  link.transport->set_write_buffer_limits(10, 5);
  kernel().block_sends();
  for (std::size_t round = 1; round <= 5; ++round) {
    probe->write(pattern(20));
    EXPECT_EQ(times(*probe, "pause"), round);
    kernel().allow_sends(20);
    run_until_received(*link.peer, 20 * round);
    settle();
    EXPECT_EQ(times(*probe, "resume"), round);
  }
}

TEST_P(FlowControl, C0406_WritelinesPausesAsWriteDoes) {
  auto probe = recording();
  Link link = open(probe);
  link.transport->set_write_buffer_limits(10, 5);
  kernel().block_sends();
  const std::string half = pattern(5);
  const BytesView to_the_brim[] = {half, half};
  probe->writelines(to_the_brim);
  EXPECT_FALSE(probe->writing_paused());
  const BytesView one_more[] = {"", "+"};
  probe->writelines(one_more);
  EXPECT_TRUE(probe->writing_paused());
  kernel().release_sends();
  run_until_received(*link.peer, 11);
}

TEST_P(FlowControl, C0408_PauseWritingHasBeenCalledWhenWriteReturns) {
  auto probe = recording();
  Link link = open(probe);
  kernel().block_sends();
  probe->write(pattern(65536));
  EXPECT_FALSE(probe->writing_paused());
  probe->write("+");
  EXPECT_TRUE(probe->writing_paused());
  kernel().release_sends();
  run_until_received(*link.peer, 65537);
}

TEST_P(FlowControl, C0408_WritesInsideACallbackPauseFromInsideWriteToo) {
  auto probe = recording();
  bool paused_inside = false;
  probe->on_data = [&](BytesView) {
    for (int i = 0; i < 3; ++i) probe->write(pattern(30'000));
    paused_inside = probe->writing_paused();
  };
  Link link = open(probe);
  kernel().block_sends();
  link.peer->send("go");
  run_until([&] { return probe->bytes() > 0; });
  EXPECT_TRUE(paused_inside);
  kernel().release_sends();
  run_until_received(*link.peer, 90'000);
  EXPECT_FALSE(probe->writing_paused());
}

TEST_P(FlowControl, C0409_TheLimitsTable) {
  Link link = open(recording());
  Transport& transport = *link.transport;
  expect_limits(transport, 16384, 65536);
  transport.set_write_buffer_limits({}, 16385);
  expect_limits(transport, 16385, 65540);
  transport.set_write_buffer_limits(1024);
  expect_limits(transport, 256, 1024);
  transport.set_write_buffer_limits(1024, 1024);
  expect_limits(transport, 1024, 1024);
  transport.set_write_buffer_limits(0);
  expect_limits(transport, 0, 0);
  transport.set_write_buffer_limits();
  expect_limits(transport, 16384, 65536);
  EXPECT_THROW(transport.set_write_buffer_limits(0, 1), std::invalid_argument);
  EXPECT_THROW(transport.set_write_buffer_limits(1024, 1025), std::invalid_argument);
  expect_limits(transport, 16384, 65536);
}

TEST_P(FlowControl, C0409_WithHighZeroAnyBacklogPauses) {
  auto probe = recording();
  Link link = open(probe);
  link.transport->set_write_buffer_limits(0);
  probe->write("this goes out at once");
  EXPECT_EQ(times(*probe, "pause"), 0u);
  kernel().block_sends();
  probe->write("+");
  EXPECT_TRUE(probe->writing_paused());
  kernel().release_sends();
  run_until([&] { return !probe->writing_paused(); });
  EXPECT_EQ(link.transport->get_write_buffer_size(), 0u);
}

TEST_P(FlowControl, C0410_LoweringHighBelowTheBacklogPausesAtOnce) {
  auto probe = recording();
  Link link = open(probe);
  kernel().block_sends();
  probe->write(pattern(512));
  link.transport->set_write_buffer_limits(1024);
  EXPECT_FALSE(probe->writing_paused());
  link.transport->set_write_buffer_limits(256);
  EXPECT_TRUE(probe->writing_paused());
  link.transport->set_write_buffer_limits(128);
  EXPECT_EQ(times(*probe, "pause"), 1u);
  kernel().release_sends();
  run_until_received(*link.peer, 512);
  EXPECT_FALSE(probe->writing_paused());
}

TEST_P(FlowControl, C0412_ResumeWritingMayWriteToAnotherTransport) {
  auto one = recording();
  auto other = recording();
  Link first = open(one);
  Link second = open(other);
  one->on_resume = [&] { other->write("resumed"); };
  kernel().block_sends();
  one->write(pattern(70'000));
  ASSERT_TRUE(one->writing_paused());
  kernel().release_sends();
  run_until([&] {
    first.peer->read();
    return second.peer->read().size() >= 7;
  });
  EXPECT_EQ(second.peer->received(), "resumed");
}

TEST_P(FlowControl, C0412_ResumeWritingMayWriteAndPauseAgain) {
  constexpr std::size_t block = 70'000;
  auto probe = recording();
  std::size_t written = block;
  probe->on_resume = [&] {
    probe->write(pattern(block, written));
    written += block;
  };
  Link link = open(probe);
  kernel().block_sends();
  probe->write(pattern(block));
  for (std::size_t round = 1; round <= 5; ++round) {
    kernel().allow_sends(block);
    run_until_received(*link.peer, round * block);
    EXPECT_EQ(times(*probe, "resume"), round);
    EXPECT_EQ(times(*probe, "pause"), round + 1);
    EXPECT_TRUE(probe->writing_paused());
  }
  EXPECT_TRUE(link.peer->received() == pattern(5 * block));
  probe->abort();
  tick();
}

TEST_P(FlowControl, C0413_ResumeWritingThatClosesDuringAFlushEndsOnce) {
  for (const bool close_first : {false, true}) {
    auto probe = recording();
    Link link = open(probe);
    probe->on_resume = [&] { probe->close(); };
    kernel().block_sends();
    probe->write(pattern(70'000));
    ASSERT_TRUE(probe->writing_paused());
    if (close_first) probe->close();
    kernel().release_sends();
    run_until_ended(*link.peer);
    run_until_lost(*probe);
    EXPECT_TRUE(link.peer->received() == pattern(70'000));
    EXPECT_TRUE(link.peer->eof());
    EXPECT_EQ(times(*probe, "lost:ok"), 1u) << probe->summary();
  }
}

TEST_P(FlowControl, C0413_ResumeWritingThatAbortsDuringAFlushEndsOnce) {
  for (const bool close_first : {false, true}) {
    auto probe = recording();
    Link link = open(probe);
    probe->on_resume = [&] { probe->abort(); };
    kernel().block_sends();
    probe->write(pattern(70'000));
    ASSERT_TRUE(probe->writing_paused());
    if (close_first) probe->close();
    kernel().release_sends();
    run_until_lost(*probe);
    settle();
    EXPECT_EQ(times(*probe, "lost:ok"), 1u) << probe->summary();
  }
}

// asyncio goes on after pause_writing or resume_writing threw; here an exception out of any
// callback ends the connection.
TEST_P(FlowControl, C0414_PauseWritingThatThrowsEndsItsConnectionAlone) {
  auto probe = recording();
  auto other = recording();
  Link link = open(probe);
  Link bystander = open(other);
  probe->on_pause = [] { throw std::runtime_error("no pause"); };
  kernel().block_sends();
  EXPECT_NO_THROW(probe->write(pattern(70'000)));
  EXPECT_TRUE(link.transport->is_closing());
  EXPECT_FALSE(probe->lost());
  kernel().release_sends();
  run_until_lost(*probe);
  EXPECT_EQ(probe->error(), errc::protocol_failed);
  const auto told = take_exceptions();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_NE(told[0].message.find("pause_writing"), std::string::npos) << told[0].message;
  EXPECT_EQ(what(told[0].exception), "no pause");
  other->write("still here");
  run_until_received(*bystander.peer, 10);
}

TEST_P(FlowControl, C0414_ResumeWritingThatThrowsEndsItsConnectionAlone) {
  auto probe = recording();
  Link link = open(probe);
  probe->on_resume = [] { throw std::runtime_error("no resume"); };
  kernel().block_sends();
  probe->write(pattern(70'000));
  kernel().release_sends();
  run_until_lost(*probe);
  EXPECT_EQ(probe->error(), errc::protocol_failed);
  const auto told = take_exceptions();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_NE(told[0].message.find("resume_writing"), std::string::npos) << told[0].message;
}

TEST_P(FlowControl, TheBufferSizeIsExactAtEveryStep) {
  auto probe = recording();
  Link link = open(probe);
  kernel().block_sends();
  std::size_t expected = 0;
  for (const std::size_t size : {1u, 100u, 5000u, 70'000u, 3u, 300'000u, 17u}) {
    probe->write(pattern(size));
    expected += size;
    EXPECT_EQ(link.transport->get_write_buffer_size(), expected);
  }
  for (const std::size_t step : {1u, 99u, 60'000u, 15'000u, 200'000u}) {
    kernel().allow_sends(step);
    expected -= step;
    run_until([&] {
      link.peer->pump();
      return link.transport->get_write_buffer_size() == expected;
    });
  }
  kernel().release_sends();
  run_until([&] {
    link.peer->pump();
    return link.transport->get_write_buffer_size() == 0;
  });
}

TEST_P(FlowControl, TheHardLimitIsNotReachedByAnExactlyFullBuffer) {
  auto probe = recording();
  Link link = open(probe);
  link.transport->set_write_hard_limit(100'000);
  kernel().block_sends();
  probe->write(pattern(100'000));
  settle();
  EXPECT_FALSE(link.transport->is_closing());
  kernel().release_sends();
  run_until_received(*link.peer, 100'000);
}

TEST_P(FlowControl, BeyondTheHardLimitTheConnectionIsAborted) {
  auto probe = recording();
  Link link = open(probe);
  link.transport->set_write_hard_limit(100'000);
  kernel().block_sends();
  probe->write(pattern(100'000));
  probe->write("+");
  EXPECT_TRUE(link.transport->is_closing());
  EXPECT_FALSE(probe->lost());
  EXPECT_EQ(link.transport->get_write_buffer_size(), 0u);
  run_until_lost(*probe);
  EXPECT_EQ(probe->error(), errc::write_overflow);
  EXPECT_EQ(link.transport->error().code, errc::write_overflow);
  kernel().release_sends();
}

TEST_P(FlowControl, TheHardLimitHoldsInsideACallback) {
  auto probe = recording();
  probe->on_data = [&](BytesView) {
    for (int i = 0; i < 20; ++i) probe->write(pattern(10'000));
  };
  Link link = open(probe);
  link.transport->set_write_hard_limit(100'000);
  kernel().block_sends();
  link.peer->send("go");
  run_until_lost(*probe);
  EXPECT_EQ(probe->error(), errc::write_overflow);
  kernel().release_sends();
}

}  // namespace ferry::test
