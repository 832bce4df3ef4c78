// Barrier: tasks that wait for each other.

#include "task_fixture.h"

#include <ferry/barrier.h>

#include <algorithm>

namespace ferry::test {
namespace {

class Barriers : public TaskTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, Barriers, ::testing::ValuesIn(kWorlds), world_name);

Coro<> pass(Barrier* barrier, std::vector<std::size_t>* indexes, Log* log) {
  try {
    const std::size_t index = co_await barrier->wait();
    indexes->push_back(index);
  } catch (const BrokenBarrierError&) {
    log->push_back("broken");
  }
}

struct Round {
  std::vector<std::size_t> indexes;
  Log log;
  std::vector<Task<>> tasks;

  std::vector<std::size_t> sorted() const {
    std::vector<std::size_t> result = indexes;
    std::sort(result.begin(), result.end());
    return result;
  }
};

TEST_P(Barriers, C0292_ItOpensForAllAtOnceAndGivesEachANumberOfItsOwn) {
  Barrier barrier(4);
  for (int i = 0; i < 3; ++i) {  // it can be used again
    Round round;
    for (int t = 0; t < 3; ++t) {
      round.tasks.push_back(start(pass(&barrier, &round.indexes, &round.log)));
    }
    tick(4);
    EXPECT_EQ(barrier.n_waiting(), 3u);
    EXPECT_TRUE(round.indexes.empty());
    round.tasks.push_back(start(pass(&barrier, &round.indexes, &round.log)));
    for (const Task<>& each : round.tasks) finish(each);
    EXPECT_EQ(round.sorted(), (std::vector<std::size_t>{0, 1, 2, 3}));
    EXPECT_EQ(barrier.n_waiting(), 0u);
  }
  EXPECT_EQ(barrier.parties(), 4u);
}

TEST_P(Barriers, C0293_OneForNobodyIsRefusedAndOneForOneNeverWaits) {
  EXPECT_THROW(Barrier(0), std::invalid_argument);
  const auto body = [](EventLoop* loop) -> Coro<> {
    Barrier barrier(1);
    bool other = false;
    loop->call_soon([&other] { other = true; });
    for (int i = 0; i < 5; ++i) EXPECT_EQ(co_await barrier.wait(), 0u);
    EXPECT_FALSE(other);
    co_await sleep(0s);
  };
  run(body(&loop()));
}

TEST_P(Barriers, C0294_WhoComesWhileARoundLeavesWaitsForTheNext) {
  const auto again = [](Barrier* barrier, std::string name, Log* log) -> Coro<> {
    for (int i = 0; i < 3; ++i) {
      co_await barrier->wait();
      log->push_back(std::to_string(i));
    }
    static_cast<void>(name);
  };
  Barrier barrier(3);
  Log log;
  std::vector<Task<>> tasks;
  for (int i = 0; i < 3; ++i) tasks.push_back(start(again(&barrier, std::to_string(i), &log)));
  for (const Task<>& each : tasks) finish(each);
  EXPECT_EQ(log, (Log{"0", "0", "0", "1", "1", "1", "2", "2", "2"}));
}

TEST_P(Barriers, AWaiterThatIsCancelledJustLeaves) {
  Barrier barrier(3);
  Round round;
  for (int i = 0; i < 2; ++i) {
    round.tasks.push_back(start(pass(&barrier, &round.indexes, &round.log)));
  }
  tick(3);
  round.tasks[0].cancel();
  finish(round.tasks[0]);
  EXPECT_TRUE(round.tasks[0].cancelled());
  EXPECT_EQ(barrier.n_waiting(), 1u);
  EXPECT_FALSE(barrier.broken());
  for (int i = 0; i < 2; ++i) {
    round.tasks.push_back(start(pass(&barrier, &round.indexes, &round.log)));
  }
  for (const Task<>& each : round.tasks) finish(each);
  EXPECT_EQ(round.sorted(), (std::vector<std::size_t>{0, 1, 2})) << "the numbers are unique";
  EXPECT_TRUE(round.log.empty());
}

TEST_P(Barriers, C0296_ResetBreaksThoseWhoWaitAndIsUsableAgain) {
  Barrier barrier(3);
  Round round;
  for (int i = 0; i < 2; ++i) {
    round.tasks.push_back(start(pass(&barrier, &round.indexes, &round.log)));
  }
  tick(3);
  barrier.reset();
  for (const Task<>& each : round.tasks) finish(each);
  EXPECT_EQ(round.log, (Log{"broken", "broken"}));
  EXPECT_FALSE(barrier.broken());
  EXPECT_EQ(barrier.n_waiting(), 0u);
  Round next;
  for (int i = 0; i < 3; ++i) {
    next.tasks.push_back(start(pass(&barrier, &next.indexes, &next.log)));
  }
  for (const Task<>& each : next.tasks) finish(each);
  EXPECT_EQ(next.sorted(), (std::vector<std::size_t>{0, 1, 2}));
}

TEST_P(Barriers, ResetOfOneWhereNobodyWaitsChangesNothing) {
  Barrier barrier(2);
  barrier.reset();
  Round round;
  for (int i = 0; i < 2; ++i) {
    round.tasks.push_back(start(pass(&barrier, &round.indexes, &round.log)));
  }
  for (const Task<>& each : round.tasks) finish(each);
  EXPECT_EQ(round.sorted(), (std::vector<std::size_t>{0, 1}));
}

TEST_P(Barriers, C0296_ResetWhileARoundLeavesLetsItLeave) {
  // The last to come resets before the others have run.
  const auto last = [](Barrier* barrier, std::vector<std::size_t>* indexes) -> Coro<> {
    const std::size_t index = co_await barrier->wait();
    indexes->push_back(index);
    barrier->reset();
  };
  Barrier barrier(3);
  Round round;
  for (int i = 0; i < 2; ++i) {
    round.tasks.push_back(start(pass(&barrier, &round.indexes, &round.log)));
  }
  tick(3);
  round.tasks.push_back(start(last(&barrier, &round.indexes)));
  tick(10);
  for (const Task<>& each : round.tasks) {
    EXPECT_TRUE(each.done());
    if (!each.done()) each.cancel();
  }
  tick(3);
  EXPECT_EQ(round.sorted(), (std::vector<std::size_t>{0, 1, 2}));
  Round next;
  for (int i = 0; i < 3; ++i) {
    next.tasks.push_back(start(pass(&barrier, &next.indexes, &next.log)));
  }
  for (const Task<>& each : next.tasks) finish(each);
  EXPECT_EQ(next.sorted(), (std::vector<std::size_t>{0, 1, 2}));
}

TEST_P(Barriers, C0297_AbortBreaksItUntilReset) {
  Barrier barrier(3);
  Round round;
  for (int i = 0; i < 2; ++i) {
    round.tasks.push_back(start(pass(&barrier, &round.indexes, &round.log)));
  }
  tick(3);
  barrier.abort();
  EXPECT_TRUE(barrier.broken());
  EXPECT_EQ(barrier.n_waiting(), 0u);
  for (const Task<>& each : round.tasks) finish(each);
  EXPECT_EQ(round.log, (Log{"broken", "broken"}));
  run(pass(&barrier, &round.indexes, &round.log));
  EXPECT_EQ(round.log.size(), 3u);
  EXPECT_TRUE(barrier.broken());
  barrier.reset();
  EXPECT_FALSE(barrier.broken());
  Round next;
  for (int i = 0; i < 3; ++i) {
    next.tasks.push_back(start(pass(&barrier, &next.indexes, &next.log)));
  }
  for (const Task<>& each : next.tasks) finish(each);
  EXPECT_EQ(next.sorted(), (std::vector<std::size_t>{0, 1, 2}));
}

TEST_P(Barriers, AbortAndResetAtOnceBreaksThoseWhoWaitedOnly) {
  Barrier barrier(2);
  Round round;
  round.tasks.push_back(start(pass(&barrier, &round.indexes, &round.log)));
  tick(3);
  barrier.abort();
  barrier.reset();
  Round next;
  for (int i = 0; i < 2; ++i) {
    next.tasks.push_back(start(pass(&barrier, &next.indexes, &next.log)));
  }
  finish(round.tasks[0]);
  for (const Task<>& each : next.tasks) finish(each);
  EXPECT_EQ(round.log, (Log{"broken"}));
  EXPECT_EQ(next.sorted(), (std::vector<std::size_t>{0, 1}));
}

TEST_P(Barriers, OneReleasedAndThenCancelledDoesNotHoldTheNextRoundUp) {
  Barrier barrier(2);
  Round round;
  round.tasks.push_back(start(pass(&barrier, &round.indexes, &round.log)));
  tick(3);
  round.tasks.push_back(start(pass(&barrier, &round.indexes, &round.log)));
  tick(1);
  round.tasks[0].cancel();
  for (const Task<>& each : round.tasks) finish(each);
  EXPECT_TRUE(round.tasks[0].cancelled());
  Round next;
  for (int i = 0; i < 2; ++i) {
    next.tasks.push_back(start(pass(&barrier, &next.indexes, &next.log)));
  }
  for (const Task<>& each : next.tasks) finish(each);
  EXPECT_EQ(next.sorted(), (std::vector<std::size_t>{0, 1}));
}

}  // namespace
}  // namespace ferry::test
