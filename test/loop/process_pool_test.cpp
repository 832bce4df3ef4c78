// ProcessPool: functions in worker processes.

#include "loop_suite.h"

#include <ferry/process_pool.h>

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <latch>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
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

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// -- what the workers run

int add(int a, int b) {
  return a + b;
}
int worker_pid() {
  return static_cast<int>(::getpid());
}
int g_changed = 0;
int change() {
  return ++g_changed;
}
void throw_out_of_range(const std::string& what) {
  throw std::out_of_range(what);
}
void throw_int() {
  throw 7;
}
int raise_signal(int number) {
  std::signal(number, SIG_DFL);  // without a sanitizer's report
  std::raise(number);
  return 0;
}
int exit_with(int code) {
  ::_exit(code);
}
std::string reversed(std::string text) {
  return {text.rbegin(), text.rend()};
}
/// Holds its worker until something, or the end, comes through the pipe named `path`.
int wait_for(const std::string& path) {
  std::ifstream gate(path);
  std::string line;
  std::getline(gate, line);
  return static_cast<int>(line.size());
}

/// A pipe with a name, through which a test lets its workers go on.
class Gate {
 public:
  Gate() {
    char folder[] = "/tmp/ferry-gate-XXXXXX";
    if (!::mkdtemp(folder)) throw std::runtime_error("mkdtemp");
    folder_ = folder;
    path_ = folder_ + "/gate";
    if (::mkfifo(path_.c_str(), 0600) != 0) throw std::runtime_error("mkfifo");
  }
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  ~Gate() {
    ::unlink(path_.c_str());
    ::rmdir(folder_.c_str());
  }
  const std::string& path() const { return path_; }
  /// Waits until a worker waits, and lets it go.
  void open() const { std::ofstream(path_) << "go\n"; }

 private:
  std::string folder_;
  std::string path_;
};

/// Of an other test a thread may be on its way out still.
ProcessPool::Options with(std::size_t workers) {
  return {.workers = workers, .allow_threads = true};
}

bool process_exists(int pid) {
  return ::kill(pid, 0) == 0;
}
/// No child of this process is left, not even as a zombie.
bool childless() {
  return ::waitpid(-1, nullptr, WNOHANG) < 0 && errno == ECHILD;
}

class Pools : public LoopSuite {
 protected:
  template <class T>
  T get(const Future<T>& future) {
    return loop().run_until_complete(future);
  }
  /// What the future failed with.
  template <class Error, class T>
  Error failure(const Future<T>& future) {
    try {
      loop().run_until_complete(future);
    } catch (const Error& error) {
      return error;
    }
    throw std::runtime_error("it did not fail");
  }
};
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

TEST_P(Pools, AnExceptionComesBackAsWhatItSays) {
  ProcessPool pool(with(1));
  const auto error = failure<RemoteError>(pool.run(loop(), throw_out_of_range, "too far"));
  EXPECT_STREQ(error.what(), "too far");
  EXPECT_EQ(error.type(), "std::out_of_range");
  const auto other = failure<RemoteError>(pool.run(loop(), throw_int));
  EXPECT_STREQ(other.what(), "an exception of type int");
  EXPECT_EQ(get(pool.run(loop(), add, 1, 1)), 2);  // by the same worker
}

TEST_P(Pools, AWorkerThatDiesFailsItsCallAloneAndIsReplaced) {
  ProcessPool pool(with(1));
  const int first = get(pool.run(loop(), worker_pid));
  const Future<int> killed = pool.run(loop(), raise_signal, SIGSEGV);
  const Future<int> behind = pool.run(loop(), add, 2, 3);
  const Future<int> exited = pool.run(loop(), exit_with, 3);
  const Future<int> last = pool.run(loop(), worker_pid);
  EXPECT_EQ(get(behind), 5);
  const int second = get(last);
  EXPECT_NE(first, second);
  const auto by_signal = failure<BrokenWorkerError>(killed);
  EXPECT_EQ(by_signal.status(), -SIGSEGV);
  EXPECT_TRUE(has(by_signal.what(), "killed by signal 11 (Segmentation fault)"))
      << by_signal.what();
  EXPECT_TRUE(has(by_signal.what(), std::to_string(first))) << by_signal.what();
  const auto by_exit = failure<BrokenWorkerError>(exited);
  EXPECT_EQ(by_exit.status(), 3);
  EXPECT_TRUE(has(by_exit.what(), "exited with code 3")) << by_exit.what();
  EXPECT_FALSE(process_exists(first));
}

TEST_P(Pools, OtherWorkersGoOnWhenOneCrashes) {
  ProcessPool pool(with(2));
  const Gate gate;
  const Future<int> waits = pool.run(loop(), wait_for, gate.path());
  EXPECT_EQ(failure<BrokenWorkerError>(pool.run(loop(), raise_signal, SIGKILL)).status(), -SIGKILL);
  EXPECT_FALSE(waits.done());
  gate.open();
  EXPECT_EQ(get(waits), 2);
}

