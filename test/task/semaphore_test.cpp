// Semaphore and BoundedSemaphore.

#include "task_fixture.h"

#include <ferry/semaphore.h>
#include <ferry/timeout.h>

namespace ferry::test {
namespace {

class Semaphores : public TaskTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, Semaphores, ::testing::ValuesIn(kWorlds), world_name);

Coro<> take(Semaphore* semaphore, std::string name, Log* log) {
  co_await semaphore->acquire();
  log->push_back(name);
}

TEST_P(Semaphores, PermitsAreTakenWithoutATurnAsLongAsThereAreAny) {
  const auto body = [](EventLoop* loop) -> Coro<> {
    Semaphore semaphore(3);
    bool other = false;
    loop->call_soon([&other] { other = true; });
    for (int i = 0; i < 3; ++i) {
      EXPECT_FALSE(semaphore.locked());
      co_await semaphore.acquire();
    }
    EXPECT_TRUE(semaphore.locked());
    EXPECT_FALSE(semaphore.try_acquire());
    EXPECT_FALSE(other);
    semaphore.release();
    EXPECT_TRUE(semaphore.try_acquire());
    for (int i = 0; i < 3; ++i) semaphore.release();
    const auto guard = co_await semaphore.scoped();
    co_await sleep(0s);
  };
  run(body(&loop()));
}

TEST_P(Semaphores, PermitsReleasedWhileAWokenTaskDoesNotRunYetGoToThoseBehindIt) {
  const auto body = [](Semaphore* semaphore, Log* log) -> Coro<> {
    const Task<> first = create_task(take(semaphore, "first", log));
    co_await sleep(0s);
    for (int i = 0; i < 3; ++i) semaphore->release();
    const Task<> third = create_task(take(semaphore, "third", log));
    // Two are free, but nobody overtakes the first.
    EXPECT_TRUE(semaphore->locked());
    co_await semaphore->acquire();
    log->push_back("second");
    co_await third;
  };
  Semaphore semaphore(0);
  Log log;
  run(body(&semaphore, &log));
  EXPECT_EQ(log, (Log{"first", "second", "third"}));
}

TEST_P(Semaphores, NoPermitsAtFirst) {
  Semaphore semaphore(0);
  Log log;
  const Task<> a = start(take(&semaphore, "a", &log));
  tick(2);
  EXPECT_TRUE(log.empty());
  semaphore.release();
  finish(a);
}

TEST_P(Semaphores, C0284_WorkersTakeTurns) {
  const auto worker = [](Semaphore* semaphore, int number, Log* log) -> Coro<> {
    for (int i = 1; i <= 2; ++i) {
      co_await semaphore->acquire();
      log->push_back(std::to_string(number) + "_" + std::to_string(i));
      co_await sleep(0s);
      semaphore->release();
    }
  };
  Semaphore semaphore(1);
  Log log;
  std::vector<Task<>> tasks;
  for (int i = 1; i <= 3; ++i) tasks.push_back(start(worker(&semaphore, i, &log)));
  for (const Task<>& each : tasks) finish(each);
  EXPECT_EQ(log, (Log{"1_1", "2_1", "3_1", "1_2", "2_2", "3_2"}));
  EXPECT_FALSE(semaphore.locked());
}

TEST_P(Semaphores, C0285_WhoReleasesTwiceAndAcquiresAgainStandsBehind) {
  const auto again = [](Semaphore* semaphore, Log* log) -> Coro<> {
    semaphore->release();
    semaphore->release();
    co_await semaphore->acquire();
    log->push_back("4");
  };
  Semaphore semaphore(0);
  Log log;
  std::vector<Task<>> tasks;
  for (int i = 1; i <= 3; ++i) tasks.push_back(start(take(&semaphore, std::to_string(i), &log)));
  tick(2);
  tasks.push_back(start(again(&semaphore, &log)));
  tick(5);
  EXPECT_EQ(log, (Log{"1", "2"}));
  semaphore.release();
  semaphore.release();
  for (const Task<>& each : tasks) finish(each);
  EXPECT_EQ(log, (Log{"1", "2", "3", "4"}));
}

TEST_P(Semaphores, C0286_TheFirstIsCancelledAndTwoPermitsGoToTheOthers) {
  for (const bool cancel_first : {true, false}) {
    Semaphore semaphore(0);
    Log log;
    std::vector<Task<>> tasks;
    for (int i = 1; i <= 3; ++i) tasks.push_back(start(take(&semaphore, std::to_string(i), &log)));
    tick(2);
    if (cancel_first) tasks[0].cancel();
    semaphore.release();
    semaphore.release();
    if (!cancel_first) tasks[0].cancel();
    for (const Task<>& each : tasks) finish(each);
    EXPECT_TRUE(tasks[0].cancelled());
    EXPECT_EQ(log, (Log{"2", "3"}));
    EXPECT_TRUE(semaphore.locked());
  }
}

TEST_P(Semaphores, C0288_CancelledBeforeThePermitComesItGoesToTheNext) {
  Semaphore semaphore(0);
  Log log;
  std::vector<Task<>> tasks;
  for (int i = 1; i <= 4; ++i) tasks.push_back(start(take(&semaphore, std::to_string(i), &log)));
  tick(2);
  tasks[0].cancel();
  tasks[1].cancel();
  semaphore.release();
  tick(5);
  EXPECT_TRUE(tasks[2].done());
  EXPECT_FALSE(tasks[3].done());
  semaphore.release();
  finish(tasks[3]);
  EXPECT_EQ(log, (Log{"3", "4"}));
}

TEST_P(Semaphores, C0289_APermitWhoseTaskIsCancelledIsNotLost) {
  const auto late = [](Semaphore* semaphore) -> Coro<> {
    co_await timeout(1s, [](Semaphore* s) -> Coro<> { co_await s->acquire(); }(semaphore));
  };
  for (const bool another : {false, true}) {
    Semaphore semaphore(1);
    Log log;
    ASSERT_TRUE(semaphore.try_acquire());
    const Task<> first = start(take(&semaphore, "first", &log));
    tick(2);
    Task<> second;
    if (another) {
      second = start(take(&semaphore, "second", &log));
      tick(2);
    }
    semaphore.release();
    first.cancel();
    finish(first);
    EXPECT_TRUE(first.cancelled());
    if (another) {
      finish(second);
      EXPECT_EQ(log, (Log{"second"}));
      semaphore.release();
    }
    run(late(&semaphore));
  }
}

TEST_P(Semaphores, C0290_ABoundedOneIsNotReleasedTooOften) {
  BoundedSemaphore semaphore(2);
  EXPECT_THROW(semaphore.release(), std::invalid_argument);
  EXPECT_TRUE(semaphore.try_acquire());
  semaphore.release();
  EXPECT_THROW(semaphore.release(), std::invalid_argument);
  Log log;
  EXPECT_TRUE(semaphore.try_acquire());
  EXPECT_TRUE(semaphore.try_acquire());
  const Task<> waiting = start(take(&semaphore, "a", &log));
  tick(2);
  semaphore.release();  // to the one that waits, and not yet runs
  semaphore.release();
  EXPECT_FALSE(waiting.done());
  EXPECT_THROW(semaphore.release(), std::invalid_argument);
  finish(waiting);
  semaphore.release();
  EXPECT_THROW(semaphore.release(), std::invalid_argument);
}

TEST_P(Semaphores, ABoundedOneKeepsItsBoundThroughACancellation) {
  BoundedSemaphore semaphore(1);
  Log log;
  EXPECT_TRUE(semaphore.try_acquire());
  const Task<> waiting = start(take(&semaphore, "a", &log));
  tick(2);
  semaphore.release();
  waiting.cancel();
  finish(waiting);
  EXPECT_FALSE(semaphore.locked());
  EXPECT_THROW(semaphore.release(), std::invalid_argument);
}

TEST_P(Semaphores, AtMostThatManyAreInside) {
  const auto worker = [](Semaphore* semaphore, int* inside, int* most) -> Coro<> {
    const auto guard = co_await semaphore->scoped();
    ++*inside;
    if (*inside > *most) *most = *inside;
    co_await turns(3);
    --*inside;
  };
  Semaphore semaphore(4);
  int inside = 0;
  int most = 0;
  std::vector<Task<>> tasks;
  for (int i = 0; i < 30; ++i) tasks.push_back(start(worker(&semaphore, &inside, &most)));
  for (const Task<>& each : tasks) finish(each);
  EXPECT_EQ(most, 4);
  EXPECT_EQ(inside, 0);
}

}  // namespace
}  // namespace ferry::test
