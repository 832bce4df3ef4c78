// ThreadPool by itself, without a loop.

#include <ferry/executor.h>

#include "loop_suite.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <latch>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace ferry::test {
namespace {

std::string this_threads_name() {
  char name[64] = {};
  pthread_getname_np(pthread_self(), name, sizeof name);
  return name;
}

TEST(ThreadPoolTest, EveryJobRunsOnceAndShutdownWaitsForAll) {
  ThreadPool pool({.threads = 4});
  std::atomic<int> ran = 0;
  for (int i = 0; i < 10'000; ++i) {
    pool.submit([&] { ++ran; });
  }
  pool.shutdown();
  EXPECT_EQ(ran, 10'000);
  EXPECT_THROW(pool.submit([] {}), std::logic_error);
  pool.shutdown();
}

TEST(ThreadPoolTest, TheDestructorWaitsForQueuedJobsToo) {
  std::atomic<int> ran = 0;
  {
    ThreadPool pool({.threads = 1});
    for (int i = 0; i < 100; ++i) {
      pool.submit([&] { ++ran; });
    }
  }
  EXPECT_EQ(ran, 100);
}

TEST(ThreadPoolTest, OneThreadRunsJobsInOrder) {
  std::vector<int> ran;
  {
    ThreadPool pool({.threads = 1});
    for (int i = 0; i < 1000; ++i) {
      pool.submit([&ran, i] { ran.push_back(i); });
    }
  }
  EXPECT_EQ(ran.size(), 1000U);
  EXPECT_TRUE(std::is_sorted(ran.begin(), ran.end()));
}

TEST(ThreadPoolTest, ThreadsStartOneByOneAndIdleOnesAreUsedAgain) {
  ThreadPool pool({.threads = 8, .name = "lazy"});
  std::set<std::thread::id> used;
  for (int i = 0; i < 20; ++i) {
    // One at a time: the next begins when the one before it is done and its thread waits again.
    std::latch done(1);
    pool.submit([&] {
      used.insert(std::this_thread::get_id());
      done.count_down();
    });
    done.wait();
  }
  // The thread may not be back in its queue yet when the next job comes, but never are eight busy.
  EXPECT_LE(used.size(), 8U);
  EXPECT_GE(used.size(), 1U);
}

TEST(ThreadPoolTest, AsManyJobsRunTogetherAsThereAreThreadsAndNoMore) {
  constexpr int kThreads = 3;
  std::atomic<int> running = 0;
  std::atomic<int> most = 0;
  {
    std::latch together(kThreads);
    ThreadPool pool({.threads = kThreads});
    for (int i = 0; i < 20; ++i) {
      pool.submit([&, i] {
        const int now = ++running;
        int seen = most;
        while (now > seen && !most.compare_exchange_weak(seen, now)) {
        }
        // Deadlocks unless three run at once.
        if (i < kThreads) together.arrive_and_wait();
        --running;
      });
    }
  }
  EXPECT_EQ(most, kThreads);
}

TEST(ThreadPoolTest, TooManyWaitingJobsAreRefused) {
  std::latch gate(1);
  std::latch begun(1);
  ThreadPool pool({.threads = 1, .queued = 2});
  pool.submit([&] {
    begun.count_down();
    gate.wait();
  });
  begun.wait();
  pool.submit([] {});
  pool.submit([] {});
  EXPECT_THROW(pool.submit([] {}), std::length_error);
  gate.count_down();
}

TEST(ThreadPoolTest, AnEmptyJobIsRefused) {
  ThreadPool pool;
  EXPECT_THROW(pool.submit({}), std::invalid_argument);
}

TEST(ThreadPoolTest, C0338_ThreadsCarryThePoolsName) {
  std::set<std::string> names;
  std::mutex mutex;
  {
    std::latch together(2);
    ThreadPool pool({.threads = 2, .name = "crunch"});
    for (int i = 0; i < 2; ++i) {
      pool.submit([&] {
        together.arrive_and_wait();
        const std::lock_guard lock(mutex);
        names.insert(this_threads_name());
      });
    }
  }
  EXPECT_EQ(names, (std::set<std::string>{"crunch-0", "crunch-1"}));
}

TEST(ThreadPoolTest, ALongNameIsCutButKeepsTheNumber) {
  std::string name;
  {
    ThreadPool pool({.threads = 1, .name = "a-name-of-many-letters"});
    pool.submit([&] { name = this_threads_name(); });
  }
  EXPECT_EQ(name, "a-name-of-man-0");
}

TEST(ThreadPoolTest, ItsThreadsBlockSignalsButNotFaults) {
  sigset_t blocked;
  sigemptyset(&blocked);
  {
    ThreadPool pool({.threads = 1});
    pool.submit([&] { pthread_sigmask(SIG_SETMASK, nullptr, &blocked); });
  }
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD, SIGALRM}) {
    EXPECT_EQ(sigismember(&blocked, number), 1) << number;
  }
  for (const int number : {SIGSEGV, SIGFPE, SIGABRT}) {
    EXPECT_EQ(sigismember(&blocked, number), 0) << number;
  }
  sigset_t here;
  pthread_sigmask(SIG_SETMASK, nullptr, &here);
  EXPECT_EQ(sigismember(&here, SIGTERM), 0);
}

