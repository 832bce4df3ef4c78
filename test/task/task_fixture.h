#pragma once

#include "world.h"

#include <ferry/sleep.h>
#include <ferry/task.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace ferry::test {

using namespace std::chrono_literals;

using Log = std::vector<std::string>;

/// A fixture that has a loop, and what suites with tasks share. Coroutine lambdas capture nothing,
/// here as anywhere: they are given pointers and references to what the test holds until its end.
template <class Fixture>
class WithTasks : public Fixture {
 protected:
  using Fixture::loop;
  using Fixture::run_for;
  using Fixture::run_until;
  using Fixture::tick;

  template <class T>
  T run(Coro<T> coro) {
    return run_until_complete(loop(), std::move(coro));
  }
  template <class T>
  Task<T> start(Coro<T> coro, const TaskOptions& options = {}) {
    return create_task(loop(), std::move(coro), options);
  }
  /// Until it is done, however it ends.
  template <class T>
  void finish(const Future<T>& future) {
    run_until([&future] { return future.done(); });
  }
  /// One turn if something is ready, else a millisecond of the loop's clock.
  void advance() {
    if (loop().stats().ready > 0) {
      tick(1);
    } else {
      run_for(1ms);
    }
  }

  /// Calls `scenario`, which gives a task, again and again; cancels the task before its first step,
  /// then after one turn, and so on until it ends before its turn comes. `check` is called with
  /// each, ended. Gives the number of cancellations.
  template <class Scenario, class Check>
  int cancel_at_each_turn(Scenario scenario, Check check) {
    int cancelled = 0;
    for (int turns = 0;; ++turns) {
      const auto task = scenario();
      for (int turn = 0; turn < turns && !task.done(); ++turn) advance();
      const bool ended = task.done();
      if (!ended) {
        EXPECT_TRUE(task.cancel("stop")) << "after " << turns << " turns";
        ++cancelled;
        finish(task);
      }
      SCOPED_TRACE("cancelled after " + std::to_string(turns) + " turns");
      check(task);
      if (ended || this->HasFatalFailure()) return cancelled;
      if (turns > 200) {
        ADD_FAILURE() << "it never ends by itself";
        return cancelled;
      }
    }
  }
};

/// What the suites of the task layer have.
using TaskFixture = WithTasks<LoopFixture>;

/// In both worlds.
class TaskTest : public TaskFixture, public ::testing::WithParamInterface<World> {
 protected:
  World world() const override { return GetParam(); }
};

/// In simulated time only: what depends on the order of moments.
class SimTaskTest : public TaskFixture {
 protected:
  World world() const override { return World::sim; }
};

/// What the cancelled future says; "not cancelled" if it is not.
template <class T>
std::string cancel_message(const Future<T>& future) {
  if (!future.cancelled()) return "not cancelled";
  try {
    static_cast<void>(future.result());
  } catch (const CancelledError& cancelled) {
    return cancelled.message();
  }
  return "it did not throw";
}

/// what() of the exception that the future holds; "" if it holds a value.
template <class T>
std::string failure_text(const Future<T>& future) {
  const std::exception_ptr failure = future.state()->failure();
  if (!failure) return "";
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& e) {
    return e.what();
  } catch (const CancelledError& e) {
    return "cancelled: " + e.message();
  } catch (...) {
    return "something else";
  }
}

/// Counts how many of it are alive, to see when arguments and locals die.
class Alive {
 public:
  explicit Alive(int& count) noexcept : count_(&count) { ++*count_; }
  Alive(const Alive& other) noexcept : Alive(*other.count_) {}
  Alive(Alive&& other) noexcept : Alive(*other.count_) {}
  Alive& operator=(const Alive&) = delete;
  ~Alive() { --*count_; }

 private:
  int* count_;
};

/// An error of the tests' own.
class TestError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Gives a value after a time.
template <class T>
Coro<T> value_after(Duration delay, T value) {
  co_await sleep(delay);
  co_return std::move(value);
}
inline Coro<> fail_after(Duration delay, std::string what) {
  co_await sleep(delay);
  throw TestError(what);
}
/// `sleep` as a coroutine, on the loop's clock: in the simulation it takes no time.
inline Coro<> nap(Duration delay) {
  co_await sleep(delay);
}
/// Lets that many turns pass.
inline Coro<> turns(int count) {
  for (int turn = 0; turn < count; ++turn) co_await sleep(0s);
}
template <class T>
Coro<T> await_future(Future<T> future) {
  co_return co_await future;
}

}  // namespace ferry::test
