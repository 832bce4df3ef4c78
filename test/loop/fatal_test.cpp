// Contract C13: misuse that cannot be survived ends the program with one clear line.

#include "loop_suite.h"

#include <sys/wait.h>
#include <unistd.h>

#include <latch>
#include <memory>
#include <thread>

namespace ferry::test {
namespace {

class FatalDeathTest : public ::testing::TestWithParam<World> {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};
INSTANTIATE_TEST_SUITE_P(Worlds, FatalDeathTest, ::testing::ValuesIn(kWorlds), world_name);

TEST_P(FatalDeathTest, DestroyingALoopInsideItsOwnCallback) {
  EXPECT_DEATH(
      {
        auto loop = std::make_unique<EventLoop>(make_kernel(GetParam()));
        loop->call_soon([&] { loop.reset(); });
        loop->run_forever();
      },
      "ferry: fatal: an EventLoop was destroyed from inside one of its own callbacks");
}

TEST_P(FatalDeathTest, DestroyingALoopInsideATimerADestructorOrAHandler) {
  EXPECT_DEATH(
      {
        auto loop = std::make_unique<EventLoop>(make_kernel(GetParam()));
        loop->call_later(1ms, [&] { loop.reset(); });
        loop->run_forever();
      },
      "destroyed from inside one of its own callbacks");
  EXPECT_DEATH(
      {
        auto loop = std::make_unique<EventLoop>(make_kernel(GetParam()));
        struct Destroys {
          std::unique_ptr<EventLoop>& loop;
          explicit Destroys(std::unique_ptr<EventLoop>& l) : loop(l) {}
          ~Destroys() { loop.reset(); }
        };
        loop->call_soon([object = std::make_shared<Destroys>(loop)] {});
        loop->run_forever();
      },
      "destroyed from inside one of its own callbacks");
  EXPECT_DEATH(
      {
        auto loop = std::make_unique<EventLoop>(make_kernel(GetParam()));
        loop->set_exception_handler([&](EventLoop&, const ExceptionContext&) { loop.reset(); });
        loop->call_soon([] { throw 1; });
        loop->run_forever();
      },
      "destroyed from inside one of its own callbacks");
}

TEST_P(FatalDeathTest, DestroyingALoopThatAnotherThreadRuns) {
  EXPECT_DEATH(
      {
        auto loop = std::make_unique<EventLoop>(make_kernel(GetParam()));
        std::latch running(1);
        std::thread thread([&] {
          loop->call_soon([&] { running.count_down(); });
          loop->run_forever();
        });
        running.wait();
        loop.reset();
      },
      "ferry: fatal: an EventLoop was destroyed while a thread runs it");
}

TEST_P(FatalDeathTest, UsingALoopInAForkedChild) {
  EXPECT_DEATH(
      {
        EventLoop loop(make_kernel(GetParam()));
        const pid_t child = ::fork();
        if (child == 0) {
          loop.run_forever();
          ::_exit(0);
        }
        int status = 0;
        ::waitpid(child, &status, 0);
        // The child's line is on the same stream; here its death is passed on.
        if (WIFSIGNALED(status)) ::abort();
      },
      "ferry: fatal: an EventLoop was used in a forked child");
}

TEST_P(FatalDeathTest, UsingARunningLoopInAForkedChild) {
  EXPECT_DEATH(
      {
        EventLoop loop(make_kernel(GetParam()));
        loop.call_soon([&] {
          const pid_t child = ::fork();
          if (child == 0) {
            loop.set_debug(true);
            loop.call_soon([] {});
            ::_exit(0);
          }
          int status = 0;
          ::waitpid(child, &status, 0);
          if (WIFSIGNALED(status)) ::abort();
          ::_exit(0);
        });
        loop.run_forever();
      },
      "ferry: fatal: an EventLoop was used in a forked child");
}

TEST_P(FatalDeathTest, TheLogSinkHearsTheLastLineToo) {
  EXPECT_DEATH(
      {
        auto loop = std::make_unique<EventLoop>(make_kernel(GetParam()));
        loop->set_log_sink([](LogLevel level, std::string_view line) {
          if (level == LogLevel::error) {
            const std::string text = "sink: " + std::string(line) + "\n";
            static_cast<void>(!::write(STDERR_FILENO, text.data(), text.size()));
          }
        });
        loop->call_soon([&] { loop.reset(); });
        loop->run_forever();
      },
      "sink: an EventLoop was destroyed");
}

}  // namespace
}  // namespace ferry::test
