// Calls from other threads.

#include "loop_suite.h"

#include <atomic>
#include <latch>
#include <string>
#include <thread>
#include <vector>

namespace ferry::test {
namespace {

class Threads : public LoopSuite {};
INSTANTIATE_TEST_SUITE_P(World, Threads, ::testing::Values(World::asio), world_name);

class ThreadsBoth : public LoopSuite {};
INSTANTIATE_TEST_SUITE_P(Worlds, ThreadsBoth, ::testing::ValuesIn(kWorlds), world_name);

TEST_P(ThreadsBoth, C0049_AnotherThreadWakesAnIdleLoop) {
  std::atomic<bool> about_to_wait = false;
  std::thread thread([&] {
    while (!about_to_wait) std::this_thread::yield();
    loop().call_soon_threadsafe([&] { loop().stop(); });
  });
  loop().call_soon([&] { about_to_wait = true; });
  loop().run_forever();  // nothing but the thread can end it
  thread.join();
}

TEST_P(Threads, AWakeUpComesLongBeforeTheNextTimer) {
  TimerHandle far = loop().call_later(1h, [] {});
  std::thread thread([&] { loop().call_soon_threadsafe([&] { loop().stop(); }); });
  loop().run_forever();
  thread.join();
  far.cancel();
}

TEST_P(ThreadsBoth, C0050_OrderWithCallSoon) {
  std::string said;
  std::thread thread([&] { loop().call_soon_threadsafe([&] { said += "hello"; }); });
  thread.join();
  loop().call_soon([&] {
    said += " world";
    loop().stop();
  });
  loop().run_forever();
  EXPECT_EQ(said, "hello world");
}

TEST_P(ThreadsBoth, PostsFromTheLoopsOwnThreadKeepTheirPlaceAmongCallSoon) {
  std::string ran;
  loop().call_soon([&] { ran += '1'; });
  loop().call_soon_threadsafe([&] { ran += '2'; });
  loop().call_soon([&] { ran += '3'; });
  loop().call_soon_threadsafe([&] {
    ran += '4';
    loop().call_soon_threadsafe([&] { ran += '6'; });
    loop().call_soon([&] { ran += '7'; });
  });
  loop().call_soon([&] { ran += '5'; });
  tick(5);
  EXPECT_EQ(ran, "1234567");
}

TEST_P(Threads, C0052_ManyPostsMixedWithTimersArriveExactlyOnceEach) {
  constexpr int kPosts = 4096;
  int count = 0;
  TimerHandle timer;
  std::thread thread([&] {
    for (int i = 0; i < kPosts; ++i) {
      loop().call_soon_threadsafe([&] {
        ++count;
        timer.cancel();
        timer = loop().call_later(10s, [] { ADD_FAILURE() << "it was cancelled"; });
      });
      if (i % 16 == 0) std::this_thread::yield();
    }
    loop().call_soon_threadsafe([&] { loop().stop(); });
  });
  loop().run_forever();
  thread.join();
  timer.cancel();
  EXPECT_EQ(count, kPosts);
}

TEST_P(Threads, EachThreadsPostsArriveInItsOrder) {
  constexpr int kThreads = 4;
  constexpr int kPosts = 2000;
  std::vector<std::vector<int>> arrived(kThreads);
  int left = kThreads * kPosts;
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kPosts; ++i) {
        loop().call_soon_threadsafe([&, t, i] {
          arrived[t].push_back(i);
          if (--left == 0) loop().stop();
        });
      }
    });
  }
  loop().run_forever();
  for (std::thread& thread : threads) thread.join();
  for (const std::vector<int>& one : arrived) {
    ASSERT_EQ(one.size(), static_cast<std::size_t>(kPosts));
    for (int i = 0; i < kPosts; ++i) ASSERT_EQ(one[static_cast<std::size_t>(i)], i);
  }
}

TEST_P(Threads, WhatAThreadWroteBeforeThePostIsSeenByTheCallback) {
  std::vector<int> plain;  // no lock, no atomic: the post is the only edge (TSan checks)
  std::thread thread([&] {
    for (int i = 0; i < 100; ++i) plain.push_back(i);
    loop().call_soon_threadsafe([&] {
      EXPECT_EQ(plain.size(), 100U);
      loop().stop();
    });
  });
  loop().run_forever();
  thread.join();
}

