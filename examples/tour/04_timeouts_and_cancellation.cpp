// Time limits, and what is to be done when somebody says stop.
#include "tour.h"

#include <ferry/async.h>

#include <cstdio>
#include <exception>
#include <string>

using namespace std::chrono_literals;

ferry::Coro<std::string> fetch(ferry::Duration time) {
  co_await ferry::sleep(time);
  co_return "data";
}

ferry::Coro<> limit_one_call() {
  const tour::Stopwatch watch;
  try {
    co_await ferry::wait_for(fetch(10s), 3s);
  } catch (const ferry::TimeoutError&) {
    std::printf("wait_for: gave up after %.0f s\n", watch.seconds());
  }
  const std::string data = co_await ferry::wait_for(fetch(1s), 3s);
  std::printf("wait_for: %s in time\n", data.c_str());
}

ferry::Coro<> three_steps() {
  for (int step = 1; step <= 3; ++step) {
    co_await fetch(2s);
    std::printf("timeout: step %d\n", step);
  }
}

/// One limit for several awaits. Python's `async with timeout(5):` is a call with a body here.
ferry::Coro<> limit_a_piece_of_work() {
  const tour::Stopwatch watch;
  try {
    co_await ferry::timeout(5s, three_steps());
  } catch (const ferry::TimeoutError&) {
    std::printf("timeout: out of time after %.0f s\n", watch.seconds());
  }
}

ferry::Coro<> save() {
  std::puts("shield: saving");
  co_await ferry::sleep(2s);
  std::puts("shield: saved");
}

ferry::Coro<> save_shielded(ferry::Task<> saving) {
  co_await ferry::shield(saving);
}

/// Who awaits a shield may be cancelled; what is behind it is not.
ferry::Coro<> protect_a_clean_up() {
  const auto saving = ferry::create_task(save());
  const auto outer = ferry::create_task(save_shielded(saving));
  co_await ferry::sleep(1s);
  outer.cancel();
  try {
    co_await outer;
  } catch (const ferry::CancelledError&) {
    std::printf("shield: the outer is cancelled, saved: %d\n", saving.done());
  }
  co_await saving;
}

/// C++ has no co_await inside a catch block, so the exception is kept until all is clean.
ferry::Coro<> worker() {
  std::exception_ptr stopped;
  try {
    while (true) {
      std::puts("worker: working");
      co_await ferry::sleep(1s);
    }
  } catch (const ferry::CancelledError&) {
    stopped = std::current_exception();
  }
  std::puts("worker: cancelled, cleaning up");
  co_await ferry::sleep(1s);
  std::puts("worker: clean");
  std::rethrow_exception(stopped);
}

ferry::Coro<> cancel_a_worker() {
  const auto task = ferry::create_task(worker());
  co_await ferry::sleep(2500ms);
  task.cancel();
  try {
    co_await task;
  } catch (const ferry::CancelledError&) {
    std::printf("worker: gone, cancelled: %d\n", task.cancelled());
  }
}

ferry::Coro<> put_away() {
  co_await ferry::sleep(1s);
  std::puts("finally: put away");
}

/// Where the clean-up is the same however the work ends: try and finally.
ferry::Coro<> clean_up_in_any_case() {
  try {
    co_await ferry::timeout(1s, ferry::finally(three_steps(), put_away()));
  } catch (const ferry::TimeoutError&) {
    std::puts("finally: then the exception goes on");
  }
}

ferry::Coro<> main_coroutine() {
  co_await limit_one_call();
  co_await limit_a_piece_of_work();
  co_await protect_a_clean_up();
  co_await cancel_a_worker();
  co_await clean_up_in_any_case();
}

int main(int argc, char** argv) {
  ferry::run(main_coroutine(), tour::options(argc, argv));
}
