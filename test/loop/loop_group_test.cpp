// Many loops, each on its thread.

#include <ferry/loop_group.h>

#include "loop_suite.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <latch>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace ferry::test {
namespace {

/// Looks that no descriptor is left behind.
class LoopGroupTest : public ::testing::Test {
 protected:
  void TearDown() override { EXPECT_EQ(open_descriptors(), before_); }

 private:
  std::size_t before_ = open_descriptors();
};

template <class F>
auto on_each(LoopGroup& group, F f) {
  std::vector<decltype(f(group.loop(0)))> results;
  for (auto& result : group.run_on_each(f)) results.push_back(result.get());
  return results;
}

TEST_F(LoopGroupTest, EachLoopRunsOnAThreadOfItsOwn) {
  LoopGroup group({.loops = 3});
  EXPECT_EQ(group.size(), 3U);
  group.start();
  const auto threads = on_each(group, [](EventLoop&) { return std::this_thread::get_id(); });
  EXPECT_EQ(std::set(threads.begin(), threads.end()).size(), 3U);
  EXPECT_EQ(std::count(threads.begin(), threads.end(), std::this_thread::get_id()), 0);
  const auto running = on_each(group, [](EventLoop& loop) { return running_loop() == &loop; });
  EXPECT_EQ(running, std::vector<bool>(3, true));
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(group.run_on(i, [](EventLoop& loop) { return &loop; }).get(), &group.loop(i));
  }
}

TEST_F(LoopGroupTest, ThereIsALoopForEachCoreUnlessTold) {
  const LoopGroup group;
  EXPECT_EQ(group.size(), std::max(std::thread::hardware_concurrency(), 1U));
}

TEST_F(LoopGroupTest, ThreadsAreNamedAndLeaveSignalsToOthers) {
  LoopGroup group({.loops = 2, .name = "worker"});
  group.start();
  const auto names = on_each(group, [](EventLoop&) {
    char name[64] = {};
    pthread_getname_np(pthread_self(), name, sizeof name);
    return std::string(name);
  });
  EXPECT_EQ(names, (std::vector<std::string>{"worker-0", "worker-1"}));
  const auto blocked = on_each(group, [](EventLoop&) {
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    return sigismember(&mask, SIGTERM) == 1;
  });
  EXPECT_EQ(blocked, std::vector<bool>(2, true));
}

TEST_F(LoopGroupTest, WhatAFunctionThrowsComesOutOfItsFuture) {
  LoopGroup group({.loops = 1});
  group.start();
  auto failed = group.run_on(0, [](EventLoop&) { throw std::runtime_error("no"); });
  EXPECT_THROW(failed.get(), std::runtime_error);
  EXPECT_EQ(group.run_on(0, [](EventLoop&) { return 7; }).get(), 7);
}

TEST_F(LoopGroupTest, WhatIsQueuedBeforeTheStartRunsThen) {
  LoopGroup group({.loops = 2});
  auto results = group.run_on_each([](EventLoop&) { return 1; });
  EXPECT_EQ(results[0].wait_for(0s), std::future_status::timeout);
  group.start();
  EXPECT_EQ(results[0].get() + results[1].get(), 2);
}

TEST_F(LoopGroupTest, StopEndsAllLoopsAndJoinWaitsForThem) {
  LoopGroup group({.loops = 3});
  group.start();
  group.stop();
  group.stop();
  group.join();
  group.join();
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(group.loop(i).is_closed());
    EXPECT_FALSE(group.crew()->alive(i));
  }
}

TEST_F(LoopGroupTest, ALoopOfTheGroupMayStopIt) {
  LoopGroup group({.loops = 3});
  group.start();
  group.run_on(1, [&](EventLoop&) { group.stop(); });
  group.join();
}

TEST_F(LoopGroupTest, AStoppedGroupNeedNotHaveBeenStarted) {
  LoopGroup group({.loops = 2});
  auto never = group.run_on(0, [](EventLoop&) {});
  group.stop();
  group.join();
}

