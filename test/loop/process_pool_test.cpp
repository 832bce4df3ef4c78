// ProcessPool: functions in worker processes.

#include "pool_suite.h"

#include <array>
#include <cstdio>
#include <latch>
#include <limits>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <vector>

namespace ferry::test {

/// One that says itself how it is sent.
class Person {
 public:
  Person(std::string name, int age) : name_(std::move(name)), age_(age) {}
  const std::string& name() const { return name_; }
  int age() const { return age_; }

 private:
  std::string name_;
  int age_;
};

}  // namespace ferry::test

template <>
struct ferry::ProcessValue<ferry::test::Person> {
  static void write(ValueWriter& out, const ferry::test::Person& person) {
    write_value(out, person.name());
    write_value(out, person.age());
  }
  static ferry::test::Person read(ValueReader& in) {
    auto name = read_value<std::string>(in);
    return ferry::test::Person(std::move(name), read_value<int>(in));
  }
};

namespace ferry::test {
namespace {

void throw_out_of_range(const std::string& what) {
  throw std::out_of_range(what);
}
void throw_int() {
  throw 7;
}
std::string reversed(std::string text) {
  return {text.rbegin(), text.rend()};
}

class Pools : public PoolSuite {};
INSTANTIATE_TEST_SUITE_P(World, Pools, ::testing::Values(World::asio), world_name);

TEST_P(Pools, AFunctionRunsInAnotherProcessAndItsResultComesBack) {
  ProcessPool pool(with(2));
  EXPECT_EQ(get(pool.run(loop(), add, 20, 22)), 42);
  EXPECT_EQ(get(loop().run_in_executor(pool, add, 1, 2)), 3);
  EXPECT_EQ(get(pool.run(
                loop(), [](int a, long b) { return a * b; }, 6, 7)),
            42);
  const int pid = get(pool.run(loop(), worker_pid));
  EXPECT_NE(pid, static_cast<int>(::getpid()));
  EXPECT_TRUE(process_exists(pid));
  EXPECT_EQ(pool.workers(), 2U);
  EXPECT_EQ(loop().stats().jobs, 0U);
  EXPECT_EQ(loop().stats().operations, 0U);
}

TEST_P(Pools, WhatAFunctionChangesStaysInItsWorker) {
  ProcessPool pool(with(1));
  EXPECT_EQ(get(pool.run(loop(), change)), 1);
  EXPECT_EQ(get(pool.run(loop(), change)), 2);
  EXPECT_EQ(g_changed, 0);
}

TEST_P(Pools, ValuesOfManyTypesCross) {
  ProcessPool pool(with(1));
  EXPECT_EQ(get(pool.run(loop(), reversed, "abc")), "cba");
  EXPECT_EQ(get(pool.run(
                loop(), [](std::string_view text) { return text.size(); }, "four")),
            4U);
  EXPECT_EQ(get(pool.run(
                loop(),
                [](std::span<const int> numbers) {
                  return std::accumulate(numbers.begin(), numbers.end(), 0);
                },
                std::vector<int>{1, 2, 3})),
            6);
  using Mixed = std::tuple<int, std::string, std::vector<std::string>, std::optional<double>>;
  const Mixed mixed = get(pool.run(
      loop(),
      [](const std::map<std::string, int>& ages, std::vector<bool> flags) {
        return Mixed(static_cast<int>(flags.size()), ages.begin()->first, {"x", ""},
                     ages.begin()->second / 2.0);
      },
      std::map<std::string, int>{{"ada", 37}}, std::vector<bool>{true, false}));
  EXPECT_EQ(mixed, Mixed(2, "ada", {"x", ""}, 18.5));
  const Person older = get(pool.run(
      loop(), [](Person p) { return Person(p.name(), p.age() + 1); }, Person("bob", 20)));
  EXPECT_EQ(older.name(), "bob");
  EXPECT_EQ(older.age(), 21);
  using Names = std::array<std::string, 2>;
  EXPECT_EQ(
      get(pool.run(
          loop(), [](Names names) { return std::pair(names[1], names[0]); }, Names{"a", "b"})),
      std::pair(std::string("b"), std::string("a")));
  get(pool.run(loop(), [] {}));
}

TEST_P(Pools, MapsOfPlainValuesCross) {
  ProcessPool pool(with(1));
  const std::map<int, double> halves{{1, 0.5}, {2, 1}, {-3, -1.5}};
  EXPECT_EQ(get(pool.run(
                loop(), [](std::map<int, double> map) { return map; }, halves)),
            halves);
  const std::unordered_map<int, char> letters{{1, 'a'}, {2, 'b'}, {300, 'c'}};
  EXPECT_EQ(get(pool.run(
                loop(), [](std::unordered_map<int, char> map) { return map; }, letters)),
            letters);
  using Pairs = std::vector<std::pair<char, long>>;
  const Pairs pairs{{'x', 1}, {'y', -2}};
  EXPECT_EQ(get(pool.run(
                loop(), [](Pairs all) { return all; }, pairs)),
            pairs);
}

TEST_P(Pools, AnExceptionComesBackAsWhatItSays) {
  ProcessPool pool(with(1));
  const auto error = failure<RemoteError>(pool.run(loop(), throw_out_of_range, "too far"));
  EXPECT_STREQ(error.what(), "too far");
  EXPECT_EQ(error.type(), "std::out_of_range");
  const auto other = failure<RemoteError>(pool.run(loop(), throw_int));
  EXPECT_STREQ(other.what(), "an exception of type int");
  EXPECT_EQ(get(pool.run(loop(), add, 1, 1)), 2);  // by the same worker
}

TEST_P(Pools, ManyCallsShareAFewWorkersAndAllArrive) {
  ProcessPool pool(with(3));
  std::vector<Future<int>> futures;
  for (int i = 0; i < 500; ++i) futures.push_back(pool.run(loop(), add, i, 1));
  EXPECT_EQ(loop().stats().jobs, 500U);
  for (int i = 0; i < 500; ++i) EXPECT_EQ(get(futures[static_cast<std::size_t>(i)]), i + 1);
  EXPECT_EQ(pool.workers(), 3U);
}

TEST_P(Pools, CallsRunAtTheSameTime) {
  ProcessPool pool(with(2));
  const Gate gate;
  // The first ends only when the second has begun.
  const Future<int> first = pool.run(loop(), wait_for, gate.path());
  const Future<int> second = pool.run(
      loop(),
      [](const std::string& path) {
        std::ofstream(path) << "from the other\n";
        return 0;
      },
      gate.path());
  EXPECT_EQ(get(second), 0);
  EXPECT_EQ(get(first), 14);
}

TEST_P(Pools, ArgumentsAndResultsMayBeLarge) {
  ProcessPool pool(with(2));
  std::string text(10U << 20U, 'x');
  text.front() = 'a';
  text.back() = 'z';
  const Future<std::string> one = pool.run(loop(), reversed, text);
  const Future<std::string> other = pool.run(loop(), reversed, text);
  const std::string back = get(one);
  ASSERT_EQ(back.size(), text.size());
  EXPECT_EQ(back.front(), 'z');
  EXPECT_EQ(back.back(), 'a');
  EXPECT_EQ(get(other), back);
}

TEST_P(Pools, MessagesBeyondTheLimitAreRefusedOnBothSides) {
  ProcessPool pool({.workers = 1, .message_limit = 1000, .allow_threads = true});
  EXPECT_THROW(pool.run(loop(), reversed, std::string(1001, 'x')).done(), std::length_error);
  const auto error = failure<RemoteError>(pool.run(
      loop(), [](std::size_t count) { return std::string(count, 'x'); }, 5000));
  EXPECT_TRUE(has(error.what(), "message_limit is 1000")) << error.what();
  EXPECT_EQ(error.type(), "std::length_error");
  EXPECT_EQ(get(pool.run(loop(), add, 1, 1)), 2);
}

TEST_P(Pools, ALimitMayBeAsLargeAsANumberCanBe) {
  ProcessPool pool({.workers = 1,
                    .message_limit = std::numeric_limits<std::size_t>::max(),
                    .allow_threads = true});
  EXPECT_EQ(get(pool.run(loop(), reversed, "abc")), "cba");
}

TEST_P(Pools, WhatAnExceptionSaysIsCutAndTheWorkerStays) {
  ProcessPool pool({.workers = 1, .message_limit = 1000, .allow_threads = true});
  const int pid = get(pool.run(loop(), worker_pid));
  const auto error = failure<RemoteError>(
      pool.run(loop(), [] { throw std::runtime_error(std::string(1U << 20U, 'x')); }));
  const std::string_view what = error.what();
  EXPECT_GE(what.size(), 1000U);
  EXPECT_EQ(what.find_first_not_of('x'), what.npos);
  EXPECT_EQ(error.type(), "std::runtime_error");
  EXPECT_EQ(get(pool.run(loop(), worker_pid)), pid);
}

TEST_P(Pools, AFutureThatItsOwnerCompletedKeepsItsResult) {
  ProcessPool pool(with(1));
  const Future<int> answered = pool.run(loop(), add, 1, 1);
  const Future<void> failed = pool.run(loop(), throw_int);
  EXPECT_TRUE(answered.try_set_result(9));
  EXPECT_TRUE(failed.try_set_result());
  EXPECT_EQ(get(pool.run(loop(), add, 2, 2)), 4);  // behind them
  EXPECT_EQ(answered.result(), 9);
  failed.result();
  EXPECT_EQ(loop().stats().jobs, 0U);
}

TEST_P(Pools, TooManyCallsThatWaitAreRefused) {
  ProcessPool pool({.workers = 1, .queued = 2, .allow_threads = true});
  get(pool.run(loop(), add, 0, 0));  // the worker is there
  const Gate gate;
  const Future<int> runs = pool.run(loop(), wait_for, gate.path());
  const Future<int> a = pool.run(loop(), add, 1, 0);
  const Future<int> b = pool.run(loop(), add, 2, 0);
  EXPECT_THROW(pool.run(loop(), add, 3, 0).done(), std::length_error);
  EXPECT_EQ(loop().stats().jobs, 3U);
  gate.open();
  EXPECT_EQ(get(b), 2);
  EXPECT_EQ(get(a), 1);
  EXPECT_EQ(get(runs), 2);
}

TEST_P(Pools, ACancelledCallThatWaitsNeverRunsAndOneThatRunsIsForgotten) {
  ProcessPool pool(with(1));
  get(pool.run(loop(), add, 0, 0));
  const Gate gate;
  const Future<int> runs = pool.run(loop(), wait_for, gate.path());
  const Future<int> waits = pool.run(loop(), change);
  const Future<int> last = pool.run(loop(), change);
  EXPECT_TRUE(waits.cancel());
  EXPECT_TRUE(runs.cancel());
  EXPECT_EQ(loop().stats().jobs, 1U);
  gate.open();
  EXPECT_EQ(get(last), 1);  // the first change there was
  EXPECT_TRUE(runs.cancelled());
  EXPECT_TRUE(waits.cancelled());
  EXPECT_EQ(pool.workers(), 1U);
}

TEST_P(Pools, TheAnswerToACancelledCallIsDroppedByThePoolsNextUse) {
  ProcessPool pool(with(1));
  get(pool.run(loop(), add, 0, 0));  // the worker is there: the next call begins at once
  const Gate gate;
  const Future<int> runs = pool.run(loop(), wait_for, gate.path());
  EXPECT_TRUE(runs.cancel());
  EXPECT_EQ(loop().stats().operations, 0U);  // nothing is watched
  gate.open();
  EXPECT_EQ(get(pool.run(loop(), add, 4, 5)), 9);
}

TEST_P(Pools, WorkersHaveNoDescriptorsOfTheProgramAndSaneSignals) {
  loop().add_signal_handler(SIGUSR1, [] {});
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);  // not close-on-exec, even
  ProcessPool pool(with(2));
  const std::vector<int> open = get(pool.run(
      loop(),
      [](int first, int last) {
        std::vector<int> found;
        for (int fd = first; fd <= last; ++fd) {
          if (::write(fd, "", 0) == 0) found.push_back(fd);
        }
        return found;
      },
      pipe[1], pipe[1]));
  EXPECT_TRUE(open.empty());
  struct Signals {
    bool interrupt_ignored, terminate_default, user_default, none_blocked, child_default;
  };
  const auto signals = get(pool.run(loop(), [] {
    const auto handler = [](int number) {
      struct sigaction now {};
      ::sigaction(number, nullptr, &now);
      return now.sa_handler;
    };
    sigset_t blocked;
    ::sigprocmask(SIG_SETMASK, nullptr, &blocked);
    bool none = true;
    for (int number = 1; number < NSIG; ++number) none = none && sigismember(&blocked, number) != 1;
    return Signals{handler(SIGINT) == SIG_IGN, handler(SIGTERM) == SIG_DFL,
                   handler(SIGUSR1) == SIG_DFL, none, handler(SIGCHLD) == SIG_DFL};
  }));
  EXPECT_TRUE(signals.interrupt_ignored);
  EXPECT_TRUE(signals.terminate_default);
  EXPECT_TRUE(signals.user_default);
  EXPECT_TRUE(signals.none_blocked);
  EXPECT_TRUE(signals.child_default);
  EXPECT_TRUE(loop().remove_signal_handler(SIGUSR1));
  ::close(pipe[0]);
  ::close(pipe[1]);
}

TEST_P(Pools, AWorkersSocketHasNoNumberThatAFileOfTheProgramHas) {
  int pipes[8][2];
  for (auto& pipe : pipes) ASSERT_EQ(::pipe(pipe), 0);
  ProcessPool pool(with(1));
  const std::vector<int> sockets = get(pool.run(loop(), [] {
    std::vector<int> found;
    for (int fd = 0; fd < 256; ++fd) {
      struct stat status {};
      if (::fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode) && fd > 2) found.push_back(fd);
    }
    return found;
  }));
  EXPECT_TRUE(sockets.empty()) << sockets.front();
  for (auto& pipe : pipes) {
    ::close(pipe[0]);
    ::close(pipe[1]);
  }
}

