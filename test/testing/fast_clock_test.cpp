#include "fast_clock_kernel.h"

#include <ferry/event_loop.h>

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include <sys/socket.h>
#include <unistd.h>

namespace ferry::testing {

namespace {

using namespace std::chrono_literals;

std::unique_ptr<Kernel> fast(std::int64_t speed, Duration longest) {
  return std::make_unique<FastClockKernel>(make_asio_kernel(), speed, longest);
}

TEST(FastClock, ATimerIsNeverEarly) {
  EventLoop loop(fast(1000, 10ms));
  const TimePoint begin = loop.time();
  std::vector<Duration> passed;
  for (const Duration delay : {Duration(1ms), Duration(10s), Duration(24h)}) {
    loop.call_later(delay, [&] { passed.push_back(loop.time() - begin); });
  }
  loop.call_later(25h, [&] { loop.stop(); });
  loop.run_forever();
  ASSERT_EQ(passed.size(), 3u);
  EXPECT_GE(passed[0], 1ms);
  EXPECT_GE(passed[1], 10s);
  EXPECT_GE(passed[2], 24h);
}

TEST(FastClock, WhatTheLoopDoesTakesItsOwnTime) {
  EventLoop loop(fast(1'000'000, 10ms));
  loop.call_soon([&] {
    const auto begin = std::chrono::steady_clock::now();
    const TimePoint clock_begin = loop.time();
    std::this_thread::sleep_for(5ms);
    const TimePoint clock_end = loop.time();
    EXPECT_LE(clock_end - clock_begin, std::chrono::steady_clock::now() - begin);
    loop.stop();
  });
  loop.run_forever();
}

TEST(FastClock, WhatArrivedDuringAStallComesBeforeTheTimer) {
  EventLoop loop(fast(1'000'000, 10ms));
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
  bool arrived = false;
  loop.add_reader(ends[0], [&] {
    arrived = true;
    loop.remove_reader(ends[0]);
  });
  loop.call_later(60s, [&] {
    EXPECT_TRUE(arrived);
    loop.stop();
  });
  loop.call_soon([&] {
    ASSERT_EQ(write(ends[1], "x", 1), 1);
    std::this_thread::sleep_for(20ms);  // the timer is long due when the loop looks again
  });
  loop.run_forever();
  close(ends[0]);
  close(ends[1]);
}

}  // namespace

}  // namespace ferry::testing
