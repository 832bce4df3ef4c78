// run and Runner: a loop for a program, and the cleaning up behind it.

#include "task_fixture.h"

#include <ferry/run.h>
#include <ferry/to_thread.h>

#include <atomic>
#include <csignal>

namespace ferry::test {
namespace {

/// In both worlds; the loop is run's own.
class Run : public ::testing::TestWithParam<World> {
 protected:
  RunOptions options(Log* reports = nullptr) const {
    RunOptions result;
    result.loop_factory = [world = GetParam(), reports] {
      auto loop = std::make_unique<EventLoop>(make_kernel(world));
      if (reports) {
        loop->set_exception_handler([reports](EventLoop&, const ExceptionContext& context) {
          reports->push_back(context.to_string());
        });
      }
      return loop;
    };
    return result;
  }
};
INSTANTIATE_TEST_SUITE_P(Worlds, Run, ::testing::ValuesIn(kWorlds), world_name);

TEST_P(Run, C0313_ItGivesTheValueOrTheException) {
  EXPECT_EQ(ferry::run(value_after(1ms, std::string("value")), options()), "value");
  EXPECT_EQ(*ferry::run(value_after(0s, std::make_unique<int>(3)), options()), 3);
  EXPECT_THROW(ferry::run(fail_after(0s, "x"), options()), TestError);
  EXPECT_EQ(running_loop(), nullptr);
}

TEST_P(Run, C0314_InsideARunningLoopItIsRefusedAndTheCoroutineDestroyed) {
  const auto inner = [](Alive, bool* ran) -> Coro<> {
    *ran = true;
    co_return;
  };
  const auto outer = [](auto make, int* alive, bool* ran) -> Coro<std::string> {
    try {
      ferry::run(make(Alive(*alive), ran));
    } catch (const std::logic_error& e) {
      co_return e.what();
    }
    co_return "it ran";
  };
  int alive = 0;
  bool ran = false;
  const std::string why = ferry::run(outer(inner, &alive, &ran), options());
  EXPECT_NE(why.find("running event loop"), std::string::npos) << why;
  EXPECT_EQ(alive, 0);
  EXPECT_FALSE(ran);
}

TEST_P(Run, TasksThatAreLeftAreCancelledAndWaitedFor) {
  const auto left = [](Log* log) -> Coro<> {
    bool cancelled = false;
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      cancelled = true;
    }
    co_await turns(3);
    log->push_back(cancelled ? "cancelled" : "?");
    if (cancelled) throw CancelledError();
  };
  const auto main = [](auto make, Log* log, bool fail) -> Coro<> {
    static_cast<void>(create_task(make(log)));
    static_cast<void>(create_task(make(log)));
    co_await sleep(0s);
    if (fail) throw TestError("main");
  };
  Log log;
  Log reports;
  ferry::run(main(left, &log, false), options(&reports));
  EXPECT_EQ(log, (Log{"cancelled", "cancelled"}));
  EXPECT_THROW(ferry::run(main(left, &log, true), options(&reports)), TestError);
  EXPECT_EQ(log.size(), 4u);
  EXPECT_EQ(reports, Log());
}

TEST_P(Run, C0316_OneThatFailsInItsCleaningUpIsReported) {
  const auto left = []() -> Coro<> {
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      throw TestError("cleaning up");
    }
  };
  const auto main = [](auto make) -> Coro<> {
    static_cast<void>(create_task(make()));
    co_await sleep(0s);
  };
  Log reports;
  ferry::run(main(left), options(&reports));
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_NE(reports[0].find("unhandled exception during"), std::string::npos) << reports[0];
  EXPECT_NE(reports[0].find("cleaning up"), std::string::npos) << reports[0];
}

TEST_P(Run, C0317_TheThreadsOfTheExecutorAreWaitedForEvenIfMainThrows) {
  if (GetParam() == World::sim) GTEST_SKIP() << "a thread does not keep up with a simulated clock";
  static std::atomic<bool> ended;
  const auto main = []() -> Coro<> {
    ended = false;
    static_cast<void>(to_thread([] { ended = true; }));
    throw TestError("main");
    co_return;
  };
  EXPECT_THROW(ferry::run(main(), options()), TestError);
  EXPECT_TRUE(ended);
}

