// Signals as ordinary callbacks: they may touch everything the program has.
// signals: counts SIGUSR1, shows the count at SIGUSR2, ends by SIGINT or SIGTERM.
#include <ferry/event_loop.h>

#include <unistd.h>

#include <csignal>
#include <cstdio>

int main() {
  ferry::EventLoop loop;
  int count = 0;

  loop.add_signal_handler(SIGUSR1, [&count] { ++count; });
  loop.add_signal_handler(SIGUSR2, [&count] {
    std::printf("%d\n", count);
    std::fflush(stdout);
  });

  // The first Ctrl-C is polite. Without a handler the second one has its usual effect.
  const auto end = [&loop] {
    std::puts("goodbye");
    loop.remove_signal_handler(SIGINT);
    loop.remove_signal_handler(SIGTERM);
    loop.stop();
  };
  loop.add_signal_handler(SIGINT, end);
  loop.add_signal_handler(SIGTERM, end);

  std::printf("pid %d\n", getpid());
  std::fflush(stdout);
  loop.run_forever();
}
