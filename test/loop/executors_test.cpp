// run_in_executor and the default executor.

#include "loop_suite.h"

#include <pthread.h>

#include <atomic>
#include <deque>
#include <latch>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace ferry::test {
namespace {

class Executors : public LoopSuite {};
INSTANTIATE_TEST_SUITE_P(World, Executors, ::testing::Values(World::asio), world_name);

class ExecutorsBoth : public LoopSuite {};
INSTANTIATE_TEST_SUITE_P(Worlds, ExecutorsBoth, ::testing::ValuesIn(kWorlds), world_name);

/// Keeps the jobs, to be run, or dropped, by the test.
class ManualExecutor final : public Executor {
 public:
  void submit(Function<void()> job) override { jobs.push_back(std::move(job)); }
  void run_all() {
    while (!jobs.empty()) {
      auto job = std::move(jobs.front());
      jobs.pop_front();
      job();
    }
  }
  std::deque<Function<void()>> jobs;
};

TEST_P(ExecutorsBoth, C0330_TheFunctionRunsInAnotherThreadAndItsValueComesBack) {
  std::thread::id ran_in{};
  bool done_in_loop = false;
  const Future<int> future = loop().run_in_executor(nullptr, [&ran_in, arg = 20] {
    ran_in = std::this_thread::get_id();
    return arg + 1;
  });
  future.add_done_callback([&] { done_in_loop = running_loop() == &loop(); });
  EXPECT_EQ(loop().stats().jobs, 1U);
  EXPECT_EQ(loop().run_until_complete(future), 21);
  tick();
  EXPECT_NE(ran_in, std::this_thread::get_id());
  EXPECT_TRUE(done_in_loop);
  EXPECT_EQ(loop().stats().jobs, 0U);
}

TEST_P(ExecutorsBoth, ExceptionsReachTheFuture) {
  const Future<int> future =
      loop().run_in_executor(nullptr, []() -> int { throw std::out_of_range("from the worker"); });
  try {
    loop().run_until_complete(future);
    FAIL() << "it did not throw";
  } catch (const std::out_of_range& e) {
    EXPECT_STREQ(e.what(), "from the worker");
  }
  // Also one that is no std::exception, and would mean something on the loop's own thread.
  const Future<void> exits = loop().run_in_executor(nullptr, [] { throw LoopExit{4}; });
  EXPECT_THROW(loop().run_until_complete(exits), LoopExit);
}

TEST_P(Executors, C0109_VoidMoveOnlyAndReferenceResultsCross) {
  int touched = 0;
  loop().run_until_complete(loop().run_in_executor(nullptr, [&] { touched = 7; }));
  EXPECT_EQ(touched, 7);

  const auto owned = loop().run_until_complete(
      loop().run_in_executor(nullptr, [] { return std::make_unique<int>(8); }));
  EXPECT_EQ(*owned, 8);

  const std::string text = "a value, not a reference";
  const Future<std::string> copied =
      loop().run_in_executor(nullptr, [&text]() -> const std::string& { return text; });
  EXPECT_EQ(loop().run_until_complete(copied), text);
}

TEST_P(Executors, C0337_ArgumentsMayBeMoveOnlyAndDieBeforeTheFutureIsDone) {
  Token token;
  auto argument = std::make_unique<int>(9);
  const Future<int> future = loop().run_in_executor(
      nullptr, [argument = std::move(argument), held = token.held()] { return *argument; });
  EXPECT_EQ(loop().run_until_complete(future), 9);
  EXPECT_FALSE(token.captured());
}

TEST_P(Executors, C0337_JobsRunConcurrently) {
  ThreadPool pool({.threads = 10});
  std::latch all(10);
  std::vector<Future<int>> futures;
  for (int i = 0; i < 10; ++i) {
    // Each waits for the nine others: in turn they would never end.
    futures.push_back(loop().run_in_executor(&pool, [&all, i] {
      all.arrive_and_wait();
      return i;
    }));
  }
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(loop().run_until_complete(futures[static_cast<std::size_t>(i)]), i);
  }
}

TEST_P(Executors, TheLoopGoesOnWhileAJobRuns) {
  std::latch gate(1);
  const Future<void> future = loop().run_in_executor(nullptr, [&] { gate.wait(); });
  int ticks = 0;
  Function<void()> again = [&] {
    if (++ticks < 10) {
      loop().call_soon([&] { again(); });
    } else {
      gate.count_down();
    }
  };
  again();
  loop().run_until_complete(future);
  EXPECT_EQ(ticks, 10);
}

