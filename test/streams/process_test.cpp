// Children in coroutines: starting, waiting, signals, and that none is left.

#include "process_fixture.h"

#include <ferry/gather.h>
#include <ferry/run.h>
#include <ferry/timeout.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <system_error>
#include <thread>

namespace ferry::test {
namespace {

class ProcessTest : public ProcessFixture {};

TEST_F(ProcessTest, C0612_TheCodeOfAnExitAndOfASignal) {
  Process child = shell("exit 23");
  EXPECT_GT(child.pid(), 0);
  EXPECT_EQ(wait(child), 23);
  EXPECT_EQ(child.returncode(), 23);
  for (const int number : {SIGTERM, SIGKILL, SIGUSR1}) {
    child = exec({"sleep", "600"});
    EXPECT_FALSE(child.returncode().has_value());
    if (number == SIGTERM) child.terminate();
    if (number == SIGKILL) child.kill();
    if (number == SIGUSR1) child.send_signal(SIGUSR1);
    EXPECT_EQ(wait(child), -number);
  }
}

TEST_F(ProcessTest, C0613_TheShellsStatus) {
  EXPECT_EQ(wait(shell("exit 7")), 7);
  SubprocessOptions options;
  options.new_session = true;
  EXPECT_EQ(wait(shell("exit 8", std::move(options))), 8);
}

TEST_F(ProcessTest, C0614_TenTasksWaitAndOneThatIsCancelledLeavesTheOthers) {
  const Process child = shell("read go; exit 5");
  std::vector<Task<int>> waiting;
  for (int i = 0; i < 10; ++i) waiting.push_back(start(wait_for_it(child)));
  tick(3);
  waiting[4].cancel("stop");
  tick(3);
  EXPECT_EQ(cancel_message(waiting[4]), "stop");
  child.in().write("\n");
  for (int i = 0; i < 10; ++i) {
    if (i == 4) continue;
    finish(waiting[static_cast<std::size_t>(i)]);
    EXPECT_EQ(waiting[static_cast<std::size_t>(i)].result(), 5);
  }
  // After the end it takes no turn.
  const auto late = start(wait_for_it(child));
  tick(1);
  EXPECT_TRUE(late.done());
  EXPECT_EQ(late.result(), 5);
}

TEST_F(ProcessTest, WaitGoesIntoWhatTakesAwaitables) {
  const auto body = [](Process child) -> Coro<int> {
    EXPECT_THROW(co_await wait_for(child.wait(), 5ms), TimeoutError);
    child.in().write("\n");
    auto both = gather(child.wait(), child.out().read());
    const auto& ended = co_await both;
    EXPECT_EQ(std::get<1>(ended), "out\n");
    co_return std::get<0>(ended);
  };
  EXPECT_EQ(run(body(shell("read go; echo out; exit 9"))), 9);
}

TEST_F(ProcessTest, WaitEndsWithTheChildAlsoIfAGrandchildHoldsThePipes) {
  const Process child = shell("sleep 600 & echo $!; exit 5");
  EXPECT_EQ(wait(child), 5);
  const auto read = [](Process of) -> Coro<std::string> { co_return co_await of.out().readline(); };
  const std::string grandchild = run(read(child));
  EXPECT_FALSE(child.out().at_eof());
  ::kill(std::stoi(grandchild), SIGKILL);
  settle_children();
}

TEST_F(ProcessTest, C0620_AMissingProgramIsAnErrorAndLeavesNothing) {
  const std::size_t before = open_descriptors();
  for (int i = 0; i < 20; ++i) {
    try {
      exec({"/nonexistent/program"});
      ADD_FAILURE() << "no error";
    } catch (const std::system_error& error) {
      EXPECT_EQ(error.code(), std::errc::no_such_file_or_directory);
      EXPECT_NE(std::string(error.what()).find("/nonexistent/program"), std::string::npos);
    }
  }
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_EQ(loop().stats().transports, 0u);
}

TEST_F(ProcessTest, MisuseOfTheArgumentsIsToldAtTheAwait) {
  EXPECT_THROW(exec({}), std::invalid_argument);
  EXPECT_THROW(exec({"true"}, piped(), 0), std::invalid_argument);
  SubprocessOptions options;
  options.out = Stdio::as_output();
  EXPECT_THROW(exec({"true"}, options), std::invalid_argument);
}

TEST_F(ProcessTest, C0622_CancellingAtEachPointOfTheStartKillsAndReaps) {
  const auto body = []() -> Coro<> {
    std::vector<std::string> command{"sleep", "600"};
    SubprocessOptions options;
    options.in = options.out = options.err = Stdio::pipe();
    const Process child = co_await create_subprocess_exec(command, options);
    co_await sleep(2ms);
    child.kill();
    co_await child.wait();
  };
  const int points = cancel_at_each_turn([&] { return start(body()); },
                                         [&](const Task<>& task) {
                                           if (!task.cancelled()) {
                                             EXPECT_EQ(failure_text(task), "");
                                           }
                                           settle_children();
                                           EXPECT_EQ(loop().stats().operations, 0u);
                                           expect_no_child();
                                         });
  EXPECT_GE(points, 4);
}

TEST_F(ProcessTest, C0626_SignalsToADeadChildDoNothingAndAfterTheEndAreAnError) {
  const Process child = shell("read go");
  child.in().write("\n");
  // It has ended, and nobody has asked for its status: the loop does not run.
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child.pid()), &info, WEXITED | WNOWAIT), 0);
  child.terminate();
  EXPECT_EQ(wait(child), 0);
  settle_children();
  try {
    child.kill();
    ADD_FAILURE() << "no error";
  } catch (const IoError& error) {
    EXPECT_EQ(error.code(), std::errc::no_such_process);
  }
}

