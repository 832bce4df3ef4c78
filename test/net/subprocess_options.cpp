// What a child is given.

#include "subprocess_fixture.h"

#include <ferry/fd.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <utility>

namespace ferry::test {
namespace {

/// An open, unnamed file.
class TemporaryFile {
 public:
  TemporaryFile() : file_(std::tmpfile()) {}
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() { std::fclose(file_); }
  int fd() const { return ::fileno(file_); }
  std::string content() const {
    std::string all(1000, '\0');
    const auto size = ::pread(fd(), all.data(), all.size(), 0);
    all.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    return all;
  }

 private:
  std::FILE* file_;
};

class SubprocessOptionsTest : public SubprocessTest {};

TEST_F(SubprocessOptionsTest, C0618_DevnullInAllThreePlaces) {
  SubprocessOptions options;
  options.in = options.err = Stdio::devnull();
  EXPECT_EQ(output_of("echo lost >&2; cat; echo said", std::move(options)), "said\n");
  options = {};
  options.out = Stdio::devnull();
  Child child = shell("echo nothing; exit 9", std::move(options));
  EXPECT_EQ(child.transport->get_pipe_transport(1), nullptr);
  EXPECT_EQ(wait(child), 9);
}

TEST_F(SubprocessOptionsTest, C0618_ErrorsGoWhereOutputGoes) {
  SubprocessOptions options;
  options.err = Stdio::as_output();
  EXPECT_EQ(output_of("echo one; echo two >&2; echo three", std::move(options)),
            "one\ntwo\nthree\n");
}

TEST_F(SubprocessOptionsTest, C0618_DescriptorsOfThisProcess) {
  TemporaryFile in;
  TemporaryFile out;
  ASSERT_EQ(::pwrite(in.fd(), "from a file", 11, 0), 11);
  SubprocessOptions options;
  options.in = Stdio::descriptor(in.fd());
  options.out = options.err = Stdio::descriptor(out.fd());
  EXPECT_EQ(wait(shell("cat; echo ' and errors' >&2", std::move(options))), 0);
  EXPECT_EQ(out.content(), "from a file and errors\n");
  EXPECT_NE(::fcntl(out.fd(), F_GETFD), -1);  // still the caller's
}

TEST_F(SubprocessOptionsTest, C0618_OutputAndErrorsCanChangePlaces) {
  // The child's 1 is this process's 2 and the other way round.
  TemporaryFile out;
  TemporaryFile err;
  const Fd kept_out(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10));
  const Fd kept_err(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10));
  std::fflush(nullptr);
  ::dup2(out.fd(), STDOUT_FILENO);
  ::dup2(err.fd(), STDERR_FILENO);
  SubprocessOptions options;
  options.out = Stdio::descriptor(STDERR_FILENO);
  options.err = Stdio::descriptor(STDOUT_FILENO);
  const int code = wait(shell("echo output; echo errors >&2", std::move(options)));
  std::fflush(nullptr);
  ::dup2(kept_out.get(), STDOUT_FILENO);
  ::dup2(kept_err.get(), STDERR_FILENO);
  EXPECT_EQ(code, 0);
  EXPECT_EQ(out.content(), "errors\n");
  EXPECT_EQ(err.content(), "output\n");
}

TEST_F(SubprocessOptionsTest, C0618_InheritedStreamsAreThisProcesss) {
  TemporaryFile out;
  const Fd kept(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10));
  std::fflush(nullptr);
  ::dup2(out.fd(), STDOUT_FILENO);
  SubprocessOptions options;
  options.in = options.out = options.err = Stdio::inherit();
  const int code = wait(shell("echo inherited", std::move(options)));
  ::dup2(kept.get(), STDOUT_FILENO);
  EXPECT_EQ(code, 0);
  EXPECT_EQ(out.content(), "inherited\n");
}

TEST_F(SubprocessOptionsTest, C0621_Environment) {
  SubprocessOptions options;
  options.environment = {"A=1", "B=two words"};
  EXPECT_EQ(output_of("echo $A $B ${HOME-none}", std::move(options)), "1 two words none\n");
  ::setenv("FERRY_TEST_CHILD", "inherited", 1);
  EXPECT_EQ(output_of("echo $FERRY_TEST_CHILD"), "inherited\n");
  ::unsetenv("FERRY_TEST_CHILD");
}

