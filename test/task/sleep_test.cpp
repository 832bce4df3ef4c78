// sleep: a wait for nothing but time.

#include "task_fixture.h"

#include <limits>

namespace ferry::test {
namespace {

class Sleeping : public TaskTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, Sleeping, ::testing::ValuesIn(kWorlds), world_name);

TEST_P(Sleeping, C0117_ZeroIsExactlyOneTurn) {
  const auto body = [](EventLoop* loop, Log* log) -> Coro<> {
    loop->call_soon([loop, log] {
      log->push_back("next turn");
      loop->call_soon([log] { log->push_back("the one after"); });
    });
    co_await sleep(0s);
    log->push_back("awake");
    co_await sleep(0s);
    log->push_back("again");
  };
  Log log;
  run(body(&loop(), &log));
  EXPECT_EQ(log, (Log{"next turn", "awake", "the one after", "again"}));
}

TEST_P(Sleeping, C0117_ItGivesTheValueThatItWasGiven) {
  const auto body = []() -> Coro<std::string> {
    std::unique_ptr<int> box = co_await sleep(0s, std::make_unique<int>(8));
    EXPECT_EQ(*box, 8);
    co_return co_await sleep(1ms, std::string("a value that is not short at all"));
  };
  EXPECT_EQ(run(body()), "a value that is not short at all");
}

TEST_P(Sleeping, C0118_LessThanZeroIsATurnToo) {
  const auto body = [](EventLoop* loop, Log* log) -> Coro<> {
    loop->call_soon([log] { log->push_back("other"); });
    co_await sleep(-1s);
    log->push_back("awake");
    loop->call_soon([log] { log->push_back("other"); });
    co_await sleep(std::chrono::duration<double>(-2.5));
    log->push_back("awake");
  };
  Log log;
  run(body(&loop(), &log));
  EXPECT_EQ(log, (Log{"other", "awake", "other", "awake"}));
}

TEST_P(Sleeping, C0118_WhatIsNoNumberIsRefused) {
  using Seconds = std::chrono::duration<double>;
  EXPECT_THROW(static_cast<void>(sleep(Seconds(std::numeric_limits<double>::quiet_NaN()))),
               std::invalid_argument);
}

TEST_P(Sleeping, ItIsNeverShort) {
  const auto body = [](EventLoop* loop) -> Coro<> {
    for (const Duration delay : {Duration(1ms), Duration(5ms), Duration(300us)}) {
      const TimePoint begin = loop->time();
      co_await sleep(delay);
      EXPECT_GE(loop->time() - begin, delay);
    }
    const TimePoint begin = loop->time();
    co_await sleep(std::chrono::duration<double>(0.0015));
    EXPECT_GE(loop->time() - begin, 1500us);
  };
  run(body(&loop()));
}

TEST_P(Sleeping, ForEverCanBeCancelledAndLeavesNoTimer) {
  using Seconds = std::chrono::duration<double>;
  const auto body = [](Seconds delay) -> Coro<> { co_await sleep(delay); };
  for (const double seconds : {1e9, 1e30, std::numeric_limits<double>::infinity()}) {
    const Task<> task = start(body(Seconds(seconds)));
    tick();
    EXPECT_EQ(loop().stats().timers, 1u);
    task.cancel();
    EXPECT_EQ(loop().stats().timers, 0u);
    finish(task);
    EXPECT_TRUE(task.cancelled());
  }
  const Task<> longest = start(nap(Duration::max()));
  tick();
  EXPECT_FALSE(longest.done());
  longest.cancel();
  finish(longest);
}

class SleepingInOrder : public SimTaskTest {};

TEST_F(SleepingInOrder, SleepersWakeByTheirTimesAndTiesByTheirOrder) {
  const auto body = [](Duration delay, std::string name, Log* log) -> Coro<> {
    co_await sleep(delay);
    log->push_back(name);
  };
  Log log;
  std::vector<Task<>> tasks;
  tasks.push_back(start(body(3s, "late", &log)));
  tasks.push_back(start(body(1s, "a", &log)));
  tasks.push_back(start(body(1s, "b", &log)));
  tasks.push_back(start(body(2s, "middle", &log)));
  for (const Task<>& each : tasks) finish(each);
  EXPECT_EQ(log, (Log{"a", "b", "middle", "late"}));
}

TEST_F(SleepingInOrder, AnHourPassesExactly) {
  const TimePoint begin = loop().time();
  run(nap(1h));
  EXPECT_EQ(loop().time() - begin, 1h);
}

}  // namespace
}  // namespace ferry::test