TEST_P(Executors, C0332_CancellingAQueuedJobKeepsItFromRunning) {
  Token token;
  ThreadPool pool({.threads = 1});
  std::latch begun(1);
  std::latch gate(1);
  const Future<void> first = loop().run_in_executor(&pool, [&] {
    begun.count_down();
    gate.wait();
  });
  bool ran = false;
  const Future<int> second = loop().run_in_executor(&pool, [&, held = token.held()] {
    ran = true;
    return 1;
  });
  begun.wait();
  EXPECT_EQ(loop().stats().jobs, 2U);
  EXPECT_TRUE(second.cancel());
  EXPECT_FALSE(token.captured());  // at once, though the job still stands in the pool's queue
  EXPECT_EQ(loop().stats().jobs, 1U);
  gate.count_down();
  loop().run_until_complete(first);
  pool.shutdown();
  tick();
  EXPECT_FALSE(ran);
  EXPECT_TRUE(second.cancelled());
}

TEST_P(Executors, C0332_CancellingARunningJobDropsItsResult) {
  Token token;
  ThreadPool pool({.threads = 1});
  std::latch begun(1);
  std::latch gate(1);
  const Future<std::shared_ptr<int>> future =
      loop().run_in_executor(&pool, [&begun, &gate, held = token.held()] {
        begun.count_down();
        gate.wait();
        return held;
      });
  begun.wait();
  EXPECT_TRUE(future.cancel());
  EXPECT_EQ(loop().stats().jobs, 0U);
  gate.count_down();
  pool.shutdown();
  EXPECT_FALSE(token.captured());
  tick();
  EXPECT_TRUE(future.cancelled());
}

TEST_P(ExecutorsBoth, C0110_CancellingBeforeAnyThreadTookTheJob) {
  ManualExecutor manual;
  int ran = 0;
  const Future<void> cancelled = loop().run_in_executor(&manual, [&] { ++ran; });
  const Future<void> kept = loop().run_in_executor(&manual, [&] { ++ran; });
  cancelled.cancel();
  manual.run_all();
  loop().run_until_complete(kept);
  EXPECT_EQ(ran, 1);
}

TEST_P(ExecutorsBoth, CancellingAfterTheJobRanButBeforeItsResultArrived) {
  ManualExecutor manual;
  Token token;
  const Future<std::shared_ptr<int>> future =
      loop().run_in_executor(&manual, [held = token.held()] { return held; });
  manual.run_all();
  EXPECT_FALSE(future.done());
  EXPECT_TRUE(future.cancel());
  tick();
  EXPECT_TRUE(future.cancelled());
  EXPECT_FALSE(token.captured());
}

TEST_P(ExecutorsBoth, AFutureThatNobodyKeepsIsCompletedAllTheSame) {
  ManualExecutor manual;
  bool ran = false;
  bool called = false;
  loop().run_in_executor(&manual, [&] { ran = true; }).add_done_callback([&] { called = true; });
  manual.run_all();
  tick(5);
  EXPECT_TRUE(ran);
  EXPECT_TRUE(called);
  EXPECT_EQ(loop().stats().jobs, 0U);
  EXPECT_EQ(loop().stats().futures, 0U);
}

TEST_P(ExecutorsBoth, AnExecutorThatRunsTheJobAtOnceCompletesTheFutureFromTheLoop) {
  class Inline final : public Executor {
    void submit(Function<void()> job) override { job(); }
  } inline_executor;
  const Future<int> future = loop().run_in_executor(&inline_executor, [] { return 3; });
  EXPECT_FALSE(future.done());
  EXPECT_EQ(loop().run_until_complete(future), 3);
}

TEST_P(ExecutorsBoth, AnExecutorThatDropsTheJobCancelsTheFuture) {
  ManualExecutor manual;
  Token token;
  const Future<int> future = loop().run_in_executor(&manual, [held = token.held()] { return 1; });
  manual.jobs.clear();
  EXPECT_FALSE(token.captured());
  try {
    loop().run_until_complete(future);
    FAIL() << "it did not throw";
  } catch (const CancelledError& e) {
    EXPECT_EQ(e.message(), "the executor dropped the job");
  }
}

TEST_P(ExecutorsBoth, WhatSubmitThrowsComesOutOfTheCallAndLeavesNothingBehind) {
  class Full final : public Executor {
    void submit(Function<void()>) override { throw std::length_error("full"); }
  } full;
  Token token;
  EXPECT_THROW(loop().run_in_executor(&full, [held = token.held()] {}).done(), std::length_error);
  EXPECT_FALSE(token.captured());
  EXPECT_EQ(loop().stats().jobs, 0U);
  EXPECT_EQ(loop().stats().futures, 0U);
  tick();
}