TEST(ThreadPoolTest, AJobsCapturesDieBeforeTheNextJobBegins) {
  Token token;
  bool freed = false;
  {
    ThreadPool pool({.threads = 1});
    pool.submit([held = token.held()] {});
    pool.submit([&] { freed = !token.captured(); });
  }
  EXPECT_TRUE(freed);
}

TEST(ThreadPoolTest, DetachDropsQueuedJobsAndDoesNotWait) {
  Token token;
  // Shared with the job, which goes on after the pool.
  struct Shared {
    std::latch begun{1};
    std::latch gate{1};
    std::latch ended{1};
  };
  const auto shared = std::make_shared<Shared>();
  bool queued_ran = false;
  {
    ThreadPool pool({.threads = 1});
    pool.submit([shared] {
      shared->begun.count_down();
      shared->gate.wait();
      shared->ended.count_down();
    });
    shared->begun.wait();
    pool.submit([&queued_ran, held = token.held()] { queued_ran = true; });
    pool.detach();
    EXPECT_FALSE(token.captured());
    EXPECT_THROW(pool.submit([] {}), std::logic_error);
    pool.detach();
  }  // does not wait either: the gate is shut
  shared->gate.count_down();
  shared->ended.wait();
  EXPECT_FALSE(queued_ran);
}

TEST(ThreadPoolTest, ADetachedPoolsDestructorDoesNotWait) {
  struct Shared {
    std::latch begun{1};
    std::latch gate{1};
    std::latch ended{1};
  };
  const auto shared = std::make_shared<Shared>();
  {
    ThreadPool pool({.threads = 1});
    pool.submit([shared] {
      shared->begun.count_down();
      shared->gate.wait();
      shared->ended.count_down();
    });
    shared->begun.wait();
    pool.detach();
  }
  shared->gate.count_down();  // would never be reached if it had waited
  shared->ended.wait();
}

TEST(ThreadPoolTest, ShutdownOnItsOwnThreadIsRefusedAndItsDestructorThereDoesNotWait) {
  std::latch done(1);
  auto pool = std::make_shared<ThreadPool>(ThreadPool::Options{.threads = 1});
  std::atomic<bool> refused = false;
  std::latch handed_over(1);
  pool->submit([&done, &refused, &handed_over, pool]() mutable {
    try {
      pool->shutdown();
    } catch (const std::logic_error&) {
      refused = true;
    }
    handed_over.wait();
    pool.reset();  // the last reference
    done.count_down();
  });
  pool.reset();
  handed_over.count_down();
  done.wait();
  EXPECT_TRUE(refused);
}

TEST(ThreadPoolTest, ShutdownFromSeveralThreadsWaitsInEach) {
  std::atomic<int> ran = 0;
  ThreadPool pool({.threads = 2});
  for (int i = 0; i < 500; ++i) {
    pool.submit([&] { ++ran; });
  }
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      pool.shutdown();
      EXPECT_EQ(ran, 500);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(ThreadPoolTest, JobsMaySubmitJobs) {
  ThreadPool pool({.threads = 2});
  std::latch all(100);
  std::function<void(int)> spread = [&](int left) {
    all.count_down();
    if (left > 1) pool.submit([&spread, left] { spread(left - 1); });
  };
  pool.submit([&] { spread(100); });
  all.wait();
  pool.shutdown();
}

TEST(ThreadPoolDeathTest, AJobThatThrowsIsFatal) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        ThreadPool pool({.threads = 1});
        pool.submit([] { throw std::runtime_error("a job must not throw"); });
        pool.shutdown();
      },
      "a job must not throw");
}

}  // namespace
}  // namespace ferry::test