TEST_F(ProcessTest, TheLastHandleKillsItsChild) {
  loop().set_debug(true);
  std::optional<Process> child = exec({"sleep", "600"});
  std::optional<Process> other = child;
  const auto waiting = start(wait_for_it(*child));
  tick(2);
  child.reset();
  tick(2);
  EXPECT_FALSE(waiting.done());
  EXPECT_FALSE(other->transport()->is_closing());
  const auto transport = other->transport();
  waiting.cancel();
  finish(waiting);
  other.reset();
  EXPECT_TRUE(transport->is_closing());
  settle_children();
  EXPECT_EQ(transport->get_returncode(), -SIGKILL);
  const auto log = take_log();
  ASSERT_EQ(log.size(), 1u);
  EXPECT_NE(log[0].find("was dropped while it ran"), std::string::npos) << log[0];
}

TEST_F(ProcessTest, AHandleThatGoesAfterTheEndSaysNothing) {
  loop().set_debug(true);
  {
    const Process child = shell("exit 3");
    EXPECT_EQ(wait(child), 3);
  }
  settle_children();
  EXPECT_TRUE(take_log().empty());
}

TEST_F(ProcessTest, ATaskThatWaitsHearsOfTheKillWhenTheHandleGoes) {
  // What waits does not hold the child.
  const auto waiter = [](Process::Wait* wait) -> Coro<int> { co_return co_await *wait; };
  std::optional<Process> child = exec({"sleep", "600"});
  Process::Wait wait = child->wait();
  const auto task = start(waiter(&wait));
  tick(2);
  child.reset();
  finish(task);
  EXPECT_EQ(task.result(), -SIGKILL);
}

TEST_F(ProcessTest, ClosingTheLoopKillsAndReaps) {
  const Process child = exec({"sleep", "600"});
  {
    const auto task = start(wait_for_it(child));
    tick(2);
    loop().close();
    EXPECT_FALSE(task.done());
  }
  EXPECT_EQ(child.returncode(), -SIGKILL);
  expect_no_child();
  EXPECT_EQ(take_exceptions().size(), 1u);  // the task was destroyed while it waited
}

TEST_F(ProcessTest, C0630_FiftyChildrenAtOnce) {
  const auto one = [](int i) -> Coro<int> {
    const std::string number = std::to_string(i);
    std::string command = "echo " + number;
    command += "; exit " + number;
    SubprocessOptions options;
    options.out = Stdio::pipe();
    const Process child = co_await create_subprocess_shell(command, options);
    const ProcessOutput output = co_await child.communicate();
    EXPECT_EQ(output.out, number + "\n");
    co_return child.returncode().value();
  };
  std::vector<Task<int>> all;
  for (int i = 0; i < 50; ++i) all.push_back(start(one(i)));
  for (int i = 0; i < 50; ++i) {
    finish(all[static_cast<std::size_t>(i)]);
    EXPECT_EQ(all[static_cast<std::size_t>(i)].result(), i);
  }
}

TEST_F(ProcessTest, C0630_AlsoFromALoopOfAnotherThread) {
  const auto body = []() -> Coro<int> {
    int sum = 0;
    for (int i = 0; i < 10; ++i) {
      std::string command = "exit " + std::to_string(i);
      const Process child = co_await create_subprocess_shell(command);
      sum += co_await child.wait();
    }
    co_return sum;
  };
  int sum = 0;
  std::thread thread([&] { sum = ferry::run(body()); });
  thread.join();
  EXPECT_EQ(sum, 45);
}

}  // namespace
}  // namespace ferry::test
