// Ends in good order: runs until SIGINT (Ctrl-C) or SIGTERM, then takes its workers down with it.
#include "tour.h"

#include <ferry/async.h>

#include <csignal>
#include <cstdio>
#include <vector>

ferry::Coro<> worker(int number) {
  try {
    while (true) co_await ferry::sleep(tour::kSecond);
  } catch (const ferry::CancelledError&) {
    std::printf("worker %d stops\n", number);
    throw;
  }
}

ferry::Coro<> main_coroutine() {
  ferry::EventLoop& loop = ferry::get_running_loop();
  const auto stop = loop.create_future<int>();
  for (const int number : {SIGINT, SIGTERM}) {
    // Not set_result: a second signal finds the future done.
    loop.add_signal_handler(number, [stop, number] { stop.try_set_result(number); });
  }

  std::vector<ferry::Task<>> workers;
  for (int number = 1; number <= 5; ++number) {
    workers.push_back(ferry::create_task(worker(number)));
  }
  std::puts("5 workers; Ctrl-C ends them");
  std::fflush(stdout);

  const int number = co_await stop;
  std::printf("%s: shutting down\n", number == SIGINT ? "SIGINT" : "SIGTERM");
  for (const auto& task : workers) task.cancel();
  // Without return_exceptions the first CancelledError would end the waiting.
  const auto outcomes = co_await ferry::gather(ferry::return_exceptions, workers);
  std::printf("%zu workers are gone, %zu tasks left: this one\n", outcomes.size(),
              ferry::all_tasks().size());
}

int main() {
  ferry::run(main_coroutine());
}
