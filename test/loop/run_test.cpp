// Running, stopping, and who may run.

#include "loop_suite.h"

#include <ferry/thread_loop.h>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdexcept>
#include <string>
#include <thread>

namespace ferry::test {
namespace {

class Run : public LoopSuite {};
INSTANTIATE_TEST_SUITE_P(Worlds, Run, ::testing::ValuesIn(kWorlds), world_name);

class RunReal : public LoopSuite {};
INSTANTIATE_TEST_SUITE_P(World, RunReal, ::testing::Values(World::asio), world_name);

TEST_P(Run, C0012_RunUntilCompleteReturnsTheValue) {
  Future<int> future(loop());
  loop().call_later(1ms, [future] { future.set_result(42); });
  EXPECT_EQ(loop().run_until_complete(future), 42);
}

TEST_P(Run, C0012_RunUntilCompleteRethrowsTheSameException) {
  struct Special : std::runtime_error {
    using std::runtime_error::runtime_error;
  };
  Future<int> future(loop());
  loop().call_soon([future] { future.set_exception(Special("the very one")); });
  try {
    loop().run_until_complete(future);
    FAIL() << "it did not throw";
  } catch (const Special& e) {
    EXPECT_STREQ(e.what(), "the very one");
  }
}

TEST_P(Run, RunUntilCompleteTakesDoneVoidMoveOnlyAndCancelledFutures) {
  Future<std::unique_ptr<int>> done(loop());
  done.set_result(std::make_unique<int>(5));
  EXPECT_EQ(*loop().run_until_complete(done), 5);

  Future<void> nothing(loop());
  loop().call_soon([nothing] { nothing.set_result(); });
  loop().run_until_complete(nothing);

  Future<int> cancelled(loop());
  loop().call_soon([cancelled] { cancelled.cancel("no more"); });
  try {
    loop().run_until_complete(cancelled);
    FAIL() << "it did not throw";
  } catch (const CancelledError& e) {
    EXPECT_EQ(e.message(), "no more");
  }
}

TEST_P(Run, C0013_RunUntilCompleteWithAStopInsideThrowsAndTheFutureCanBeFinishedLater) {
  const Future<void> future(loop());
  loop().call_soon([this] { loop().stop(); });
  try {
    loop().run_until_complete(future);
    FAIL() << "it did not throw";
  } catch (const std::logic_error& e) {
    EXPECT_NE(std::string(e.what()).find("stopped before the future completed"), std::string::npos)
        << e.what();
  }
  EXPECT_FALSE(future.done());
  loop().call_later(1ms, [future] { future.set_result(); });
  loop().run_until_complete(future);
  EXPECT_TRUE(future.done());
}

TEST_P(Run, C0014_RunUntilCompleteOfAnotherLoopsFutureIsRefused) {
  EventLoop other(make_kernel(GetParam()));
  const Future<int> foreign(other);
  EXPECT_THROW(loop().run_until_complete(foreign), std::invalid_argument);
  EXPECT_FALSE(foreign.done());
  EXPECT_EQ(other.stats().ready, 0U);
  other.call_soon([&] { other.stop(); });
  other.run_forever();
}

TEST_P(Run, C0016_AnotherLoopInTheSameThreadIsRefused) {
  EventLoop other(make_kernel(GetParam()));
  bool checked = false;
  loop().call_soon([&] {
    try {
      other.run_forever();
    } catch (const std::logic_error& e) {
      checked = std::string(e.what()).find("while another loop is running") != std::string::npos;
    }
    EXPECT_THROW(loop().run_forever(), std::logic_error);
    const Future<void> future(loop());
    EXPECT_THROW(loop().run_until_complete(future), std::logic_error);
    EXPECT_EQ(running_loop(), &loop());
  });
  tick();
  EXPECT_TRUE(checked);
  EXPECT_FALSE(other.is_running());
  other.call_soon([&] { other.stop(); });
  other.run_forever();  // its turn now
}

TEST_P(Run, C0017_TwoLoopsInTwoThreadsAreIndependent) {
  EventLoop* seen_there = nullptr;
  int fired_there = 0;
  std::thread thread([&] {
    EventLoop there(make_kernel(GetParam()));
    there.call_later(1ms, [&] {
      seen_there = &get_running_loop();
      EXPECT_EQ(seen_there, &there);
      ++fired_there;
    });
    there.call_later(3ms, [&] { there.stop(); });
    there.run_forever();
    EXPECT_EQ(running_loop(), nullptr);
  });
  int fired_here = 0;
  loop().call_later(2ms, [&] {
    EXPECT_EQ(&get_running_loop(), &loop());
    ++fired_here;
  });
  run_for(5ms);
  thread.join();
  EXPECT_EQ(fired_here, 1);
  EXPECT_EQ(fired_there, 1);
  EXPECT_NE(seen_there, &loop());
}

TEST_P(Run, C0018_ALoopExitLeavesTheLoopUsableAndItsOldFutureStopsNothing) {
  const Future<void> first = sleep(100ms);
  loop().call_soon([] { throw LoopExit{3}; });
  try {
    loop().run_until_complete(first);
    FAIL() << "it did not throw";
  } catch (const LoopExit& exit) {
    EXPECT_EQ(exit.code, 3);
  }
  const TimePoint begin = loop().time();
  loop().run_until_complete(sleep(200ms));
  EXPECT_GE(loop().time() - begin, 200ms);
  EXPECT_TRUE(first.done());
}

TEST_P(Run, C0020_ALoopExitDoesNotCloseTheLoop) {
  loop().call_soon([] { throw LoopExit{}; });
  EXPECT_THROW(loop().run_forever(), LoopExit);
  EXPECT_FALSE(loop().is_closed());
  EXPECT_FALSE(loop().is_running());
  EXPECT_EQ(running_loop(), nullptr);
}

TEST_P(Run, WhatStandsBehindALoopExitRunsNextTime) {
  std::string ran;
  loop().call_soon([&] { ran += 'a'; });
  loop().call_soon([] { throw LoopExit{}; });
  loop().call_soon([&] { ran += 'b'; });
  EXPECT_THROW(loop().run_forever(), LoopExit);
  EXPECT_EQ(ran, "a");
  tick();
  EXPECT_EQ(ran, "ab");
}

TEST_P(Run, TimersDueTogetherWithOneThatThrowsLoopExitFireNextTime) {
  std::string ran;
  const TimePoint when = loop().time() + 1ms;
  loop().call_at(when, [&] { ran += 'a'; });
  loop().call_at(when, [] { throw LoopExit{}; });
  loop().call_at(when, [&] { ran += 'b'; });
  EXPECT_THROW(loop().run_forever(), LoopExit);
  EXPECT_EQ(ran, "a");
  run_until([&] { return ran == "ab"; });
  EXPECT_EQ(ran, "ab");
}

TEST_P(Run, ALoopExitOutOfAFuturesCallbackKeepsTheOtherCallbacksOfThatFuture) {
  std::string ran;
  const Future<void> future(loop());
  future.add_done_callback([&] { ran += 'a'; });
  future.add_done_callback([] { throw LoopExit{}; });
  future.add_done_callback([&] { ran += 'b'; });
  future.set_result();
  EXPECT_THROW(loop().run_forever(), LoopExit);
  tick();
  EXPECT_EQ(ran, "ab");
}

TEST_P(Run, C0021_IsRunningAndIsClosedFollowTheLifeCycle) {
  EXPECT_FALSE(loop().is_running());
  EXPECT_FALSE(loop().is_closed());
  loop().call_soon([&] {
    EXPECT_TRUE(loop().is_running());
    EXPECT_FALSE(loop().is_closed());
  });
  tick();
  EXPECT_FALSE(loop().is_running());
  loop().close();
  EXPECT_TRUE(loop().is_closed());
  EXPECT_FALSE(loop().is_running());
}

TEST_P(Run, C0022_CloseIsIdempotentAndRefusedWhileRunning) {
  bool threw = false;
  loop().call_soon([&] {
    try {
      loop().close();
    } catch (const std::logic_error&) {
      threw = true;
    }
  });
  tick();
  EXPECT_TRUE(threw);
  EXPECT_FALSE(loop().is_closed());
  loop().close();
  loop().close();
  EXPECT_TRUE(loop().is_closed());
  EXPECT_THROW(loop().run_forever(), std::logic_error);
}

TEST_P(Run, C0025_CloseDropsQueuedCallbacksAndTimersWithTheirCaptures) {
  Token token;
  bool ran = false;
  loop().call_soon([&, held = token.held()] { ran = true; });
  loop().call_soon_threadsafe([&, held = token.held()] { ran = true; });
  loop().call_later(0s, [&, held = token.held()] { ran = true; });
  loop().call_later(1h, [&, held = token.held()] { ran = true; });
  loop().close();
  EXPECT_FALSE(token.captured());
  EXPECT_FALSE(ran);
}

TEST_P(Run, C0026_SingleTurnsByStopBeforeRun) {
  int ran = 0;
  for (int i = 0; i < 10; ++i) {
    loop().call_soon([&] {
      EXPECT_EQ(&get_running_loop(), &loop());
      ++ran;
    });
    EXPECT_THROW(get_running_loop(), std::logic_error);
    loop().stop();
    loop().run_forever();
    EXPECT_EQ(ran, i + 1);
  }
}

TEST_P(RunReal, C0028_AForkedChildHasNoRunningLoopAndCanRunANewOne) {
  int status = -1;
  loop().call_soon([&] {
    const pid_t child = ::fork();
    if (child == 0) {
      // 0 is what must come out; each other number names what went wrong.
      int code = 1;
      if (running_loop() == nullptr) {
        try {
          static_cast<void>(get_running_loop());
          code = 2;
        } catch (const std::logic_error&) {
          EventLoop fresh;
          code = 3;
          fresh.call_later(1ms, [&] {
            code = &get_running_loop() == &fresh ? 0 : 4;
            fresh.stop();
          });
          fresh.run_forever();
        }
      }
      ::_exit(code);
    }
    ASSERT_GT(child, 0);
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(running_loop(), &loop());
  });
  tick();
  ASSERT_TRUE(WIFEXITED(status)) << status;
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_P(Run, C0029_TinySleepsDoNotSpin) {
  const std::uint64_t before = loop().stats().turns;
  const std::uint64_t sim_before = simulated() ? sim().stats().turns : 0;
  for (const Duration delay :
       {Duration(10ms), Duration(100us), Duration(1us), Duration(10ns), Duration(1ns)}) {
    loop().run_until_complete(sleep(delay));
  }
  EXPECT_LE(loop().stats().turns - before, 20U);
  if (simulated()) {
    EXPECT_LE(sim().stats().turns - sim_before, 40U);
  }
}

TEST_P(Run, TheEventLoopOfAThreadIsTheOneThatRunsElseTheOneThatWasSet) {
  EXPECT_THROW(get_event_loop(), std::logic_error);
  {
    EventLoop other;
    set_event_loop(&other);
    EXPECT_EQ(&get_event_loop(), &other);
    std::thread([] { EXPECT_THROW(get_event_loop(), std::logic_error); }).join();
    EventLoop* inside = nullptr;
    loop().call_soon([&inside] { inside = &get_event_loop(); });
    tick();
    EXPECT_EQ(inside, &loop());
    other.close();
    EXPECT_EQ(&get_event_loop(), &other);
  }
  EXPECT_THROW(get_event_loop(), std::logic_error);  // it is gone, and was forgotten
  set_event_loop(&loop());
  { EventLoop another; }
  EXPECT_EQ(&get_event_loop(), &loop());
  set_event_loop(nullptr);
  EXPECT_THROW(get_event_loop(), std::logic_error);
}

TEST_P(RunReal, AnIdleLoopUsesNoCpu) {
  rusage before{};
  rusage after{};
  const auto cpu = [](const rusage& usage) {
    return std::chrono::seconds(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           std::chrono::microseconds(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
  };
  const std::uint64_t turns = loop().stats().turns;
  ::getrusage(RUSAGE_THREAD, &before);
  const TimePoint begin = loop().time();
  loop().call_later(200ms, [&] { loop().stop(); });
  loop().run_forever();
  const Duration wall = loop().time() - begin;
  ::getrusage(RUSAGE_THREAD, &after);
  EXPECT_GE(wall, 200ms);
  EXPECT_LE(loop().stats().turns - turns, 5U);
  EXPECT_LT(cpu(after) - cpu(before), wall / 2);
}

}  // namespace
}  // namespace ferry::test
