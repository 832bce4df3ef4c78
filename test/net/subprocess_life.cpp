// Children: what they say, how they end, and that none is left.

#include "subprocess_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <thread>

namespace ferry::test {
namespace {

using namespace std::chrono_literals;

class SubprocessLife : public SubprocessTest {};

TEST_F(SubprocessLife, C0612_TheExitCodeArrives) {
  Child child = shell("exit 23");
  EXPECT_GT(child.transport->get_pid(), 0);
  EXPECT_EQ(wait(child), 23);
  EXPECT_TRUE(child.protocol->exited);
}

TEST_F(SubprocessLife, C0612_ASignalIsANegativeCode) {
  for (const int number : {SIGTERM, SIGKILL, SIGUSR1}) {
    Child child = exec({"sleep", "600"});
    EXPECT_FALSE(child.transport->get_returncode().has_value());
    if (number == SIGTERM) child.transport->terminate();
    if (number == SIGKILL) child.transport->kill();
    if (number == SIGUSR1) child.transport->send_signal(SIGUSR1);
    EXPECT_EQ(wait(child), -number);
  }
}

TEST_F(SubprocessLife, C0613_TheShellsStatus) {
  EXPECT_EQ(wait(shell("exit 7")), 7);
  SubprocessOptions options;
  options.new_session = true;
  EXPECT_EQ(wait(shell("exit 8", std::move(options))), 8);
}

TEST_F(SubprocessLife, C0624_OutputOfBothStreamsInOrderAndThenTheEnds) {
  Child child = shell("printf out; printf err >&2; printf more");
  EXPECT_EQ(wait(child), 0);
  EXPECT_EQ(child.protocol->output[1], "outmore");
  EXPECT_EQ(child.protocol->output[2], "err");
}

TEST_F(SubprocessLife, WhatGoesInComesOutOfCat) {
  Child child = exec({"cat"});
  const std::string text = pattern(1 << 20);
  const auto in = child.transport->get_pipe_transport(0);
  in->write(text);
  EXPECT_TRUE(child.protocol->writing_paused);
  in->write_eof();
  EXPECT_EQ(wait(child), 0);
  EXPECT_TRUE(child.protocol->output[1] == text);
}

TEST_F(SubprocessLife, C0616_AChildThatDoesNotReadBreaksItsPipe) {
  Child child = shell("exec 0<&-; echo closed; read x <&1");
  run_until([&] { return !child.protocol->output[1].empty(); });
  child.transport->get_pipe_transport(0)->write(pattern(1 << 20));
  run_until([&] { return child.protocol->pipe_lost[0]; });
  wait(child);
}

TEST_F(SubprocessLife, C0628_APausedPipeHoldsTheChildBack) {
  Child child = shell("read go; head -c 1000000 /dev/zero; exit 6");
  const auto out = child.transport->get_pipe_transport(1);
  out->pause_reading();
  child.transport->get_pipe_transport(0)->write("\n");
  settle();
  EXPECT_TRUE(child.protocol->output[1].empty());
  EXPECT_FALSE(child.protocol->exited);  // a pipe holds less than that
  out->resume_reading();
  EXPECT_EQ(wait(child), 6);
  EXPECT_EQ(child.protocol->output[1].size(), 1'000'000u);
}

TEST_F(SubprocessLife, C0625_APipeClosedHereIsAnErrorThere) {
  Child child = shell("while echo y; do :; done 2>/dev/null; exit 3");
  run_until([&] { return !child.protocol->output[1].empty(); });
  child.transport->get_pipe_transport(1)->close();
  run_until([&] { return child.protocol->pipe_lost[1]; });
  const int code = wait(child);
  EXPECT_TRUE(code == 3 || code == -SIGPIPE) << code;
}

TEST_F(SubprocessLife, TheExitIsHeardEvenIfAGrandchildHoldsThePipes) {
  Child child = shell("sleep 600 & echo $!; exit 5");
  run_until([&] { return child.protocol->exited && child.protocol->output[1].ends_with('\n'); });
  EXPECT_EQ(child.transport->get_returncode(), 5);
  EXPECT_FALSE(child.protocol->lost);
  ::kill(std::stoi(child.protocol->output[1]), SIGKILL);
  wait(child);
}

TEST_F(SubprocessLife, C0620_AMissingProgramIsAnErrorAndLeavesNothing) {
  const std::size_t before = open_descriptors();
  for (int i = 0; i < 20; ++i) {
    bool made = false;
    auto future = subprocess_exec(loop(),
                                  [&] {
                                    made = true;
                                    return make();
                                  },
                                  {"/nonexistent/program"});
    run_until([&] { return future.done(); });
    try {
      std::rethrow_exception(future.exception());
    } catch (const std::system_error& error) {
      EXPECT_EQ(error.code(), std::errc::no_such_file_or_directory);
      EXPECT_NE(std::string(error.what()).find("/nonexistent/program"), std::string::npos);
    }
    EXPECT_FALSE(made);
  }
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_EQ(loop().stats().transports, 0u);
}

TEST_F(SubprocessLife, C0622_CancellingDuringTheStartKillsAndReaps) {
  for (int turns = 0; turns < 6; ++turns) {
    auto protocol = make();
    auto future = subprocess_exec(loop(), [&] { return protocol; }, {"sleep", "600"});
    int left = turns;
    Function<void()> count;
    count = [&] {
      if (left-- > 0) {
        loop().call_soon([&] { count(); });
      } else {
        future.cancel();
      }
    };
    count();
    run_until(
        [&] { return future.done() && (loop().stats().transports == 0 || !future.cancelled()); });
    if (!future.cancelled()) {
      future.result().transport->close();
      run_until([&] { return protocol->lost; });
    }
    errno = 0;
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
    EXPECT_EQ(errno, ECHILD);
  }
}

TEST_F(SubprocessLife, AFactoryThatCancelsLeavesNoChild) {
  auto protocol = make();
  Future<Subprocess<>> future;
  future = subprocess_exec(loop(), SubprocessProtocolFactory([&] {
                             future.cancel();
                             return std::shared_ptr<SubprocessProtocol>(protocol);
                           }),
                           {"sleep", "600"});
  run_until([&] { return future.done(); });
  EXPECT_TRUE(future.cancelled());
  run_until([&] { return loop().stats().transports == 0; });
  EXPECT_EQ(loop().stats().operations, 0u);
}

TEST_F(SubprocessLife, TheFutureGivesWhatTheFactoryMadeAlsoIfItIsReplacedAtOnce) {
  class Replacing : public RecordingProcess {
   public:
    void connection_made(std::shared_ptr<SubprocessTransport> t) override {
      RecordingProcess::connection_made(t);
      transport->set_protocol(std::make_shared<SubprocessProtocol>());
    }
  };
  auto protocol = std::make_shared<Replacing>();
  auto future = subprocess_shell(
      loop(), [&] { return protocol; }, "exit 3");
  run_until([&] { return future.done(); });
  EXPECT_EQ(future.result().protocol, protocol);
  run_until([&] { return loop().stats().transports == 0; });
  EXPECT_EQ(protocol->transport->get_returncode(), 3);
  protocol->transport.reset();
}

TEST_F(SubprocessLife, C0626_SignalsToADeadChildDoNothingAndAfterTheEndAreAnError) {
  Child child = shell("read go");
  child.transport->get_pipe_transport(0)->write("\n");
  // It has ended, and nobody has asked for its status: the loop does not run.
  siginfo_t info{};
  ASSERT_EQ(
      ::waitid(P_PID, static_cast<id_t>(child.transport->get_pid()), &info, WEXITED | WNOWAIT), 0);
  child.transport->terminate();
  EXPECT_EQ(wait(child), 0);
  try {
    child.transport->kill();
    ADD_FAILURE() << "no error";
  } catch (const IoError& error) {
    EXPECT_EQ(error.code(), std::errc::no_such_process);
  }
}

TEST_F(SubprocessLife, CloseKillsAndIsIdempotent) {
  Child child = exec({"sleep", "600"});
  child.transport->close();
  child.transport->close();
  EXPECT_TRUE(child.transport->is_closing());
  EXPECT_FALSE(child.protocol->lost);
  EXPECT_EQ(wait(child), -SIGKILL);
  child.transport->close();
}

TEST_F(SubprocessLife, CloseAfterTheEndKeepsTheCode) {
  Child child = shell("exit 4");
  wait(child);
  child.transport->close();
  EXPECT_EQ(child.transport->get_returncode(), 4);
}

TEST_F(SubprocessLife, AStatusThatSomebodyElseTookIsUnknown) {
  Child child = exec({"sleep", "600"});
  const pid_t pid = child.transport->get_pid();
  ::kill(pid, SIGKILL);
  ASSERT_EQ(::waitpid(pid, nullptr, 0), pid);
  EXPECT_EQ(wait(child), 255);
  EXPECT_EQ(take_log().size(), 1u);
}

TEST_F(SubprocessLife, TheProgramsOwnChildrenAreItsOwn) {
  // Each side reaps its own, in whatever order they end.
  std::vector<pid_t> own;
  std::vector<Child> children;
  for (int i = 0; i < 20; ++i) {
    own.push_back(::fork());
    if (own.back() == 0) ::_exit(100 + i);
    children.push_back(shell("read go; exit " + std::to_string(i)));
  }
  int status = 0;
  ASSERT_EQ(::waitpid(own[0], &status, 0), own[0]);
  for (const Child& child : children) child.transport->get_pipe_transport(0)->write("\n");
  for (int i = 0; i < 20; ++i) EXPECT_EQ(wait(children[static_cast<std::size_t>(i)]), i);
  for (int i = 1; i < 20; ++i) {
    const pid_t pid = own[static_cast<std::size_t>(i)];
    ASSERT_EQ(::waitpid(pid, &status, 0), pid) << "somebody else has reaped it";
    EXPECT_EQ(WEXITSTATUS(status), 100 + i);
  }
  EXPECT_TRUE(take_log().empty());
}

TEST_F(SubprocessLife, ClosingTheLoopKillsAndReaps) {
  Child child = exec({"sleep", "600"});
  close_loop();
  EXPECT_EQ(child.protocol->loss, errc::loop_closed);
  EXPECT_EQ(child.transport->get_returncode(), -SIGKILL);
  child.transport->close();
}

TEST_F(SubprocessLife, AnExceptionInACallbackChangesNothing) {
  class Throwing : public RecordingProcess {
   public:
    void process_exited() override {
      RecordingProcess::process_exited();
      throw std::runtime_error("exited badly");
    }
  };
  auto protocol = std::make_shared<Throwing>();
  auto future = subprocess_shell(
      loop(), [&] { return protocol; }, "echo x");
  run_until([&] { return protocol->lost; });
  const auto exceptions = take_exceptions();
  ASSERT_EQ(exceptions.size(), 1u);
  EXPECT_EQ(what(exceptions[0].exception), "exited badly");
  EXPECT_EQ(protocol->output[1], "x\n");
}

TEST_F(SubprocessLife, C0630_AHundredChildrenAtOnce) {
  std::vector<std::shared_ptr<RecordingProcess>> all;
  for (int i = 0; i < 100; ++i) {
    all.push_back(make());
    auto future = subprocess_shell(
        loop(), [protocol = all.back()] { return protocol; },
        "echo " + std::to_string(i) + "; exit " + std::to_string(i % 50));
  }
  run_until([&] { return std::all_of(all.begin(), all.end(), [](auto& p) { return p->lost; }); },
            120s);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(all[static_cast<std::size_t>(i)]->output[1], std::to_string(i) + "\n");
    EXPECT_EQ(all[static_cast<std::size_t>(i)]->transport->get_returncode(), i % 50);
  }
}

TEST_F(SubprocessLife, AThousandChildrenInTurn) {
  for (int i = 0; i < 1000; ++i) {
    auto protocol = make();
    auto future = subprocess_exec(loop(), [&] { return protocol; }, {"echo", std::to_string(i)});
    protocol->transport.reset();
    loop().run_until_complete(future);
    while (!protocol->lost) tick(1);
    ASSERT_EQ(protocol->output[1], std::to_string(i) + "\n");
  }
}

TEST_F(SubprocessLife, C0630_ALoopOfAnotherThreadHasChildrenToo) {
  std::string output;
  std::thread([&output] {
    EventLoop other;
    auto protocol = make();
    auto child = other.run_until_complete(subprocess_shell(
        other, [&] { return protocol; }, "echo here"));
    while (!protocol->lost) {
      other.call_soon([&] { other.stop(); });
      other.run_forever();
    }
    output = protocol->output[1];
  }).join();
  EXPECT_EQ(output, "here\n");
}

}  // namespace
}  // namespace ferry::test