TEST_P(Executors, C0333_AJobThatFinishesAfterTheLoopClosedPostsNothing) {
  Token token;
  struct Shared {
    std::latch begun{1};
    std::latch gate{1};
    std::latch ended{1};
  };
  const auto shared = std::make_shared<Shared>();
  ThreadPool pool({.threads = 1});
  auto other = std::make_unique<EventLoop>();
  const Future<std::shared_ptr<int>> future =
      other->run_in_executor(&pool, [shared, held = token.held()] {
        shared->begun.count_down();
        shared->gate.wait();
        return held;
      });
  future.add_done_callback([] { ADD_FAILURE() << "the loop is closed"; });
  shared->begun.wait();
  other->close();
  EXPECT_EQ(other->stats().jobs, 0U);
  other.reset();
  shared->gate.count_down();
  pool.shutdown();
  EXPECT_FALSE(future.done());
  EXPECT_FALSE(token.captured());
  EXPECT_TRUE(future.cancel());  // nobody listens any more
}

TEST_P(Executors, C0333_JobsThatFinishWhileTheLoopClosesNeitherCrashNorLeak) {
  Token token;
  for (int round = 0; round < 50; ++round) {
    ThreadPool pool({.threads = 2});
    EventLoop other;
    std::vector<Future<std::shared_ptr<int>>> futures;
    for (int i = 0; i < 20; ++i) {
      futures.push_back(other.run_in_executor(&pool, [held = token.held()] { return held; }));
    }
    other.stop();
    other.run_forever();
    other.close();
    futures.clear();
    pool.shutdown();
  }
  EXPECT_FALSE(token.captured());
}

TEST_P(Executors, CloseKeepsQueuedJobsFromStartingAndDoesNotWaitForRunningOnes) {
  struct Shared {
    std::latch begun{1};
    std::latch gate{1};
    std::latch ended{1};
    std::atomic<int> ran = 0;
  };
  const auto shared = std::make_shared<Shared>();
  {
    EventLoop other;
    other.set_default_executor(std::make_shared<ThreadPool>(ThreadPool::Options{.threads = 1}));
    const Future<void> running = other.run_in_executor(nullptr, [shared] {
      shared->begun.count_down();
      shared->gate.wait();
      shared->ended.count_down();
    });
    const Future<void> queued = other.run_in_executor(nullptr, [shared] { ++shared->ran; });
    shared->begun.wait();
    other.close();  // would never return if it waited: the gate is shut
  }
  shared->gate.count_down();
  shared->ended.wait();
  EXPECT_EQ(shared->ran, 0);
}

TEST_P(Executors, C0334_ShutdownWaitsForTheJobsAndRefusesNewOnes) {
  std::atomic<int> ran = 0;
  std::latch gate(1);
  std::vector<Future<void>> jobs;
  for (int i = 0; i < 50; ++i) {
    jobs.push_back(loop().run_in_executor(nullptr, [&] {
      gate.wait();
      ++ran;
    }));
  }
  const Future<void> down = loop().shutdown_default_executor();
  EXPECT_THROW(loop().run_in_executor(nullptr, [] {}).done(), std::logic_error);
  ThreadPool own({.threads = 1});
  EXPECT_EQ(loop().run_until_complete(loop().run_in_executor(&own, [] { return 5; })), 5);
  EXPECT_FALSE(down.done());
  gate.count_down();
  loop().run_until_complete(down);
  EXPECT_EQ(ran, 50);
  tick();
  for (const Future<void>& job : jobs) EXPECT_TRUE(job.done());
  EXPECT_THROW(loop().run_in_executor(nullptr, [] {}).done(), std::logic_error);
  EXPECT_TRUE(take_log().empty());
  // Again: there is nothing left to do.
  loop().run_until_complete(loop().shutdown_default_executor());
  EXPECT_EQ(loop().stats().timers, 0U);
}

TEST_P(ExecutorsBoth, ShutdownWithoutADefaultExecutorIsDoneAtOnce) {
  const Future<void> down = loop().shutdown_default_executor();
  EXPECT_TRUE(down.done());
  EXPECT_THROW(loop().run_in_executor(nullptr, [] {}).done(), std::logic_error);
}

