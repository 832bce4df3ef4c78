// A coroutine is called and waits to be awaited; a task runs beside the others.
#include "tour.h"

#include <ferry/async.h>

#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>

using namespace std::chrono_literals;

ferry::Coro<std::string> fetch(std::string url) {
  co_await ferry::sleep(1s);
  co_return "data from " + url;
}

ferry::Coro<> work(std::string name, ferry::Duration time) {
  std::printf("%s begins\n", name.c_str());
  co_await ferry::sleep(time);
  std::printf("%s ends\n", name.c_str());
}

ferry::Coro<int> fail() {
  co_await ferry::sleep(1s);
  throw std::runtime_error("no such thing");
}

/// A call is an object that has not begun; co_await runs it, as part of this coroutine.
ferry::Coro<> await_a_coroutine() {
  ferry::Coro<std::string> call = fetch("https://example.org");
  const std::string page = co_await std::move(call);
  std::puts(page.c_str());
}

ferry::Coro<> run_two_at_once() {
  const tour::Stopwatch watch;
  const auto slow = ferry::create_task(work("A, of 2 s,", 2s));
  const auto quick = ferry::create_task(work("B, of 1 s,", 1s));
  std::puts("two tasks created; none has begun");
  co_await slow;
  co_await quick;
  std::printf("together: %.0f s\n", watch.seconds());
}

ferry::Coro<> look_into_tasks() {
  const auto task = ferry::create_task(fetch("a"), {.name = "fetcher"});
  task.add_done_callback([](ferry::Future<std::string> done) {
    std::printf("done-callback: %s\n", done.result().c_str());
  });
  std::printf("%s: done: %d", task.name().c_str(), task.done());
  try {
    task.result();
  } catch (const ferry::InvalidStateError& error) {
    std::printf(", result: %s\n", error.what());
  }
  co_await task;
  task.set_name("has fetched");
  std::printf("%s: done: %d, result: %s, exception: %s\n", task.name().c_str(), task.done(),
              task.result().c_str(), task.exception() ? "one" : "none");
}

ferry::Coro<> cancel_a_task() {
  const auto task = ferry::create_task(fetch("b"));
  co_await ferry::sleep(500ms);
  task.cancel("not needed any more");
  try {
    co_await task;
  } catch (const ferry::CancelledError& cancelled) {
    std::printf("cancelled: %s; cancelled(): %d, done(): %d\n", cancelled.message().c_str(),
                task.cancelled(), task.done());
  }
}

ferry::Coro<> let_a_task_fail() {
  const auto task = ferry::create_task(fail());
  try {
    co_await task;
  } catch (const std::runtime_error& error) {
    std::printf("the awaiter gets: %s\n", error.what());
  }
  std::printf("exception(): %s\n", task.exception() ? "one" : "none");

  // What nobody asks for does not get lost: the loop's exception handler hears of it.
  ferry::get_running_loop().set_exception_handler(
      [](ferry::EventLoop&, const ferry::ExceptionContext& context) {
        std::printf("exception handler: %s\n", context.to_string().c_str());
      });
  static_cast<void>(ferry::create_task(fail()));  // the loop has it; the handle is dropped
  co_await ferry::sleep(2s);
}

ferry::Coro<> main_coroutine() {
  co_await await_a_coroutine();
  co_await run_two_at_once();
  co_await look_into_tasks();
  co_await cancel_a_task();
  co_await let_a_task_fail();
}

int main(int argc, char** argv) {
  ferry::run(main_coroutine(), tour::options(argc, argv));
}
