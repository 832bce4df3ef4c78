// finally: a clean-up that awaits, whatever became of the work.

#include "task_fixture.h"

#include <ferry/finally.h>
#include <ferry/timeout.h>

#include <memory>
#include <string>

namespace ferry::test {
namespace {

class Finally : public TaskTest {
 protected:
  static Coro<> clean_up(Log* log, std::string name = "clean") {
    log->push_back(name + "ing");
    co_await sleep(1ms);
    log->push_back(name + "ed");
  }
  static Coro<> clean_up_and_fail() {
    co_await sleep(1ms);
    throw TestError("the clean-up's");
  }
  Log log_;
};
INSTANTIATE_TEST_SUITE_P(Worlds, Finally, ::testing::ValuesIn(kWorlds), world_name);

TEST_P(Finally, TheResultIsThatOfTheWorkAndComesAfterTheCleanUp) {
  EXPECT_EQ(*run(finally(value_after(1ms, std::make_unique<int>(3)), clean_up(&log_))), 3);
  EXPECT_EQ(log_, (Log{"cleaning", "cleaned"}));
  run(finally(nap(0s), clean_up(&log_)));
  EXPECT_EQ(log_.size(), 4u);
}

TEST_P(Finally, AFailureComesOutAfterTheCleanUp) {
  EXPECT_THROW(run(finally(fail_after(1ms, "x"), clean_up(&log_))), TestError);
  EXPECT_EQ(log_, (Log{"cleaning", "cleaned"}));
  const auto fail_with_value = []() -> Coro<int> {
    co_await sleep(0s);
    throw TestError("y");
  };
  EXPECT_THROW(run(finally(fail_with_value(), clean_up(&log_))), TestError);
  EXPECT_EQ(log_.size(), 4u);
}

TEST_P(Finally, AFailureOfTheCleanUpComesInPlaceOfTheWorks) {
  const auto why = [this](Coro<> work) {
    const auto task = start(finally(std::move(work), clean_up_and_fail()));
    finish(task);
    return failure_text(task);
  };
  EXPECT_EQ(why(fail_after(0s, "the work's")), "the clean-up's");
  EXPECT_EQ(why(nap(0s)), "the clean-up's");
}

TEST_P(Finally, TheyNestFromTheInsideOut) {
  Coro<> inner = finally(fail_after(0s, "x"), clean_up(&log_, "inner "));
  EXPECT_THROW(run(finally(std::move(inner), clean_up(&log_, "outer "))), TestError);
  EXPECT_EQ(log_, (Log{"inner ing", "inner ed", "outer ing", "outer ed"}));
}

TEST_P(Finally, InsideATimeoutItCleansUpBeforeTheTimeoutComesOut) {
  EXPECT_THROW(run(timeout(1ms, finally(nap(1h), clean_up(&log_)))), TimeoutError);
  EXPECT_EQ(log_, (Log{"cleaning", "cleaned"}));
}

TEST_P(Finally, CancelledAtAnyMomentOfTheWorkItCleansUpToTheEnd) {
  int alive = 0;
  const auto work = [](Alive) -> Coro<> { co_await turns(5); };
  const int cancelled = cancel_at_each_turn(
      [&] {
        log_.clear();
        return start(finally(work(Alive(alive)), clean_up(&log_)));
      },
      [&](const Task<>& task) {
        EXPECT_EQ(alive, 0);
        // Before its first step nothing begins; in the clean-up the cancellation is the clean-up's.
        if (!log_.empty()) {
          EXPECT_EQ(log_.front(), "cleaning");
        }
        if (log_.size() == 2) {
          EXPECT_EQ(log_.back(), "cleaned");
        }
        if (task.cancelled()) {
          EXPECT_EQ(cancel_message(task), "stop");
        }
      });
  EXPECT_GE(cancelled, 6);
}

TEST_P(Finally, ATaskCancelledInItsWorkIsCancelledAfterTheCleanUp) {
  const auto task = start(finally(nap(1h), clean_up(&log_)));
  tick(2);
  ASSERT_TRUE(task.cancel("enough"));
  tick(2);
  EXPECT_EQ(log_, (Log{"cleaning"}));
  EXPECT_FALSE(task.done());
  finish(task);
  EXPECT_EQ(cancel_message(task), "enough");
  EXPECT_EQ(log_, (Log{"cleaning", "cleaned"}));
}

TEST_P(Finally, ACleanUpThatNeverBeginsIsDestroyed) {
  int alive = 0;
  const auto hold = [](Alive) -> Coro<> { co_return; };
  {
    const Coro<> dropped = finally(hold(Alive(alive)), hold(Alive(alive)));
    EXPECT_EQ(alive, 2);
  }
  EXPECT_EQ(alive, 0);
}

}  // namespace
}  // namespace ferry::test
