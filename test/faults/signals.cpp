// A thousand signals a second during traffic: interrupted system calls lose nothing.
#include "fault_fixture.h"

#include <gtest/gtest.h>

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>

namespace ferry::test {

using namespace std::chrono_literals;

std::atomic<int> g_interruptions{0};

/// SIGALRM every millisecond, by a handler that does not ask for restarted system calls.
class AlarmStorm {
 public:
  AlarmStorm() {
    struct sigaction action {};
    action.sa_handler = [](int) { g_interruptions.fetch_add(1, std::memory_order_relaxed); };
    sigaction(SIGALRM, &action, &old_);
    set_interval(1000);
  }
  AlarmStorm(const AlarmStorm&) = delete;
  AlarmStorm& operator=(const AlarmStorm&) = delete;
  ~AlarmStorm() {
    set_interval(0);
    sigaction(SIGALRM, &old_, nullptr);
  }

 private:
  static void set_interval(suseconds_t microseconds) {
    const itimerval interval{{0, microseconds}, {0, microseconds}};
    setitimer(ITIMER_REAL, &interval, nullptr);
  }
  struct sigaction old_ {};
};

class SignalFaults : public FaultTest {
 protected:
  /// Echo traffic of a client in a thread of its own, until `enough` says so; every byte is
  /// checked.
  void echo_until(const std::function<bool()>& enough);
};

void SignalFaults::echo_until(const std::function<bool()>& enough) {
  auto server = serve([] { return std::make_shared<Echo>(); });
  const std::string bytes = pattern(50'000);
  std::atomic<bool> stop{false};
  std::atomic<bool> done{false};
  std::atomic<std::size_t> rounds{0};
  std::atomic<std::size_t> wrong{0};
  // The thread is born with the signals blocked: they are for the loop's thread.
  sigset_t blocked;
  sigset_t before;
  sigfillset(&blocked);
  pthread_sigmask(SIG_SETMASK, &blocked, &before);
  std::thread client([&, port = server->port()] {
    BlockingClient socket(port);
    while (!stop) {
      socket.send(bytes);
      if (socket.receive(bytes.size()) != bytes) ++wrong;
      ++rounds;
    }
    done = true;
  });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  run_until([&] { return enough() && rounds >= 20; }, 60s);
  stop = true;
  run_until([&] { return done.load(); }, 60s);
  client.join();
  EXPECT_EQ(wrong, 0u);
  server->close();
  run_until([&] { return loop().stats().transports == 0; });
}

TEST_F(SignalFaults, C0446_InterruptedSystemCallsLoseNothing) {
  g_interruptions = 0;
  {
    AlarmStorm storm;
    echo_until([] { return g_interruptions >= 300; });
  }
  EXPECT_GE(g_interruptions, 300);
}

TEST_F(SignalFaults, HandledSignalsAtAKilohertzDisturbNoTraffic) {
  std::size_t handled = 0;
  loop().add_signal_handler(SIGUSR1, [&] { ++handled; });
  std::atomic<bool> stop{false};
  std::thread sender([&] {
    while (!stop) {
      kill(getpid(), SIGUSR1);
      const timespec millisecond{0, 1'000'000};
      nanosleep(&millisecond, nullptr);
    }
  });
  echo_until([&] { return handled >= 200; });
  stop = true;
  sender.join();
  EXPECT_GE(handled, 200u);
  loop().remove_signal_handler(SIGUSR1);
}

}  // namespace ferry::test