TEST_P(Run, C0318_TheLoopIsMadeOnceAndDebugSet) {
  int made = 0;
  RunOptions with_count;
  with_count.debug = true;
  with_count.loop_factory = [&made, world = GetParam()] {
    ++made;
    return std::make_unique<EventLoop>(make_kernel(world));
  };
  const auto main = []() -> Coro<bool> { co_return get_running_loop().debug(); };
  Runner runner(std::move(with_count));
  EXPECT_TRUE(runner.run(main()));
  EXPECT_TRUE(runner.run(main()));
  EXPECT_EQ(made, 1);
}

TEST_P(Run, ARunnerKeepsItsLoopBetweenRuns) {
  Runner runner(options());
  EventLoop* const loop = &runner.get_loop();
  const auto main = [](EventLoop* expected) -> Coro<int> {
    EXPECT_EQ(&get_running_loop(), expected);
    co_await sleep(0s);
    co_return 1;
  };
  EXPECT_EQ(runner.run(main(loop)) + runner.run(main(loop)), 2);
  EXPECT_THROW(runner.run(fail_after(0s, "x")), TestError);
  EXPECT_EQ(runner.run(main(loop)), 1);
}

TEST_P(Run, C0320_ClosedItIsClosedForGood) {
  Runner runner(options());
  EXPECT_EQ(runner.run(value_after(0s, 1)), 1);
  runner.close();
  runner.close();
  EXPECT_THROW(runner.run(value_after(0s, 1)), std::logic_error);
  EXPECT_THROW(runner.get_loop(), std::logic_error);
}

TEST_P(Run, C0321_OneRunInsideAnotherIsRefused) {
  Runner runner(options());
  const auto main = [](Runner* r) -> Coro<bool> {
    try {
      r->run(nap(0s));
    } catch (const std::logic_error&) {
      co_return true;
    }
    co_return false;
  };
  EXPECT_TRUE(runner.run(main(&runner)));
}

/// With real signals.
class RunInterrupted : public ::testing::Test {};

TEST_F(RunInterrupted, C0324_TheFirstSigintCancelsMain) {
  const auto main = [](Log* log) -> Coro<> {
    ::raise(SIGINT);
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      log->push_back("cancelled");
      throw;
    }
  };
  Log log;
  EXPECT_THROW(ferry::run(main(&log)), KeyboardInterrupt);
  EXPECT_EQ(log, (Log{"cancelled"}));
}

TEST_F(RunInterrupted, C0325_WithACancellationOfItsOwnItIsCancelled) {
  const auto main = []() -> Coro<> {
    ::raise(SIGINT);
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      current_task()->cancel();
      throw;
    }
  };
  EXPECT_THROW(ferry::run(main()), CancelledError);
}

TEST_F(RunInterrupted, C0326_MainMaySwallowIt) {
  const auto main = []() -> Coro<int> {
    ::raise(SIGINT);
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
    }
    co_return 5;
  };
  EXPECT_EQ(ferry::run(main()), 5);
}

extern "C" void ignore_signal(int) {}

TEST_F(RunInterrupted, C0328_AHandlerThatSomebodyInstalledIsLeftAlone) {
  struct sigaction mine {};
  mine.sa_handler = ignore_signal;
  struct sigaction before {};
  ASSERT_EQ(::sigaction(SIGINT, &mine, &before), 0);
  const auto main = []() -> Coro<int> {
    ::raise(SIGINT);
    co_await sleep(2ms);
    co_return 6;
  };
  EXPECT_EQ(ferry::run(main()), 6);
  struct sigaction after {};
  ASSERT_EQ(::sigaction(SIGINT, &before, &after), 0);
  EXPECT_EQ(after.sa_handler, &ignore_signal);
}

TEST_F(RunInterrupted, AfterwardsTheDispositionIsWhatItWas) {
  ferry::run(nap(0s));
  struct sigaction now {};
  ASSERT_EQ(::sigaction(SIGINT, nullptr, &now), 0);
  EXPECT_EQ(now.sa_handler, SIG_DFL);
}

}  // namespace
}  // namespace ferry::test
