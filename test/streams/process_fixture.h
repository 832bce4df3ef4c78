#pragma once

#include "task_fixture.h"

#include <ferry/process.h>

#include <sys/wait.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

namespace ferry::test {

/// Real processes on the real kernel: at the end no child is left, as no zombie either.
class ProcessFixture : public TaskFixture {
 protected:
  World world() const override { return World::asio; }
  void TearDown() override {
    TaskFixture::TearDown();
    expect_no_child();
  }

  static void expect_no_child() {
    errno = 0;
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a child is left";
    EXPECT_EQ(errno, ECHILD);
  }
  /// Until all transports are gone, and with them all children.
  void settle_children() {
    run_until([this] { return loop().stats().transports == 0; });
  }

  /// All three streams piped.
  static SubprocessOptions piped() {
    SubprocessOptions options;
    options.in = options.out = options.err = Stdio::pipe();
    return options;
  }
  Process exec(std::vector<std::string> arguments, SubprocessOptions options = piped(),
               std::size_t limit = StreamReader::kDefaultLimit) {
    return run(create_subprocess_exec(std::move(arguments), std::move(options), limit));
  }
  Process shell(std::string command, SubprocessOptions options = piped(),
                std::size_t limit = StreamReader::kDefaultLimit) {
    return run(create_subprocess_shell(std::move(command), std::move(options), limit));
  }
  int wait(const Process& child) { return run(wait_for_it(child)); }
  static Coro<int> wait_for_it(Process child) { co_return co_await child.wait(); }
};

}  // namespace ferry::test