TEST_P(ThreadsBoth, C0053_CallSoonThreadsafeAfterCloseThrows) {
  loop().close();
  EXPECT_THROW(loop().call_soon_threadsafe([] {}), std::logic_error);
  EXPECT_FALSE(loop().mailbox().post([] {}));
}

TEST_P(Threads, C0053_PostsThatRaceWithCloseNeitherCrashNorHang) {
  for (int round = 0; round < 50; ++round) {
    auto other = std::make_unique<EventLoop>(make_kernel(GetParam()));
    Mailbox mailbox = other->mailbox();
    Token token;
    std::latch begin(2);
    bool refused = false;
    std::thread thread([&] {
      begin.arrive_and_wait();
      while (mailbox.post([held = token.held()] {})) std::this_thread::yield();
      refused = true;
    });
    begin.arrive_and_wait();
    for (int i = 0; i < round % 5; ++i) {
      other->stop();
      other->run_forever();
    }
    other->close();
    if (round % 2 == 0) other.reset();
    thread.join();
    EXPECT_TRUE(refused);
    EXPECT_FALSE(token.captured());
  }
}

TEST_P(ThreadsBoth, AMailboxOutlivesItsLoopAndDropsWhatItIsGiven) {
  Token token;
  auto other = std::make_unique<EventLoop>(make_kernel(GetParam()));
  Mailbox mailbox = other->mailbox();
  EXPECT_TRUE(mailbox.post([held = token.held()] {}));
  EXPECT_TRUE(token.captured());
  other.reset();
  EXPECT_FALSE(token.captured());
  EXPECT_FALSE(mailbox.post([held = token.held()] {}));
  EXPECT_FALSE(token.captured());
}

TEST_P(ThreadsBoth, C0054_DebugRefusesCallsFromTheWrongThread) {
  loop().set_debug(true);
  loop().call_soon([&] {
    std::thread thread([&] {
      EXPECT_THROW(loop().call_soon([] {}), std::logic_error);
      EXPECT_THROW(loop().call_later(1ms, [] {}), std::logic_error);
      EXPECT_THROW(loop().call_at(TimePoint{}, [] {}), std::logic_error);
      EventLoop mine(make_kernel(GetParam()));
      mine.call_soon([&] {
        EXPECT_THROW(loop().call_soon([] {}), std::logic_error);
        mine.call_soon([&] { mine.stop(); });
      });
      mine.run_forever();
    });
    thread.join();
  });
  tick();
  EXPECT_EQ(loop().stats().timers, 0U);
}

TEST_P(ThreadsBoth, C0054_WithoutDebugTheThreadIsNotChecked) {
  loop().set_debug(false);
  bool ran = false;
  loop().call_soon([&] {
    // No race: this thread waits for the other one.
    std::thread thread([&] { EXPECT_NO_THROW(loop().call_soon([&] { ran = true; })); });
    thread.join();
  });
  tick();
  EXPECT_TRUE(ran);
}

TEST_P(ThreadsBoth, ALoopThatDoesNotRunMayBeUsedFromAnyThreadInDebugToo) {
  loop().set_debug(true);
  bool ran = false;
  std::thread thread([&] { loop().call_soon([&] { ran = true; }); });
  thread.join();
  tick();
  EXPECT_TRUE(ran);
}

TEST_P(Threads, C0060_SetDebugFromAnotherThreadWhileRunning) {
  std::atomic<bool> end = false;
  std::thread thread([&] {
    for (int i = 0; i < 1000; ++i) loop().set_debug(i % 2 == 0);
    loop().set_debug(true);
    end = true;
    loop().call_soon_threadsafe([&] { loop().stop(); });
  });
  Function<void()> again = [&] {
    if (!end) loop().call_soon([&] { again(); });
  };
  again();
  loop().run_forever();
  thread.join();
  EXPECT_TRUE(loop().debug());
}

}  // namespace
}  // namespace ferry::test