/// A folder with one program, which says `word`.
class ProgramFolder {
 public:
  explicit ProgramFolder(const std::string& word) {
    char name[] = "/tmp/ferry-test-XXXXXX";
    path_ = ::mkdtemp(name);
    program_ = path_ + "/ferry-test-program";
    const Fd file(::open(program_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0700));
    const std::string script = "#!/bin/sh\necho " + word + "\n";
    EXPECT_EQ(::write(file.get(), script.data(), script.size()),
              static_cast<ssize_t>(script.size()));
  }
  ProgramFolder(const ProgramFolder&) = delete;
  ProgramFolder& operator=(const ProgramFolder&) = delete;
  ~ProgramFolder() {
    ::unlink(program_.c_str());
    ::rmdir(path_.c_str());
  }
  const std::string& path() const { return path_; }
  const std::string& program() const { return program_; }

 private:
  std::string path_;
  std::string program_;
};

TEST_F(SubprocessOptionsTest, ThePathOfTheChildsOwnEnvironmentCounts) {
  const ProgramFolder one("one");
  const ProgramFolder two("two");
  const auto run = [&](std::vector<std::string> environment, std::string directory = "") {
    SubprocessOptions options;
    options.environment = std::move(environment);
    options.directory = std::move(directory);
    Child child = exec({"ferry-test-program"}, std::move(options));
    EXPECT_EQ(wait(child), 0);
    return child.protocol->output[1];
  };
  EXPECT_EQ(run({"PATH=" + one.path() + ":" + two.path()}), "one\n");
  EXPECT_EQ(run({"PATH=/nonexistent:/dev/null:" + two.path() + ":" + one.path()}), "two\n");
  EXPECT_EQ(run({"PATH=/nonexistent:"}, two.path()), "two\n");  // empty: where the child begins
  EXPECT_EQ(run({"PATH=."}, one.path()), "one\n");
  // What may not be run is passed over, and named if there is nothing else.
  ::chmod(one.program().c_str(), 0600);
  EXPECT_EQ(run({"PATH=" + one.path() + ":" + two.path()}), "two\n");
  for (const auto& [path, code] :
       {std::pair(one.path(), std::errc::permission_denied),
        std::pair(std::string("/nonexistent"), std::errc::no_such_file_or_directory)}) {
    SubprocessOptions options;
    options.environment = {"PATH=" + path};
    auto future = subprocess_exec(loop(), make, {"ferry-test-program"}, std::move(options));
    run_until([&] { return future.done(); });
    try {
      std::rethrow_exception(future.exception());
    } catch (const std::system_error& error) {
      EXPECT_EQ(error.code(), code);
    }
  }
  // Without a PATH the usual folders; and a program with a slash needs none.
  SubprocessOptions options;
  options.environment = {"A=1"};
  EXPECT_EQ(wait(exec({"true"}, options)), 0);
  options.environment = std::vector<std::string>{};
  EXPECT_EQ(wait(exec({two.program()}, options)), 0);
}

TEST_F(SubprocessOptionsTest, C0621_Directory) {
  SubprocessOptions options;
  options.directory = "/";
  EXPECT_EQ(output_of("pwd", std::move(options)), "/\n");
  options = {};
  options.directory = "/nonexistent";
  auto future = subprocess_shell(loop(), make, "pwd", std::move(options));
  run_until([&] { return future.done(); });
  EXPECT_THROW(std::rethrow_exception(future.exception()), std::system_error);
}

TEST_F(SubprocessOptionsTest, C0621_AnotherExecutableThanTheFirstArgument) {
  SubprocessOptions options;
  options.executable = "/bin/sh";
  Child child = exec({"a name", "-c", "echo $0"}, std::move(options));
  wait(child);
  EXPECT_EQ(child.protocol->output[1], "a name\n");
}

TEST_F(SubprocessOptionsTest, C0621_NewSessionAndProcessGroup) {
  const std::string own = output_of("cut -d' ' -f5,6 /proc/$$/stat");
  SubprocessOptions session;
  session.new_session = true;
  EXPECT_EQ(output_of("set -- $(cat /proc/$$/stat); test $5 = $$ && test $6 = $$ && echo leads",
                      std::move(session)),
            "leads\n");
  SubprocessOptions group;
  group.process_group = 0;
  EXPECT_EQ(output_of("set -- $(cat /proc/$$/stat); test $5 = $$ && test $6 != $$ && echo leads",
                      std::move(group)),
            "leads\n");
  EXPECT_EQ(own, std::to_string(::getpgrp()) + " " + std::to_string(::getsid(0)) + "\n");
}