TEST_P(Pools, AWorkerThatDiedIdleIsReplacedWithoutACallFailing) {
  ProcessPool pool(with(2));
  for (int round = 0; round < 5; ++round) {
    const int pid = get(pool.run(loop(), worker_pid));
    ASSERT_EQ(::kill(pid, SIGKILL), 0);
    while (process_exists(pid)) {  // until the fork server has seen it
      std::this_thread::yield();
    }
    EXPECT_NE(get(pool.run(loop(), worker_pid)), pid);
  }
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

TEST_P(Pools, APoolThatIsDestroyedCancelsItsCallsAndLeavesNoProcess) {
  Gate gate;
  int pid = 0;
  Future<int> runs;
  Future<int> waits;
  {
    ProcessPool pool(with(1));
    pid = get(pool.run(loop(), worker_pid));
    runs = pool.run(loop(), wait_for, gate.path());
    waits = pool.run(loop(), add, 1, 1);
    tick();
  }
  EXPECT_TRUE(runs.cancelled());
  EXPECT_TRUE(waits.cancelled());
  EXPECT_FALSE(process_exists(pid));
  EXPECT_TRUE(childless());
  EXPECT_EQ(loop().stats().jobs, 0U);
  EXPECT_EQ(loop().stats().operations, 0U);
}

TEST_P(Pools, APoolThatIsNeverUsedLeavesNothing) {
  { ProcessPool pool(with(4)); }
  EXPECT_TRUE(childless());
}

TEST_P(Pools, ShutdownWaitsForAllCallsAndRefusesNewOnes) {
  ProcessPool pool(with(1));
  std::vector<Future<int>> futures;
  for (int i = 0; i < 20; ++i) futures.push_back(pool.run(loop(), add, i, i));
  const Future<void> down = pool.shutdown(loop());
  EXPECT_THROW(pool.run(loop(), add, 1, 1).done(), std::logic_error);
  EXPECT_FALSE(down.done());
  get(down);
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(futures[static_cast<std::size_t>(i)].done());
    EXPECT_EQ(futures[static_cast<std::size_t>(i)].result(), 2 * i);
  }
  EXPECT_EQ(pool.workers(), 0U);
  EXPECT_TRUE(childless());
  EXPECT_EQ(loop().stats().operations, 0U);
  get(pool.shutdown(loop()));  // again: there is nothing left to do
}

TEST_P(Pools, ShutdownMayCancelWhatHasNotBegun) {
  ProcessPool pool(with(1));
  get(pool.run(loop(), add, 0, 0));
  const Gate gate;
  const Future<int> runs = pool.run(loop(), wait_for, gate.path());
  const Future<int> waits = pool.run(loop(), add, 1, 1);
  const Future<void> down = pool.shutdown(loop(), true);
  EXPECT_TRUE(waits.cancelled());
  gate.open();
  get(down);
  EXPECT_EQ(runs.result(), 2);
}

TEST_P(Pools, CallsThatWaitSurviveACrashDuringTheShutdown) {
  ProcessPool pool(with(1));
  const Future<int> dies = pool.run(loop(), exit_with, 1);
  const Future<int> waits = pool.run(loop(), add, 1, 1);
  get(pool.shutdown(loop()));
  EXPECT_EQ(failure<BrokenWorkerError>(dies).status(), 1);
  EXPECT_EQ(waits.result(), 2);
}

TEST_P(Pools, ClosingTheLoopDropsItsCallsAndAnotherLoopMayUseThePool) {
  ProcessPool pool(with(1));
  get(pool.run(loop(), add, 0, 0));
  const Gate gate;
  Token token;
  {
    EventLoop other;
    const Future<int> runs = pool.run(other, wait_for, gate.path());
    const Future<int> waits = pool.run(other, change);
    EXPECT_THROW(pool.run(loop(), add, 1, 1).done(), std::logic_error);  // it is busy over there
    runs.add_done_callback([held = token.held()] { ADD_FAILURE() << "the loop is closed"; });
    other.close();
    EXPECT_FALSE(runs.done());
    EXPECT_FALSE(waits.done());
  }
  EXPECT_FALSE(token.captured());
  const Future<int> next = pool.run(loop(), change);
  gate.open();
  EXPECT_EQ(get(next), 1);  // the other loop's never ran
}

TEST_P(Pools, TheDeathOfTheForkServerFailsAllCallsClearly) {
  ProcessPool pool(with(1));
  const int parent = get(pool.run(loop(), [] { return static_cast<int>(::getppid()); }));
  EXPECT_NE(parent, static_cast<int>(::getpid()));
  const Gate gate;
  const Future<int> runs = pool.run(loop(), wait_for, gate.path());
  const Future<int> waits = pool.run(loop(), add, 1, 1);
  ASSERT_EQ(::kill(parent, SIGKILL), 0);
  EXPECT_TRUE(has(failure<BrokenWorkerError>(runs).what(), "fork server"))
      << failure<BrokenWorkerError>(runs).what();
  EXPECT_TRUE(has(failure<BrokenWorkerError>(waits).what(), "fork server"))
      << failure<BrokenWorkerError>(waits).what();
  EXPECT_THROW(pool.run(loop(), add, 1, 1).done(), BrokenWorkerError);
  EXPECT_TRUE(childless());
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

TEST_P(Pools, WorkersDieWithTheProgram) {
  // A program of its own, that dies with a call under way and no time to say good-bye.
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  const Gate gate;
  const pid_t program = ::fork();
  ASSERT_GE(program, 0);
  if (program == 0) {
    EventLoop inside;
    ProcessPool pool(with(1));
    const int pid = inside.run_until_complete(pool.run(inside, worker_pid));
    static_cast<void>(pool.run(inside, wait_for, gate.path()).done());
    if (::write(pipe[1], &pid, sizeof pid) != sizeof pid) ::_exit(1);
    ::kill(::getpid(), SIGKILL);
  }
  int pid = 0;
  ASSERT_EQ(::read(pipe[0], &pid, sizeof pid), static_cast<ssize_t>(sizeof pid));
  ASSERT_EQ(::waitpid(program, nullptr, 0), program);
  run_until([pid] {
    if (!process_exists(pid)) return true;
    // Whoever inherits orphans here may be slow to reap them.
    std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
    std::string number;
    std::string name;
    char state = 0;
    stat >> number >> name >> state;
    return state == 'Z' || state == 0;
  });
  ::close(pipe[0]);
  ::close(pipe[1]);
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
