// Small tools: sleep in three ways, which task is this, and anything as a future.
#include "tour.h"

#include <ferry/async.h>

#include <cstdio>
#include <future>
#include <string>
#include <string_view>

using namespace std::chrono_literals;

ferry::Coro<> count(std::string name) {
  for (int i = 1; i <= 2; ++i) {
    std::printf("%s: %d\n", name.c_str(), i);
    co_await ferry::sleep(0s);  // lets the others have a turn
  }
}

ferry::Coro<> sleep_in_three_ways() {
  co_await ferry::gather(count("left"), count("right"));
  const tour::Stopwatch watch;
  co_await ferry::sleep(1.5s);
  std::printf("slept %.1f s\n", watch.seconds());
  const std::string_view result = co_await ferry::sleep(2s, "done");
  std::printf("slept %.1f s: %s\n", watch.seconds(), std::string(result).c_str());
}

ferry::Coro<> look_at_tasks() {
  ferry::current_task()->set_name("main-task");
  std::printf("current task: %s\n", ferry::current_task()->name().c_str());
  const auto one = ferry::create_task(count("one"), {.name = "one"});
  const auto two = ferry::create_task(count("two"), {.name = "two"});
  std::printf("all tasks:");
  for (const ferry::TaskCore* task : ferry::all_tasks()) std::printf(" %s", task->name().c_str());
  std::printf(": %zu\n", ferry::all_tasks().size());
  co_await ferry::gather(one, two);
}

ferry::Coro<int> answer() {
  co_await ferry::sleep(1s);
  co_return 42;
}

ferry::Coro<> make_futures() {
  // A coroutine becomes a task; what is a future already stays what it is.
  const ferry::Task<int> task = ferry::ensure_future(answer());
  std::printf("ensure_future gives the same: %d\n", ferry::ensure_future(task) == task);
  std::printf("ensure_future: %d\n", co_await task);

  // A thread's future, from outside of any loop.
  std::future<int> of_a_thread = std::async(std::launch::async, [] { return 42; });
  std::printf("wrap_future: %d\n", co_await ferry::wrap_future(std::move(of_a_thread)));
}

/// What Python asks while the program runs, the compiler knows.
void ask_for_types() {
  std::printf("isfuture: Future %d, Task %d, Coro %d\n", ferry::is_future_v<ferry::Future<int>>,
              ferry::is_future_v<ferry::Task<int>>, ferry::is_future_v<ferry::Coro<int>>);
  std::printf("iscoroutine: answer() %d, answer %d\n", ferry::is_coro_v<decltype(answer())>,
              ferry::is_coro_v<decltype(answer)>);
  std::printf("iscoroutinefunction: answer %d, ask_for_types %d\n",
              ferry::is_coroutine_function_v<decltype(answer)>,
              ferry::is_coroutine_function_v<decltype(ask_for_types)>);
}

ferry::Coro<> main_coroutine() {
  co_await sleep_in_three_ways();
  co_await look_at_tasks();
  co_await make_futures();
  ask_for_types();
}

int main(int argc, char** argv) {
  ferry::run(main_coroutine(), tour::options(argc, argv));
}