TEST_F(LoopGroupTest, WhatComesTooLateIsABrokenPromise) {
  LoopGroup group({.loops = 1});
  group.start();
  group.stop();
  group.join();
  EXPECT_FALSE(group.crew()->post(0, [](EventLoop&) { ADD_FAILURE(); }));
  EXPECT_THROW(group.run_on(0, [](EventLoop&) {}).get(), std::future_error);
}

TEST_F(LoopGroupTest, WhatALoopDidNotBeginIsDestroyedWithIt) {
  const Token token;
  {
    LoopGroup group({.loops = 1});
    group.start();
    std::latch posted(1);
    group.loop(0).call_soon_threadsafe([&] {
      posted.wait();
      throw LoopExit{};
    });
    group.run_on(0, [held = token.held()](EventLoop&) { ADD_FAILURE(); });
    posted.count_down();
    EXPECT_THROW(group.join(), LoopExit);
    EXPECT_FALSE(token.captured());
  }
}

TEST_F(LoopGroupTest, SetupIsDoneOnEachThreadBeforeStartReturns) {
  std::mutex mutex;
  std::map<std::size_t, std::thread::id> set_up;
  LoopGroup group({.loops = 3, .setup = [&](EventLoop&, std::size_t index) {
                     const std::lock_guard lock(mutex);
                     set_up[index] = std::this_thread::get_id();
                   }});
  group.start();
  ASSERT_EQ(set_up.size(), 3U);
  const auto threads = on_each(group, [](EventLoop&) { return std::this_thread::get_id(); });
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(set_up[i], threads[i]);
}

TEST_F(LoopGroupTest, ASetupThatThrowsFailsTheStartAndNothingRuns) {
  LoopGroup group({.loops = 3, .setup = [](EventLoop&, std::size_t index) {
                     if (index == 1) throw std::runtime_error("not this one");
                   }});
  EXPECT_THROW(group.start(), std::runtime_error);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_TRUE(group.loop(i).is_closed());
  EXPECT_THROW(group.start(), std::logic_error);
  group.join();
}

TEST_F(LoopGroupTest, AnExceptionInACallbackEndsNoLoop) {
  std::atomic<int> told = 0;
  LoopGroup group({.loops = 1, .setup = [&](EventLoop& loop, std::size_t) {
                     loop.set_exception_handler(
                         [&](EventLoop&, const ExceptionContext&) { ++told; });
                   }});
  group.start();
  group.loop(0).call_soon_threadsafe([] { throw std::runtime_error("oops"); });
  group.run_on(0, [](EventLoop&) {}).get();
  EXPECT_EQ(told, 1);
}

TEST_F(LoopGroupTest, ALoopThatEndsIsReportedAndTheOthersGoOn) {
  std::promise<std::size_t> ended;
  std::atomic<int> reports = 0;
  LoopGroup group({.loops = 3, .on_loop_ended = [&](std::size_t index, std::exception_ptr why) {
                     EXPECT_THROW(std::rethrow_exception(why), LoopExit);
                     ++reports;
                     ended.set_value(index);
                   }});
  group.start();
  group.loop(1).call_soon_threadsafe([] { throw LoopExit{3}; });
  EXPECT_EQ(ended.get_future().get(), 1U);
  EXPECT_FALSE(group.crew()->alive(1));
  EXPECT_FALSE(group.crew()->post(1, [](EventLoop&) {}));
  EXPECT_EQ(group.run_on(0, [](EventLoop&) { return 1; }).get(), 1);
  EXPECT_EQ(group.run_on(2, [](EventLoop&) { return 1; }).get(), 1);
  group.stop();
  EXPECT_THROW(group.join(), LoopExit);
  group.join();  // once is enough
  EXPECT_EQ(reports, 1);
}

