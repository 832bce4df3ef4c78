// Tasks and futures that end in the very turn in which nobody wants them any more.

#include <ferry/async.h>
#include <ferry/testing/sim_kernel.h>

#include <gtest/gtest.h>

#include <chrono>
#include <stdexcept>
#include <vector>

namespace ferry::test {
namespace {

using namespace std::chrono_literals;

class TaskEnds : public ::testing::Test {
 protected:
  TaskEnds() {
    loop_.set_exception_handler([this](EventLoop&, const ExceptionContext& context) {
      reports_.push_back(context.to_string());
    });
  }
  void turn(int count = 3) {
    for (; count > 0; --count) {
      loop_.call_soon([this] { loop_.stop(); });
      loop_.run_forever();
    }
  }

  std::vector<std::string> reports_;
  EventLoop loop_{testing::make_sim_kernel()};
};

TEST_F(TaskEnds, AnAsCompletedThatIsDroppedHearsNoMoreOfWhatIsDone) {
  const Future<int> done(loop_);
  const Future<int> later(loop_);
  {
    const auto completed = as_completed(std::vector<Future<int>>{done, later});
    done.set_result(1);  // its callbacks are on their way
    EXPECT_EQ(completed.left(), 2u);
  }
  turn();
  later.set_result(2);
  turn();
  EXPECT_TRUE(reports_.empty());
}

Coro<int> fail_after(Duration delay) {
  co_await sleep(delay);
  throw std::runtime_error("too slow");
}

Coro<> race_of_failures() {
  std::vector<Function<Coro<int>()>> racers;
  racers.push_back([] { return fail_after(1ms); });
  co_await staggered_race(std::move(racers));
}

TEST_F(TaskEnds, WhatFailedInARaceThatIsCancelledIsNotReported) {
  const Task<> race = create_task(loop_, race_of_failures());
  turn();  // now the racer sleeps
  loop_.call_later(1ms, [&race] { race.cancel(); });
  loop_.call_later(2ms, [this] { loop_.stop(); });
  loop_.run_forever();
  EXPECT_TRUE(race.cancelled());
  EXPECT_EQ(reports_, std::vector<std::string>());
}

}  // namespace
}  // namespace ferry::test
