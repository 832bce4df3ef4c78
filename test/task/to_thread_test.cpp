// What crosses threads: to_thread, wrap_future, run_coroutine_threadsafe.

#include "task_fixture.h"

#include <ferry/run.h>
#include <ferry/to_thread.h>
#include <ferry/wait.h>

#include <future>
#include <latch>
#include <thread>

namespace ferry::test {
namespace {

class ToThread : public TaskTest {};
INSTANTIATE_TEST_SUITE_P(World, ToThread, ::testing::Values(World::asio), world_name);

Coro<> wait_for_ever() {
  co_await sleep(24h);
}

/// Runs the loop beside a thread until that is through.
template <class Loop, class F>
void beside(Loop& loop, F f) {
  std::thread thread([&loop, f] {
    f();
    loop.call_soon_threadsafe([&loop] { loop.stop(); });
  });
  loop.run_forever();
  thread.join();
}

TEST_P(ToThread, C0337_MoveOnlyArgumentsGoInAndTheValueComesBack) {
  const auto body = []() -> Coro<std::string> {
    auto number = std::make_unique<int>(4);
    const std::thread::id here = std::this_thread::get_id();
    const auto text = [](std::unique_ptr<int> n, std::thread::id loop_thread) {
      return std::to_string(*n) + (std::this_thread::get_id() == loop_thread ? " here" : " there");
    };
    const Future<std::string> future = to_thread(text, std::move(number), here);
    co_return co_await future;
  };
  EXPECT_EQ(run(body()), "4 there");
}

TEST_P(ToThread, C0337_CallsRunAtTheSameTime) {
  const auto body = []() -> Coro<int> {
    const auto all = std::make_shared<std::latch>(4);
    const auto meet = [](std::shared_ptr<std::latch> latch) {
      latch->arrive_and_wait();  // in turn this would never end
      return 1;
    };
    std::vector<Future<int>> futures;
    for (int i = 0; i < 4; ++i) futures.push_back(to_thread(meet, all));
    int sum = 0;
    for (const Future<int>& future : futures) sum += co_await future;
    co_return sum;
  };
  EXPECT_EQ(run(body()), 4);
}

TEST_P(ToThread, C0109_AWrappedStdFutureGivesItsValueAndItsExceptionInTheLoop) {
  const auto body = [](Log* log) -> Coro<> {
    std::promise<std::string> value;
    const Future<std::string> first = wrap_future(value.get_future());
    std::promise<int> error;
    const Future<int> second = wrap_future(error.get_future());
    std::thread thread([&value, &error] {
      value.set_value("from a thread");
      error.set_exception(std::make_exception_ptr(TestError("from there, too")));
    });
    const std::thread::id here = std::this_thread::get_id();
    log->push_back(co_await first);
    EXPECT_EQ(std::this_thread::get_id(), here);
    try {
      log->push_back(std::to_string(co_await second));
    } catch (const TestError& e) {
      log->push_back(e.what());
    }
    thread.join();
  };
  Log log;
  run(body(&log));
  EXPECT_EQ(log, (Log{"from a thread", "from there, too"}));
}

TEST_P(ToThread, C0110_CancellingATaskThatWaitsForAJobKeepsTheJobFromBeginning) {
  loop().set_default_executor(std::make_shared<ThreadPool>(ThreadPool::Options{.threads = 1}));
  std::latch begun(1);
  std::latch gate(1);
  const Future<void> blocks = loop().run_in_executor(nullptr, [&] {
    begun.count_down();
    gate.wait();
  });
  begun.wait();
  bool ran = false;
  const auto body = [](bool* flag) -> Coro<> { co_await to_thread([flag] { *flag = true; }); };
  const Task<> task = start(body(&ran));
  tick();
  EXPECT_TRUE(task.cancel());
  finish(task);
  EXPECT_TRUE(task.cancelled());
  gate.count_down();
  loop().run_until_complete(blocks);
  loop().run_until_complete(loop().shutdown_default_executor());
  EXPECT_FALSE(ran);
}

TEST_P(ToThread, C0112_WrappingAFutureOfALoopGivesItBack) {
  const auto body = []() -> Coro<bool> {
    const Future<int> future(get_running_loop());
    co_return wrap_future(future) == future;
  };
  EXPECT_TRUE(run(body()));
}

TEST_P(ToThread, C0055_ACoroutineFromAnotherThreadGivesItsResultThere) {
  beside(loop(), [this] {
    EXPECT_EQ(run_coroutine_threadsafe(value_after(1ms, std::string("value")), loop()).get(),
              "value");
    run_coroutine_threadsafe(nap(1ms), loop()).get();
  });
}

TEST_P(ToThread, C0056_ItsExceptionComesOutInTheThread) {
  beside(loop(), [this] {
    auto result = run_coroutine_threadsafe(fail_after(1ms, "failed over there"), loop());
    try {
      result.get();
      ADD_FAILURE() << "it did not throw";
    } catch (const TestError& e) {
      EXPECT_STREQ(e.what(), "failed over there");
    }
  });
}

TEST_P(ToThread, C0057_AThreadThatWaitsNoLongerCancelsTheTask) {
  beside(loop(), [this] {
    auto result = run_coroutine_threadsafe(wait_for_ever(), loop());
    EXPECT_EQ(result.wait_for(1ms), std::future_status::timeout);
    result.cancel();
    EXPECT_THROW(result.get(), CancelledError);
  });
  EXPECT_TRUE(all_tasks(loop()).empty());
}

TEST_P(ToThread, C0058_ATaskThatCancelsItselfIsCancelledForTheThread) {
  const auto body = []() -> Coro<int> {
    current_task()->cancel("by itself");
    co_await sleep(0s);
    co_return 1;
  };
  beside(loop(), [this, body] {
    auto result = run_coroutine_threadsafe(body(), loop());
    try {
      result.get();
      ADD_FAILURE() << "it did not throw";
    } catch (const CancelledError& e) {
      EXPECT_EQ(e.message(), "by itself");
    }
  });
}

TEST_P(ToThread, ALoopThatClosesBreaksThePromise) {
  EventLoop other;
  auto result = run_coroutine_threadsafe(wait_for_ever(), other);
  other.stop();
  other.run_forever();
  other.set_exception_handler([](EventLoop&, const ExceptionContext&) {});
  other.close();
  EXPECT_THROW(result.get(), std::future_error);
  EXPECT_THROW(run_coroutine_threadsafe(wait_for_ever(), other).get(), std::logic_error);
}

TEST_P(ToThread, C0329_RunWorksInAThreadThatIsNotTheFirst) {
  std::string value;
  std::thread thread([&value] { value = ferry::run(value_after(1ms, std::string("value"))); });
  thread.join();
  EXPECT_EQ(value, "value");
}

}  // namespace
}  // namespace ferry::test