TEST_F(SubprocessOptionsTest, AChildOfABusyProcessSeesTheFirstThreeDescriptorsOnly) {
  std::vector<Fd> open;  // not close-on-exec
  for (int i = 0; i < 50; ++i) open.emplace_back(::open("/dev/null", O_RDONLY));
  auto busy = this->open(recording());
  Child other = exec({"cat"});
  EXPECT_EQ(output_of("cd /proc/$$/fd && echo *"), "0 1 2 3\n");  // 3 is the folder, open to look
  other.transport->get_pipe_transport(0)->close();
  EXPECT_EQ(wait(other), 0);
}

TEST_F(SubprocessOptionsTest, C0621_PassedDescriptorsKeepTheirNumbers) {
  TemporaryFile low;
  const Fd high(::fcntl(low.fd(), F_DUPFD_CLOEXEC, 40));
  const Fd between(::fcntl(low.fd(), F_DUPFD, 30));
  SubprocessOptions options;
  options.pass_fds = {high.get(), low.fd()};
  const std::string seen = output_of(
      "cd /proc/$$/fd && echo * && echo passed >&" + std::to_string(low.fd()), std::move(options));
  // The folder itself, open to look, has the lowest number that is free.
  std::vector<std::string> expected{"0",
                                    "1",
                                    "2",
                                    std::to_string(low.fd() == 3 ? 4 : 3),
                                    std::to_string(low.fd()),
                                    std::to_string(high.get())};
  std::sort(expected.begin(), expected.end());
  std::string all;
  for (const std::string& name : expected) all += name + (&name == &expected.back() ? "\n" : " ");
  EXPECT_EQ(seen, all);
  EXPECT_EQ(low.content(), "passed\n");
}

TEST_F(SubprocessOptionsTest, C0617_OtherChildrenDoNotHoldAPipeOpen) {
  Child first = exec({"cat"});
  Child second = exec({"cat"});
  first.transport->get_pipe_transport(0)->write("x");
  first.transport->get_pipe_transport(0)->close();
  EXPECT_EQ(wait(first), 0);  // although the second runs, and began later
  second.transport->get_pipe_transport(0)->close();
  EXPECT_EQ(wait(second), 0);
}

TEST_F(SubprocessOptionsTest, SignalsAreAsAProgramExpectsThem) {
  // SIGPIPE ends the child, whatever this process does about it.
  ::signal(SIGPIPE, SIG_IGN);
  const std::string blocked = output_of("awk '/^SigBlk/ { print $2 }' /proc/self/status");
  const std::string ignored = output_of("awk '/^SigIgn/ { print $2 }' /proc/self/status");
  ::signal(SIGPIPE, SIG_DFL);
  EXPECT_EQ(std::stoull(blocked, nullptr, 16), 0u);
  EXPECT_EQ(std::stoull(ignored, nullptr, 16) & (1u << (SIGPIPE - 1)), 0u);
}

TEST_F(SubprocessOptionsTest, OptionsThatMakeNoSenseAreAMisuse) {
  SubprocessOptions options;
  EXPECT_THROW(static_cast<void>(subprocess_exec(loop(), make, {})), std::invalid_argument);
  options.out = Stdio::as_output();
  EXPECT_THROW(static_cast<void>(subprocess_shell(loop(), make, "x", options)),
               std::invalid_argument);
  options = {};
  options.in = Stdio::descriptor(-1);
  EXPECT_THROW(static_cast<void>(subprocess_shell(loop(), make, "x", options)),
               std::invalid_argument);
}

TEST_F(SubprocessOptionsTest, TheChildsEndsBlockAsProgramsExpect) {
  Child child = exec({"sh", "-c", "head -c 1000000 /dev/zero"});
  wait(child);
  EXPECT_EQ(child.protocol->output[1].size(), 1'000'000u);
}

}  // namespace
}  // namespace ferry::test
