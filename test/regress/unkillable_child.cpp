// A loop that closed waited without end for a child that it may not kill: one that has become
// another user's.

#include <ferry/event_loop.h>
#include <ferry/subprocess.h>
#include <ferry/testing/fault_kernel.h>

#include <gtest/gtest.h>

#include <cerrno>
#include <csignal>
#include <memory>

#include <sys/wait.h>

namespace ferry::test {
namespace {

TEST(UnkillableChild, DoesNotKeepALoopFromClosing) {
  auto made = std::make_unique<testing::FaultKernel>(make_asio_kernel());
  testing::FaultKernel& faults = *made;
  EventLoop loop(std::move(made));
  SubprocessOptions options;
  options.in = options.out = options.err = Stdio::devnull();
  const auto starting = subprocess_exec(
      loop, [] { return std::make_shared<SubprocessProtocol>(); }, {"sleep", "10"}, options);
  const int pid = loop.run_until_complete(starting).transport->get_pid();
  {
    const auto guard = faults.inject({.call = "pidfd_send_signal", .error = EPERM});
    loop.close();
  }
  EXPECT_EQ(::waitpid(pid, nullptr, WNOHANG), 0) << "it was waited for";
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
}

}  // namespace
}  // namespace ferry::test