TEST_F(LoopGroupTest, ALoopThatACallbackStopsIsReportedToo) {
  std::promise<bool> without_exception;
  LoopGroup group({.loops = 2, .on_loop_ended = [&](std::size_t, std::exception_ptr why) {
                     without_exception.set_value(why == nullptr);
                   }});
  group.start();
  group.run_on(0, [](EventLoop& loop) { loop.stop(); });
  EXPECT_TRUE(without_exception.get_future().get());
  group.stop();
  group.join();
}

TEST_F(LoopGroupTest, AnEndThatNobodyListensForIsLogged) {
  std::string logged;  // by the one thread that is joined before it is read
  {
    LoopGroup group({.loops = 2, .setup = [&](EventLoop& loop, std::size_t index) {
                       if (index != 0) return;
                       loop.set_log_sink([&](LogLevel, std::string_view line) { logged += line; });
                     }});
    group.start();
    group.loop(0).call_soon_threadsafe([] { throw LoopExit{}; });
    while (group.crew()->alive(0)) std::this_thread::yield();
  }
  EXPECT_NE(logged.find("loop 0 of ferry-loop has ended"), std::string::npos) << logged;
}

TEST_F(LoopGroupTest, JoinOnOneOfItsThreadsIsRefused) {
  LoopGroup group({.loops = 1});
  group.start();
  EXPECT_THROW(group.run_on(0, [&](EventLoop&) { group.join(); }).get(), std::logic_error);
}

// -- load

TEST_F(LoopGroupTest, TheLeastLoadedLoopIsChosenAndEqualsInTurn) {
  LoopGroup group({.loops = 3});
  LoopCrew& crew = *group.crew();
  for (int round = 0; round < 30; ++round) crew.add_to_least_loaded();
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(crew.load(i), 10U);
  crew.remove_load(2);
  crew.remove_load(2);
  EXPECT_EQ(crew.add_to_least_loaded(), 2U);
  EXPECT_EQ(crew.add_to_least_loaded(), 2U);
  // One at a time, gone before the next comes: not always the same loop.
  std::set<std::size_t> chosen;
  for (int i = 0; i < 3; ++i) {
    const auto index = crew.add_to_least_loaded();
    chosen.insert(index.value());
    crew.remove_load(*index);
  }
  EXPECT_EQ(chosen.size(), 3U);
}

TEST_F(LoopGroupTest, LoadIsExactWhateverManyThreadsDo) {
  LoopGroup group({.loops = 3});
  LoopCrew& crew = *group.crew();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 3000; ++i) {
        const auto index = crew.add_to_least_loaded();
        if (i % 3 != 0) crew.remove_load(index.value());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(crew.load(0) + crew.load(1) + crew.load(2), 4000U);
}

TEST_F(LoopGroupTest, DeadLoopsAndStoppedGroupsGetNoLoad) {
  std::promise<void> ended;
  LoopGroup group(
      {.loops = 2, .on_loop_ended = [&](std::size_t, std::exception_ptr) { ended.set_value(); }});
  group.start();
  group.run_on(0, [](EventLoop& loop) { loop.stop(); });
  ended.get_future().get();
  for (int i = 0; i < 4; ++i) EXPECT_EQ(group.crew()->add_to_least_loaded(), 1U);
  group.stop();
  EXPECT_EQ(group.crew()->add_to_least_loaded(), std::nullopt);
  const auto crew = group.crew();
  group.join();
  EXPECT_EQ(crew->load(1), 4U);
}

TEST(LoopGroupDeathTest, DestroyingAGroupOnOneOfItsThreads) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        auto group = std::make_unique<LoopGroup>(LoopGroupOptions{.loops = 1});
        group->start();
        std::latch gone(1);
        group->loop(0).call_soon_threadsafe([&] { group.reset(); });
        gone.wait();
      },
      "ferry: fatal: a LoopGroup was destroyed on one of its own threads");
}

}  // namespace
}  // namespace ferry::test
