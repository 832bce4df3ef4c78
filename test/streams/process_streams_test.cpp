// What goes to a child and comes from it: streams, communicate, redirections, limits.

#include "process_fixture.h"

#include <ferry/gather.h>
#include <ferry/timeout.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace ferry::test {
namespace {

class ProcessStreams : public ProcessFixture {
 protected:
  ProcessOutput communicate(const Process& child, std::string input = {}) {
    return run(child.communicate(std::move(input)));
  }
};

/// A file that goes with the test.
class ScratchFile {
 public:
  explicit ScratchFile(const std::string& content = {}) {
    char name[] = "/tmp/ferry-process-XXXXXX";
    fd_ = Fd(::mkstemp(name));
    path_ = name;
    if (!content.empty()) {
      EXPECT_EQ(::write(fd_.get(), content.data(), content.size()),
                static_cast<ssize_t>(content.size()));
      ::lseek(fd_.get(), 0, SEEK_SET);
    }
  }
  ~ScratchFile() { ::unlink(path_.c_str()); }
  int fd() const { return fd_.get(); }
  std::string content() const {
    std::ifstream file(path_);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }

 private:
  Fd fd_;
  std::string path_;
};

TEST_F(ProcessStreams, ATalkLineByLine) {
  const auto talk = [](Process child) -> Coro<std::string> {
    std::string heard;
    for (const char* line : {"one\n", "two\n", "three\n"}) {
      child.in().write(line);
      co_await child.in().drain();
      heard += co_await child.out().readline();
    }
    child.in().close();
    co_await child.in().wait_closed();
    heard += co_await child.out().read();
    EXPECT_TRUE(child.out().at_eof());
    EXPECT_EQ(co_await child.wait(), 0);
    co_return heard;
  };
  EXPECT_EQ(run(talk(exec({"cat"}))), "one\ntwo\nthree\n");
}

TEST_F(ProcessStreams, CommunicateGivesTheInputAndGetsBothOutputs) {
  const Process child = shell("cat; echo bad >&2; exit 6");
  const ProcessOutput output = communicate(child, "good\n");
  EXPECT_EQ(output.out, "good\n");
  EXPECT_EQ(output.err, "bad\n");
  EXPECT_EQ(child.returncode(), 6);
}

TEST_F(ProcessStreams, CommunicateWithoutInputStillEndsIt) {
  const ProcessOutput output = communicate(exec({"cat"}));
  EXPECT_EQ(output.out, "");
}

TEST_F(ProcessStreams, CommunicateIsNotBoundByTheLimitAndReadsBothAtOnce) {
  std::string input(2'000'000, 'x');
  input[777'777] = 'y';
  const Process child = shell("head -c 1000000 /dev/zero >&2; cat", piped(), 1000);
  const ProcessOutput output = communicate(child, input);
  EXPECT_TRUE(output.out == input);
  EXPECT_EQ(output.err.size(), 1'000'000u);
}

TEST_F(ProcessStreams, CommunicateOfWhatIsNoPipeIsEmpty) {
  SubprocessOptions options;
  options.out = Stdio::pipe();
  options.err = Stdio::devnull();
  const ProcessOutput output = communicate(shell("echo out; echo err >&2", options));
  EXPECT_EQ(output.out, "out\n");
  EXPECT_EQ(output.err, "");
  options = SubprocessOptions();
  options.err = Stdio::pipe();
  options.out = Stdio::devnull();
  EXPECT_EQ(communicate(shell("echo out; echo err >&2", options)).err, "err\n");
  const Process silent = shell("exit 4", SubprocessOptions());
  EXPECT_EQ(communicate(silent).out, "");
  EXPECT_EQ(silent.returncode(), 4);
}

TEST_F(ProcessStreams, WhatIsNoPipeIsAMisuseToAskFor) {
  const Process child = shell("exit 0", SubprocessOptions());
  EXPECT_THROW(static_cast<void>(child.in()), std::logic_error);
  EXPECT_THROW(static_cast<void>(child.out()), std::logic_error);
  EXPECT_THROW(static_cast<void>(child.err()), std::logic_error);
  EXPECT_THROW(communicate(child, "input"), std::logic_error);
  EXPECT_EQ(wait(child), 0);
}

TEST_F(ProcessStreams, C0616_ABrokenInputIsRaisedByDrainAndIgnoredByCommunicate) {
  const auto flood = [](Process child) -> Coro<int> {
    const std::string block(100'000, 'x');
    try {
      for (int i = 0; i < 1000; ++i) {
        child.in().write(block);
        co_await child.in().drain();
      }
    } catch (const IoError& error) {
      EXPECT_TRUE(error.code() == std::errc::broken_pipe ||
                  error.code() == std::errc::connection_reset)
          << error.what();
      co_return 1;
    }
    co_return 0;
  };
  EXPECT_EQ(run(flood(shell("exec 0<&-; exit 0"))), 1);
  const Process child = shell("exec 0<&-; echo bye; exit 2");
  EXPECT_EQ(communicate(child, std::string(2'000'000, 'x')).out, "bye\n");
  EXPECT_EQ(child.returncode(), 2);
}

TEST_F(ProcessStreams, C0617_TheInputOfOneChildIsNotHeldByAnother) {
  const Process first = exec({"cat"});
  const Process second = exec({"sleep", "600"});  // started while the first one's pipe is open
  const Process third = exec({"cat"});
  EXPECT_EQ(communicate(first, "one").out, "one");
  EXPECT_EQ(communicate(third, "three").out, "three");
  EXPECT_FALSE(second.returncode().has_value());
}

TEST_F(ProcessStreams, C0618_Redirections) {
  // Nothing: reads the end, writes to nowhere.
  SubprocessOptions options;
  options.in = options.err = Stdio::devnull();
  options.out = Stdio::pipe();
  EXPECT_EQ(communicate(shell("cat; echo lost >&2; echo done", options)).out, "done\n");
  // Files.
  {
    const ScratchFile in("from a file\n");
    const ScratchFile out;
    options.in = Stdio::descriptor(in.fd());
    options.out = options.err = Stdio::descriptor(out.fd());
    EXPECT_EQ(wait(shell("cat; echo and more >&2", options)), 0);
    EXPECT_EQ(out.content(), "from a file\nand more\n");
  }
  // Errors where the output goes.
  options = piped();
  options.err = Stdio::as_output();
  const Process both = shell("echo out; echo err >&2", options);
  EXPECT_THROW(static_cast<void>(both.err()), std::logic_error);
  EXPECT_EQ(communicate(both).out, "out\nerr\n");
}

TEST_F(ProcessStreams, C0618_WhatIsNotMentionedIsTheParentsOwn) {
  const ScratchFile file;
  const Fd saved(::dup(STDOUT_FILENO));
  std::fflush(stdout);
  ASSERT_GE(::dup2(file.fd(), STDOUT_FILENO), 0);
  const Process child = shell("echo inherited", SubprocessOptions());
  ::dup2(saved.get(), STDOUT_FILENO);
  EXPECT_EQ(wait(child), 0);
  EXPECT_EQ(file.content(), "inherited\n");
}

TEST_F(ProcessStreams, C0621_EnvironmentDirectoryExecutableAndDescriptors) {
  SubprocessOptions options;
  options.out = Stdio::pipe();
  options.environment = {"WORD=ferry", "PATH=/bin:/usr/bin"};
  EXPECT_EQ(communicate(shell("echo $WORD$HOME", options)).out, "ferry\n");
  options = SubprocessOptions();
  options.out = Stdio::pipe();
  options.directory = "/usr";
  EXPECT_EQ(communicate(shell("pwd", options)).out, "/usr\n");
  options.executable = "/bin/sh";
  EXPECT_EQ(communicate(exec({"called-so", "-c", "echo $0"}, options)).out, "called-so\n");
  const ScratchFile file("passed on");
  options = SubprocessOptions();
  options.out = Stdio::pipe();
  options.pass_fds = {file.fd()};
  EXPECT_EQ(communicate(shell("cat <&" + std::to_string(file.fd()), options)).out, "passed on");
  options = SubprocessOptions();
  options.out = Stdio::pipe();
  options.new_session = true;
  const Process leader = shell("ps -o sid= -p $$", options);
  const int pid = leader.pid();
  EXPECT_EQ(std::atoi(communicate(leader).out.c_str()), pid);
}

TEST_F(ProcessStreams, C0628_AReaderOverItsLimitHoldsTheChildBack) {
  const Process child = shell("head -c 4000000 /dev/zero; exit 6", piped(), 1000);
  const auto pipe = child.transport()->get_pipe_transport(1);
  run_until([&] { return !pipe->is_reading(); });
  run_for(20ms);
  EXPECT_FALSE(child.returncode().has_value());  // a pipe holds less than that
  EXPECT_LT(child.out().state()->size(), 1'000'000u);
  const auto read = [](Process of) -> Coro<std::size_t> {
    std::size_t size = 0;
    while (true) {
      const BytesView part = co_await of.out().read_view();
      if (part.empty()) co_return size;
      size += part.size();
    }
  };
  EXPECT_EQ(run(read(child)), 4'000'000u);
  EXPECT_EQ(wait(child), 6);
}

TEST_F(ProcessStreams, CommunicateThatIsCancelledAnywhereLosesNothing) {
  const auto body = [](Process child) -> Coro<ProcessOutput> {
    co_return co_await child.communicate("some input\n");
  };
  // Three parts, each a while after the other: err ends first.
  const std::string command = "cat; echo e >&2; exec 2>&-; sleep 0.01; echo last";
  std::optional<Process> child;
  const int points = cancel_at_each_turn(
      [&] {
        child = shell(command);
        return start(body(*child));
      },
      [&](const Task<ProcessOutput>& task) {
        const bool began = !task.cancelled() || child->in().is_closing();
        const ProcessOutput output =
            task.cancelled() ? communicate(*child, began ? "" : "some input\n") : task.result();
        EXPECT_EQ(output.out, "some input\nlast\n");
        EXPECT_EQ(output.err, "e\n");
        EXPECT_EQ(wait(*child), 0);
        settle_children();
      });
  EXPECT_GE(points, 4);
}

TEST_F(ProcessStreams, AfterATimeLimitTheChildIsKilledAndHasSaidWhatItSaid) {
  const auto body = [](Process child) -> Coro<std::string> {
    try {
      co_await wait_for(child.communicate(), 30ms);
      ADD_FAILURE() << "no time limit";
    } catch (const TimeoutError&) {
    }
    child.kill();
    const ProcessOutput output = co_await child.communicate();
    co_return output.out;
  };
  // The shell and what it runs are one process.
  const Process child = shell("echo begun; exec sleep 600");
  run_until([&] { return child.out().state()->size() == 6; });  // the limit is none on its start
  const auto task = start(body(child));
  finish(task);
  EXPECT_EQ(task.result(), "begun\n");
  EXPECT_EQ(child.returncode(), -SIGKILL);
}

TEST_F(ProcessStreams, CommunicateHoldsTheChildWithoutAnotherHandle) {
  std::optional<Process> child = shell("read line; echo $line");
  const auto task = start(child->communicate("kept\n"));
  child.reset();
  finish(task);
  EXPECT_EQ(task.result().out, "kept\n");
}

TEST_F(ProcessStreams, AReaderOutlivesTheChild) {
  const auto reader = [&] {
    const Process child = shell("echo said");
    wait(child);
    settle_children();
    return child.out();
  }();
  const auto read = [](StreamReader from) -> Coro<std::string> { co_return co_await from.read(); };
  EXPECT_EQ(run(read(reader)), "said\n");
}

}  // namespace
}  // namespace ferry::test
