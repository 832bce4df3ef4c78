// ProcessPool: workers that die, pools that end, loops that close.

#include "pool_suite.h"

#include <ferry/testing/fault_kernel.h>

#include <memory>
#include <system_error>
#include <thread>
#include <vector>

namespace ferry::test {
namespace {

int raise_signal(int number) {
  std::signal(number, SIG_DFL);  // without a sanitizer's report
  std::raise(number);
  return 0;
}
int exit_with(int code) {
  ::_exit(code);
}

class PoolEnds : public PoolSuite {};
INSTANTIATE_TEST_SUITE_P(World, PoolEnds, ::testing::Values(World::asio), world_name);

TEST_P(PoolEnds, AWorkerThatDiesFailsItsCallAloneAndIsReplaced) {
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

TEST_P(PoolEnds, OtherWorkersGoOnWhenOneCrashes) {
  ProcessPool pool(with(2));
  const Gate gate;
  const Future<int> waits = pool.run(loop(), wait_for, gate.path());
  EXPECT_EQ(failure<BrokenWorkerError>(pool.run(loop(), raise_signal, SIGKILL)).status(), -SIGKILL);
  EXPECT_FALSE(waits.done());
  gate.open();
  EXPECT_EQ(get(waits), 2);
}

TEST_P(PoolEnds, AWorkerThatDiedIdleIsReplacedWithoutACallFailing) {
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

TEST_P(PoolEnds, APoolThatIsDestroyedCancelsItsCallsAndLeavesNoProcess) {
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

TEST_P(PoolEnds, APoolThatIsNeverUsedLeavesNothing) {
  { ProcessPool pool(with(4)); }
  EXPECT_TRUE(childless());
}

TEST_P(PoolEnds, ShutdownWaitsForAllCallsAndRefusesNewOnes) {
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

TEST_P(PoolEnds, ShutdownMayCancelWhatHasNotBegun) {
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

TEST_P(PoolEnds, ShutdownWaitsForACallWhoseFutureWasCancelled) {
  ProcessPool pool(with(1));
  get(pool.run(loop(), add, 0, 0));
  const Gate gate;
  const std::string made = gate.path() + ".made";
  const Future<int> runs = pool.run(
      loop(),
      [](const std::string& path, const std::string& file) {
        const int read = wait_for(path);
        std::ofstream(file) << read;
        return read;
      },
      gate.path(), made);
  runs.cancel();
  const Future<void> down = pool.shutdown(loop());
  tick();
  EXPECT_FALSE(down.done());
  gate.open();
  get(down);
  EXPECT_EQ(::unlink(made.c_str()), 0) << "it was killed";
}

TEST_P(PoolEnds, AShutdownThatIsRefusedChangesNothing) {
  ProcessPool pool(with(1));
  EventLoop other;
  other.run_until_complete(pool.run(other, add, 0, 0));  // the next call begins at once
  const Gate gate;
  const Future<int> runs = pool.run(other, wait_for, gate.path());
  EXPECT_THROW(pool.shutdown(loop(), true).done(), std::logic_error);
  const Future<int> next = pool.run(other, add, 1, 2);
  gate.open();
  EXPECT_EQ(other.run_until_complete(next), 3);
  EXPECT_EQ(runs.result(), 2);
  get(pool.shutdown(loop()));
}

TEST_P(PoolEnds, AWorkerThatCannotBeWatchedFailsTheCallAndLeavesTheLoop) {
  auto kernel = std::make_unique<testing::FaultKernel>(make_asio_kernel());
  testing::FaultKernel& faults = *kernel;
  EventLoop other(std::move(kernel));
  ProcessPool pool(with(1));
  EXPECT_EQ(other.run_until_complete(pool.run(other, add, 1, 2)), 3);
  // Of the second call: the server is watched first, then the worker.
  const auto guard = faults.inject({.call = "epoll_ctl", .error = ENOSPC, .after = 1, .times = 1});
  const Future<int> unwatched = pool.run(other, add, 1, 2);
  ASSERT_TRUE(unwatched.done());
  EXPECT_THROW(unwatched.result(), std::system_error);
  EXPECT_EQ(other.stats().operations, 0U);
  EXPECT_EQ(get(pool.run(loop(), add, 3, 4)), 7);
}

TEST_P(PoolEnds, AChildThatTheProgramForkedHoldsNothingUp) {
  auto pool = std::make_unique<ProcessPool>(with(1));
  EXPECT_EQ(get(pool->run(loop(), add, 1, 2)), 3);
  const pid_t holds = ::fork();
  if (holds == 0) {
    ::alarm(20);  // should that hang which is tested
    for (;;) ::pause();
  }
  // One that runs destructors does not end its parent's pool.
  const pid_t destroys = ::fork();
  if (destroys == 0) {
    pool.reset();
    ::_exit(0);
  }
  int status = -1;
  EXPECT_EQ(::waitpid(destroys, &status, 0), destroys);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(get(pool->run(loop(), add, 2, 2)), 4);
  pool.reset();
  EXPECT_EQ(::waitpid(holds, nullptr, WNOHANG), 0) << "the pool waited for it";
  ::kill(holds, SIGKILL);
  EXPECT_EQ(::waitpid(holds, nullptr, 0), holds);
  EXPECT_TRUE(childless());
}

TEST_P(PoolEnds, CallsThatWaitSurviveACrashDuringTheShutdown) {
  ProcessPool pool(with(1));
  const Future<int> dies = pool.run(loop(), exit_with, 1);
  const Future<int> waits = pool.run(loop(), add, 1, 1);
  get(pool.shutdown(loop()));
  EXPECT_EQ(failure<BrokenWorkerError>(dies).status(), 1);
  EXPECT_EQ(waits.result(), 2);
}

TEST_P(PoolEnds, ClosingTheLoopDropsItsCallsAndAnotherLoopMayUseThePool) {
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

TEST_P(PoolEnds, TheDeathOfTheForkServerFailsAllCallsClearly) {
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

TEST_P(PoolEnds, WorkersDieWithTheProgram) {
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

}  // namespace
}  // namespace ferry::test