TEST_P(Pools, AProgramWithoutStandardStreamsLosesNoSocketToWhatItsWorkersPrint) {
  const pid_t program = ::fork();
  ASSERT_GE(program, 0);
  if (program == 0) {
    ::alarm(20);
    for (const int fd : {0, 1, 2}) ::close(fd);
    ProcessPool pool(with(1));  // before the loop, or that would take these numbers
    EventLoop inside;
    const int sockets = inside.run_until_complete(pool.run(inside, [] {
      int count = 0;
      for (const int fd : {0, 1, 2}) {
        struct stat status {};
        count += ::fstat(fd, &status) != 0 || S_ISSOCK(status.st_mode);
      }
      return count;
    }));
    ::_exit(sockets);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(program, &status, 0), program);
  EXPECT_EQ(status, 0);
}

TEST_P(Pools, AWorkerMayRunALoopOfItsOwn) {
  loop().add_signal_handler(SIGUSR1, [] { ADD_FAILURE() << "not for the program"; });
  ProcessPool pool(with(1));
  const int answer = get(pool.run(loop(), [] {
    EventLoop inside;
    const Future<int> done(inside);
    inside.add_signal_handler(SIGUSR2, [done] { done.try_set_result(5); });
    inside.call_soon([] { ::kill(::getpid(), SIGUSR2); });
    return inside.run_until_complete(done);
  }));
  EXPECT_EQ(answer, 5);
  EXPECT_TRUE(loop().remove_signal_handler(SIGUSR1));
}

