// Children where the system has no pidfds, or a container's filter refuses them: for the test's
// thread a filter of its own does.

#include "subprocess_fixture.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <thread>
#include <vector>

namespace ferry::test {
namespace {

using namespace std::chrono_literals;

/// What a filter makes of which system call.
struct Refusal {
  const char* name;
  long call;
  int error;
  int first_argument = -1;  // only calls with this one, if it is not negative
};

// Each as an old system or a strict filter does it.
const Refusal kRefusals[] = {
    {"NoOpen", SYS_pidfd_open, ENOSYS},
    {"OpenForbidden", SYS_pidfd_open, EPERM},
    {"SignalForbidden", SYS_pidfd_send_signal, EPERM},
    {"NoWait", SYS_waitid, EINVAL, 3},  // P_PIDFD
};

/// False if there are no filters here.
bool refuse(const Refusal& refusal) {
  const auto any = refusal.first_argument < 0;
  sock_filter steps[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(refusal.call), 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args)),
      BPF_JUMP(any ? BPF_JMP | BPF_JGE | BPF_K : BPF_JMP | BPF_JEQ | BPF_K,
               any ? 0u : static_cast<unsigned>(refusal.first_argument), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(refusal.error)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{static_cast<unsigned short>(std::size(steps)), steps};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

class SubprocessNoPidfd : public ::testing::TestWithParam<Refusal> {
 protected:
  void SetUp() override { descriptors_ = open_descriptors(); }
  void TearDown() override {
    errno = 0;
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a child is left";
    EXPECT_EQ(errno, ECHILD);
    EXPECT_EQ(open_descriptors(), descriptors_);
  }

  /// Runs `body` with a loop of its own in a thread for which the parameter holds.
  template <class Body>
  void filtered(Body body) {
    bool refused = false;
    std::thread([&] {
      refused = refuse(GetParam());
      if (!refused) return;
      EventLoop loop({.debug = false});
      body(loop);
    }).join();
    if (!refused) GTEST_SKIP() << "no filters of system calls here";
  }
  static std::shared_ptr<RecordingProcess> start(EventLoop& loop, const std::string& command) {
    auto protocol = std::make_shared<RecordingProcess>();
    loop.run_until_complete(subprocess_shell(
        loop, [protocol] { return protocol; }, command));
    return protocol;
  }
  static int wait(EventLoop& loop, RecordingProcess& process) {
    auto late = loop.call_later(60s, [&loop] {
      ADD_FAILURE() << "the end was not heard";
      loop.stop();
    });
    while (!process.lost && !::testing::Test::HasFailure()) {
      loop.call_later(1ms, [&loop] { loop.stop(); });
      loop.run_forever();
    }
    late.cancel();
    return process.transport->get_returncode().value_or(-1000);
  }

 private:
  std::size_t descriptors_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Refusals, SubprocessNoPidfd, ::testing::ValuesIn(kRefusals),
                         [](const auto& refusal) { return refusal.param.name; });

TEST_P(SubprocessNoPidfd, TheFilterRefuses) {
  filtered([](EventLoop&) {
    const Refusal& refusal = GetParam();
    errno = 0;
    EXPECT_EQ(::syscall(refusal.call, refusal.first_argument < 0 ? 0 : refusal.first_argument, 0, 0,
                        0, 0),
              -1);
    EXPECT_EQ(errno, refusal.error);
  });
}

TEST_P(SubprocessNoPidfd, OutputAndCodeArrive) {
  filtered([](EventLoop& loop) {
    const auto child = start(loop, "echo hello; exit 5");
    EXPECT_EQ(wait(loop, *child), 5);
    EXPECT_EQ(child->output[1], "hello\n");
    EXPECT_THROW(child->transport->kill(), IoError);
  });
}

TEST_P(SubprocessNoPidfd, SignalsReachTheChildAndNobodyElse) {
  filtered([](EventLoop& loop) {
    const auto child = start(loop, "read go");
    child->transport->terminate();
    EXPECT_EQ(wait(loop, *child), -SIGTERM);
    const auto dead = start(loop, "read go");
    dead->transport->get_pipe_transport(0)->write("\n");
    siginfo_t info{};
    const auto pid = static_cast<id_t>(dead->transport->get_pid());
    ASSERT_EQ(::waitid(P_PID, pid, &info, WEXITED | WNOWAIT), 0);
    dead->transport->kill();  // ended, not reaped: nothing
    EXPECT_EQ(wait(loop, *dead), 0);
  });
}

TEST_P(SubprocessNoPidfd, FiftyAtOnce) {
  filtered([](EventLoop& loop) {
    std::vector<std::shared_ptr<RecordingProcess>> all;
    for (int i = 0; i < 50; ++i) {
      all.push_back(start(loop, "echo " + std::to_string(i) + "; exit " + std::to_string(i)));
    }
    for (int i = 0; i < 50; ++i) {
      RecordingProcess& child = *all[static_cast<std::size_t>(i)];
      EXPECT_EQ(wait(loop, child), i);
      EXPECT_EQ(child.output[1], std::to_string(i) + "\n");
    }
  });
}

TEST_P(SubprocessNoPidfd, AStatusThatSomebodyElseTookIsUnknown) {
  filtered([](EventLoop& loop) {
    std::vector<std::string> log;
    loop.set_log_sink([&](LogLevel, std::string_view line) { log.emplace_back(line); });
    const auto child = start(loop, "exec sleep 600");
    const pid_t pid = child->transport->get_pid();
    child->transport->kill();
    ASSERT_EQ(::waitpid(pid, nullptr, 0), pid);
    EXPECT_EQ(wait(loop, *child), 255);
    EXPECT_EQ(log.size(), 1u);
  });
}

TEST_P(SubprocessNoPidfd, ClosingTheLoopKillsAndReaps) {
  filtered([](EventLoop& loop) {
    const auto child = start(loop, "exec sleep 600");
    loop.close();
    EXPECT_EQ(child->transport->get_returncode(), -SIGKILL);
  });
}

}  // namespace
}  // namespace ferry::test
