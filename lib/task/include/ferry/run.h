#pragma once

#include <ferry/task.h>
#include <ferry/thread_loop.h>

#include <memory>
#include <optional>

namespace ferry {

/// Out of `run`: the user pressed Ctrl-C (SIGINT). Not a std::exception, as LoopExit.
struct KeyboardInterrupt {};

struct RunOptions {
  /// Absent: as LoopOptions::debug.
  std::optional<bool> debug{};
  /// Makes the loop; empty: an EventLoop on the operating system.
  Function<std::unique_ptr<EventLoop>()> loop_factory{};
  /// The first SIGINT cancels the main coroutine, the second ends `run` at once; where this is the
  /// main thread and nobody else handles the signal.
  bool handle_sigint = true;
};

/// Runs coroutines, one after the other, on a loop of its own, which it cleans up behind them; like
/// asyncio.Runner. They share a context, which begins as a copy of the current one: what one sets
/// the next one finds. https://docs.python.org/3/library/asyncio-runner.html#asyncio.Runner
class Runner {
 public:
  explicit Runner(RunOptions options = {}) : options_(std::move(options)) {}
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;
  /// As `close`. What that would throw is lost.
  ~Runner();

  /// Runs `main` as a task to its end; its result, or its exception. Throws KeyboardInterrupt if
  /// SIGINT cancelled it, std::logic_error inside a running loop or after `close`; then `main` is
  /// destroyed and never runs.
  template <class T>
  T run(Coro<T> main, SourceLocation where = SourceLocation::current()) {
    check_idle();
    if (!context_) context_ = copy_context();
    return run(std::move(main), *context_, where);
  }
  /// The same in another context than the one that the others share.
  template <class T>
  T run(Coro<T> main, const Context& context, SourceLocation where = SourceLocation::current()) {
    EventLoop& loop = check_idle();
    TaskOptions options;
    options.context = &context;
    Task<T> task(loop, std::move(main), options, where);
    run_main(AnyTask{task.state(), task_core(task)});
    if constexpr (std::is_void_v<T>) {
      task.result();
    } else {
      return std::move(task.result());
    }
  }
  /// Made when it is first needed. Throws std::logic_error after `close`.
  EventLoop& get_loop();
  /// Cancels the tasks that are left and waits for them, waits for the default executor, closes the
  /// loop. Idempotent.
  void close();

 private:
  struct AnyTask {
    FutureState* state;
    TaskCore* core;
  };
  class Interrupt;

  template <class T>
  static TaskCore* task_core(const Task<T>& task) {
    return static_cast<TaskCell<T>*>(task.state());
  }
  EventLoop& check_idle();
  void run_main(AnyTask task);
  void cancel_all_tasks();

  RunOptions options_;
  std::unique_ptr<EventLoop> loop_;
  std::optional<Context> context_;  // from the first run on
  bool closed_ = false;
};

/// The whole program: `int main() { return ferry::run(main_coroutine()); }`. Makes a loop, runs
/// `main`, cancels what is left and cleans up, also if `main` throws.
/// https://docs.python.org/3/library/asyncio-runner.html#asyncio.run
template <class T>
T run(Coro<T> main, RunOptions options = {}, SourceLocation where = SourceLocation::current()) {
  Runner runner(std::move(options));
  if constexpr (std::is_void_v<T>) {
    runner.run(std::move(main), where);
    runner.close();
  } else {
    T result = runner.run(std::move(main), where);
    runner.close();
    return result;
  }
}

}  // namespace ferry