TEST_P(Executors, ShutdownLeavesAJobBehindThatDoesNotEndInTimeAndSaysSo) {
  struct Shared {
    std::latch gate{1};
    std::latch ended{1};
  };
  const auto shared = std::make_shared<Shared>();
  const Future<void> job = loop().run_in_executor(nullptr, [shared] {
    shared->gate.wait();
    shared->ended.count_down();
  });
  loop().run_until_complete(loop().shutdown_default_executor(20ms));
  const auto log = take_log();
  ASSERT_EQ(log.size(), 1U);
  EXPECT_NE(log[0].find("default executor"), std::string::npos) << log[0];
  EXPECT_FALSE(job.done());
  shared->gate.count_down();
  shared->ended.wait();
  loop().run_until_complete(job);  // it was left behind, not forgotten
}

TEST_P(Executors, CancellingAShutdownStopsTheWaitingOnly) {
  std::latch gate(1);
  const Future<void> job = loop().run_in_executor(nullptr, [&] { gate.wait(); });
  const Future<void> down = loop().shutdown_default_executor();
  EXPECT_TRUE(down.cancel());
  tick();
  EXPECT_EQ(loop().stats().timers, 0U);
  gate.count_down();
  loop().run_until_complete(job);
}

TEST_P(Executors, ClosingTheLoopDuringAShutdownIsClean) {
  struct Shared {
    std::latch begun{1};
    std::latch gate{1};
    std::latch ended{1};
  };
  const auto shared = std::make_shared<Shared>();
  {
    EventLoop other;
    const Future<void> job = other.run_in_executor(nullptr, [shared] {
      shared->begun.count_down();
      shared->gate.wait();
      shared->ended.count_down();
    });
    shared->begun.wait();
    const Future<void> down = other.shutdown_default_executor();
    other.close();
    EXPECT_FALSE(down.done());
  }
  shared->gate.count_down();
  shared->ended.wait();
}

TEST_P(ExecutorsBoth, C0336_ACustomDefaultExecutorIsUsedAndNoneIsRefused) {
  const auto manual = std::make_shared<ManualExecutor>();
  loop().set_default_executor(manual);
  const Future<int> future = loop().run_in_executor(nullptr, [] { return 6; });
  EXPECT_EQ(manual->jobs.size(), 1U);
  manual->run_all();
  EXPECT_EQ(loop().run_until_complete(future), 6);
  EXPECT_THROW(loop().set_default_executor(nullptr), std::invalid_argument);
}

TEST_P(Executors, ReplacingTheLoopsOwnPoolDoesNotWaitForItsJobs) {
  struct Shared {
    std::latch begun{1};
    std::latch gate{1};
  };
  const auto shared = std::make_shared<Shared>();
  const Future<int> old = loop().run_in_executor(nullptr, [shared] {
    shared->begun.count_down();
    shared->gate.wait();
    return 1;
  });
  shared->begun.wait();
  loop().set_default_executor(std::make_shared<ThreadPool>());
  EXPECT_EQ(loop().run_until_complete(loop().run_in_executor(nullptr, [] { return 2; })), 2);
  shared->gate.count_down();
  EXPECT_EQ(loop().run_until_complete(old), 1);
}

TEST_P(Executors, C0338_WorkerThreadsCarryTheLibrarysName) {
  const std::string name = loop().run_until_complete(loop().run_in_executor(nullptr, [] {
    char text[64] = {};
    pthread_getname_np(pthread_self(), text, sizeof text);
    return std::string(text);
  }));
  EXPECT_TRUE(name.starts_with("ferry-")) << name;
}

TEST_P(ExecutorsBoth, AClosedLoopRefusesJobs) {
  loop().close();
  EXPECT_THROW(loop().run_in_executor(nullptr, [] {}).done(), std::logic_error);
  ManualExecutor manual;
  EXPECT_THROW(loop().run_in_executor(&manual, [] {}).done(), std::logic_error);
  EXPECT_THROW(loop().set_default_executor(std::make_shared<ThreadPool>()), std::logic_error);
  EXPECT_THROW(loop().shutdown_default_executor().done(), std::logic_error);
}

TEST_P(Executors, AThousandJobsAllArrive) {
  int arrived = 0;
  for (int i = 0; i < 1000; ++i) {
    loop().run_in_executor(nullptr, [i] { return i; }).add_done_callback([&](const Future<int>& f) {
      static_cast<void>(f.result());
      ++arrived;
    });
  }
  run_until([&] { return arrived == 1000; }, 60s);
}

}  // namespace
}  // namespace ferry::test
