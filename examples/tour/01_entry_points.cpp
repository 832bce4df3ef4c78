// Ways in: run makes a loop, runs a coroutine on it and cleans up; which loop runs here?
#include "tour.h"

#include <ferry/async.h>

#include <csignal>
#include <cstdio>
#include <stdexcept>

using namespace std::chrono_literals;

ferry::Coro<> greet() {
  std::puts("Hello ...");
  co_await ferry::sleep(1s);
  std::puts("... world!");
}

ferry::Coro<int> main_coroutine() {
  co_await greet();

  const ferry::EventLoop& loop = ferry::get_running_loop();
  std::printf("inside: the loop runs: %s, get_event_loop gives the same: %s\n",
              loop.is_running() ? "yes" : "no", &ferry::get_event_loop() == &loop ? "yes" : "no");

  // One loop a thread: `co_await greet()` is the way to do this.
  try {
    ferry::run(greet());
  } catch (const std::logic_error& refused) {
    std::printf("refused: %s\n", refused.what());
  }
  co_return 42;
}

/// What Ctrl-C does: run cancels the main coroutine, and tells its caller why it ended.
ferry::Coro<> be_interrupted() {
  std::raise(SIGINT);
  co_await ferry::sleep(1s);
}

void look_from_outside() {
  try {
    ferry::get_running_loop();
  } catch (const std::logic_error& none) {
    std::printf("outside: %s\n", none.what());
  }
  try {
    ferry::get_event_loop();
  } catch (const std::logic_error& none) {
    std::printf("outside: %s\n", none.what());
  }
}

int main(int argc, char** argv) {
  look_from_outside();
  std::printf("run returned %d\n", ferry::run(main_coroutine(), tour::options(argc, argv)));
  look_from_outside();  // it took its loop with it

  try {
    ferry::run(be_interrupted());
  } catch (const ferry::KeyboardInterrupt&) {
    std::puts("interrupted");
  }

  // A loop of one's own, which may be made the thread's.
  ferry::EventLoop loop;
  ferry::set_event_loop(&loop);
  std::printf("set: get_event_loop gives it: %s\n",
              &ferry::get_event_loop() == &loop ? "yes" : "no");
  ferry::set_event_loop(nullptr);
}