TEST_P(Pools, APoolMadeInsideARunningLoopHasWorkersOutsideOfIt) {
  std::optional<ProcessPool> pool;
  Future<int> answer;
  loop().call_soon([&] {
    pool.emplace(with(1));
    answer = pool->run(loop(), [] {
      if (running_loop()) return -1;
      EventLoop inside;
      const Future<int> done(inside);
      inside.call_later(1ms, [done] { done.try_set_result(8); });
      return inside.run_until_complete(done);
    });
  });
  run_until([&] { return answer.valid() && answer.done(); });
  EXPECT_EQ(answer.result(), 8);
}

TEST_P(Pools, WhatAFunctionPrintsIsOutBeforeItsResult) {
  const Gate place;
  const std::string path = place.path() + ".txt";
  ProcessPool pool(with(1));
  get(pool.run(
      loop(),
      [](const std::string& to) {
        // As standard output is where it is no terminal: with a buffer.
        std::FILE* const file = std::fopen(to.c_str(), "w");
        std::fputs("printed", file);
      },
      path));
  std::string text;
  std::getline(std::ifstream(path), text);
  EXPECT_EQ(text, "printed");
  ::unlink(path.c_str());
}

TEST_P(Pools, AProgramWithThreadsIsRefusedUnlessItInsists) {
  std::latch gate(1);
  std::thread thread([&gate] { gate.wait(); });
  try {
    ProcessPool pool({.workers = 1});
    ADD_FAILURE() << "it was made";
  } catch (const std::logic_error& error) {
    EXPECT_TRUE(has(error.what(), "threads already")) << error.what();
  }
  ProcessPool pool(with(1));
  EXPECT_EQ(get(pool.run(loop(), add, 1, 2)), 3);
  gate.count_down();
  thread.join();
}

TEST_P(Pools, NonsenseIsRefused) {
  EXPECT_THROW(ProcessPool({.workers = ProcessPool::kMaxWorkers + 1}), std::invalid_argument);
  ProcessPool pool(with(1));
  int (*none)() = nullptr;
  EXPECT_THROW(pool.run(loop(), none).done(), std::invalid_argument);
  EventLoop closed;
  closed.close();
  EXPECT_THROW(pool.run(closed, add, 1, 1).done(), std::logic_error);
}

class SimulatedPools : public LoopSuite {};
INSTANTIATE_TEST_SUITE_P(World, SimulatedPools, ::testing::Values(World::sim), world_name);

TEST_P(SimulatedPools, ASimulatedKernelSaysThatItHasNoProcesses) {
  ProcessPool pool(with(1));
  try {
    static_cast<void>(pool.run(loop(), add, 1, 1).done());
    FAIL() << "it did not throw";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code().value(), EOPNOTSUPP);
    EXPECT_TRUE(has(error.what(), "ProcessPool")) << error.what();
  }
  EXPECT_EQ(loop().stats().jobs, 0U);
}

}  // namespace
}  // namespace ferry::test
