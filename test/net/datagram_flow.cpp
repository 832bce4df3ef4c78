// What waits to be sent: counted, limited, told.

#include "datagram_fixture.h"

#include <stdexcept>

namespace ferry::test {
namespace {

using namespace std::chrono_literals;
using Strings = std::vector<std::string>;

class DatagramFlow : public DatagramTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, DatagramFlow, ::testing::ValuesIn(kWorlds), world_name);

TEST_P(DatagramFlow, C0468_ADatagramCountsItsBytesAndAHeader) {
  Endpoint a = open();
  Endpoint b = open();
  kernel().block_sends();
  a.transport->sendto("12345", b.transport->sockname());
  EXPECT_EQ(a.transport->get_write_buffer_size(), 13u);
  a.transport->sendto("", b.transport->sockname());
  EXPECT_EQ(a.transport->get_write_buffer_size(), 21u);
  kernel().release_sends();
  run_until_received(b, 2);
  EXPECT_EQ(a.transport->get_write_buffer_size(), 0u);
}

TEST_P(DatagramFlow, C0468_ManyEmptyDatagramsPauseAtLast) {
  Endpoint a = open();
  Endpoint b = open();
  kernel().block_sends();
  const std::size_t fits = 64 * 1024 / 8;
  for (std::size_t i = 0; i < fits; ++i) a.transport->sendto("", b.transport->sockname());
  EXPECT_FALSE(a.protocol->writing_paused);
  a.transport->sendto("", b.transport->sockname());
  EXPECT_TRUE(a.protocol->writing_paused);
  a.transport->abort();
  kernel().release_sends();
  settle();
}

TEST_P(DatagramFlow, PauseAboveHighAndResumeAtLow) {
  Endpoint a = open();
  Endpoint b = open();
  a.transport->set_write_buffer_limits(50, 18);
  kernel().block_sends();
  for (int i = 0; i < 5; ++i) a.transport->sendto("0", b.transport->sockname());  // 9 each
  EXPECT_FALSE(a.protocol->writing_paused);
  a.transport->sendto("0", b.transport->sockname());
  EXPECT_TRUE(a.protocol->writing_paused);
  if (simulated()) {  // where nothing is joined, one can go at a time
    kernel().allow_sends(3);
    settle();
    EXPECT_EQ(a.transport->get_write_buffer_size(), 27u);
    EXPECT_TRUE(a.protocol->writing_paused);
  }
  kernel().release_sends();
  run_until_received(b, 6);
  EXPECT_EQ(a.protocol->events, (Strings{"made", "pause", "resume"}));
}

TEST_P(DatagramFlow, ResumeMayWriteAndPauseAgain) {
  Endpoint a = open();
  Endpoint b = open();
  a.transport->set_write_buffer_limits(20, 0);
  int rounds = 0;
  a.protocol->on_resume = [&] {
    if (++rounds > 3) return;
    kernel().block_sends();
    while (!a.protocol->writing_paused) a.transport->sendto("x", b.transport->sockname());
    loop().call_soon([&] { kernel().release_sends(); });
  };
  kernel().block_sends();
  while (!a.protocol->writing_paused) a.transport->sendto("x", b.transport->sockname());
  kernel().release_sends();
  run_until_received(b, 12);
  EXPECT_EQ(rounds, 4);
}

TEST_P(DatagramFlow, CloseInsideResumeWritingFlushesOnceAndEndsOnce) {
  Endpoint a = open();
  Endpoint b = open();
  a.transport->set_write_buffer_limits(0);
  a.protocol->on_resume = [&] { a.transport->close(); };
  kernel().block_sends();
  a.transport->sendto("x", b.transport->sockname());
  kernel().release_sends();
  run_until([&] { return a.protocol->lost; });
  EXPECT_EQ(a.protocol->events, (Strings{"made", "pause", "resume", "lost:ok"}));
  run_until_received(b, 1);
}

TEST_P(DatagramFlow, LimitsAreThoseOfStreams) {
  Endpoint a = open();
  EXPECT_EQ(a.transport->get_write_buffer_limits().high, 65536u);
  EXPECT_EQ(a.transport->get_write_buffer_limits().low, 16384u);
  a.transport->set_write_buffer_limits(100);
  EXPECT_EQ(a.transport->get_write_buffer_limits().low, 25u);
  EXPECT_THROW(a.transport->set_write_buffer_limits(1, 2), std::invalid_argument);
  kernel().block_sends();
  a.transport->sendto("1234567890", a.transport->sockname());
  EXPECT_FALSE(a.protocol->writing_paused);
  a.transport->set_write_buffer_limits(10);
  EXPECT_TRUE(a.protocol->writing_paused);
  a.transport->abort();
  kernel().release_sends();
  settle();
}

TEST_P(DatagramFlow, BeyondTheHardLimitADatagramIsDroppedAndReported) {
  Endpoint a = open();
  Endpoint b = open();
  a.transport->set_write_hard_limit(20);
  kernel().block_sends();
  a.transport->sendto("first", b.transport->sockname());   // 13
  a.transport->sendto("second", b.transport->sockname());  // would be 27
  ASSERT_EQ(a.protocol->errors.size(), 1u);
  EXPECT_EQ(a.protocol->errors[0], errc::write_overflow);
  EXPECT_EQ(a.transport->get_write_buffer_size(), 13u);
  kernel().release_sends();
  run_until_received(b, 1);
  settle();
  EXPECT_EQ(b.protocol->data, Strings{"first"});
}

TEST_P(DatagramFlow, QueuedDatagramsKeepTheirOrderAmongLaterOnes) {
  Endpoint a = open();
  Endpoint b = open();
  kernel().block_sends();
  Strings expected;
  for (int i = 0; i < 100; ++i) {
    if (i == 50) kernel().release_sends();
    expected.push_back(std::to_string(i) + std::string(i % 7 == 0 ? 17'000u : 0u, 'x'));
    a.transport->sendto(expected.back(), b.transport->sockname());
    if (i % 10 == 9 && i >= 50) settle();
  }
  run_until_received(b, 100);
  EXPECT_TRUE(b.protocol->data == expected);
}

}  // namespace
}  // namespace ferry::test
