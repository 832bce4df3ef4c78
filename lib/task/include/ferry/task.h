#pragma once

#include <ferry/await_future.h>
#include <ferry/awaitable.h>
#include <ferry/coro.h>
#include <ferry/task_core.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ferry {

/// A task as the loop has it: a future, and the coroutine that makes its result.
template <class T>
class TaskCell final : public FutureCell<T>, public TaskCore {
 public:
  TaskCell(EventLoop& loop, Coro<T> coro, SourceLocation where)
      : FutureCell<T>(loop),
        TaskCore(loop, static_cast<FutureState&>(*this), where),
        coro_(std::move(coro)) {}

  bool cancel(std::string_view message) override {
    return !this->done() && this->request_cancel(message);
  }
  const CoroPromiseBase* coroutine() const noexcept override {
    return coro_.valid() ? &coro_.handle().promise() : nullptr;
  }

  static void* operator new(std::size_t size) { return FramePool::allocate(size); }
  static void operator delete(void* memory, std::size_t size) noexcept {
    FramePool::deallocate(memory, size);
  }

  void begin(const TaskOptions& options) { this->start(coro_.handle(), options); }

 private:
  void complete() override {
    const Coro<T> ended = std::move(coro_);
    auto& promise = ended.handle().promise();
    if (std::exception_ptr exception = promise.take_exception()) {
      this->fail(std::move(exception));
    } else if (!this->cancelled_at_the_end()) {
      if constexpr (std::is_void_v<T>) {
        this->set_value();
      } else {
        try {
          this->set_value(promise.take());
        } catch (...) {  // the value's own
          this->fail(std::current_exception());
        }
      }
    }
  }
  void destroy_coroutine() noexcept override { const Coro<T> gone = std::move(coro_); }
  void finish_cancelled(const std::string& message) override { FutureState::cancel(message); }

  Coro<T> coro_;
};

/// Nothing in it needs a destructor: g++ 12 destroys an aggregate twice that is made inside a
/// co_await expression, as in `co_await create_task(work())`.
struct TaskOptions {
  std::string_view name{};  ///< Copied. Empty: "Task-" and a number.
  /// Run it at once, in place, up to where it first waits (asyncio's eager tasks); if it never
  /// waits, it is done when create_task returns. Only while the loop runs.
  bool eager = false;
  /// The context it runs in, shared with whoever else has it; null: a copy of the current one.
  const Context* context = nullptr;
};

/// A handle to a coroutine that the loop runs beside others, like asyncio.Task; and a future, of
/// what the coroutine returns or throws. Copies are handles to the same. The loop owns the task
/// until it is done: dropping the handle neither stops nor cancels it.
/// https://docs.python.org/3/library/asyncio-task.html#task-object
template <class T = void>
class Task : public Future<T> {
 public:
  Task() noexcept = default;
  /// Schedules `coro`; its first step comes from the loop, in the order of creation. Throws
  /// std::logic_error if the loop is closed; then `coro` is destroyed.
  Task(EventLoop& loop, Coro<T> coro, const TaskOptions& options = {},
       SourceLocation where = SourceLocation::current())
      : Future<T>(make(loop, std::move(coro), where)) {
    cell().begin(options);
  }

  /// As Future's: throws CancelledError into the coroutine, where it waits or will wait next; false
  /// if it is done. Before the first step: the body never runs. The coroutine may catch it and go
  /// on. Whoever it waits for is cancelled too: a future, another task.
  bool cancel(std::string_view message = {}) const { return this->state()->cancel(message); }
  /// The number of requests to cancel that nobody has taken back; `uncancel` takes one back, and
  /// returns the rest. For those who build scopes such as `timeout`.
  int cancelling() const noexcept { return cell().cancelling(); }
  int uncancel() const noexcept { return cell().uncancel(); }

  std::string name() const { return cell().name(); }
  void set_name(std::string_view name) const { cell().set_name(name); }
  /// The one its steps run in, not a copy.
  Context get_context() const { return cell().get_context(); }

  /// A task's result comes from its coroutine alone.
  void set_result() const = delete;
  void set_exception() const = delete;
  void try_set_result() const = delete;

 private:
  static FutureCell<T>* make(EventLoop& loop, Coro<T> coro, SourceLocation where) {
    if (!coro.valid()) throw std::invalid_argument("create_task: no coroutine");
    if (loop.is_closed()) throw std::logic_error("create_task: the event loop is closed");
    return new TaskCell<T>(loop, std::move(coro), where);
  }
  TaskCell<T>& cell() const noexcept { return static_cast<TaskCell<T>&>(*this->state()); }
};

/// Runs `coro` as a task of the loop that runs. Throws std::logic_error if none does.
template <class T>
Task<T> create_task(Coro<T> coro, const TaskOptions& options = {},
                    SourceLocation where = SourceLocation::current()) {
  return Task<T>(get_running_loop(), std::move(coro), options, where);
}
/// The same on a loop that need not run yet.
template <class T>
Task<T> create_task(EventLoop& loop, Coro<T> coro, const TaskOptions& options = {},
                    SourceLocation where = SourceLocation::current()) {
  return Task<T>(loop, std::move(coro), options, where);
}

/// Of anything else that can be awaited: `create_task(queue.get())`.
template <AwaitableObject A>
Task<AwaitResult<A>> create_task(A awaitable, const TaskOptions& options = {},
                                 SourceLocation where = SourceLocation::current()) {
  return create_task(as_coro(std::move(awaitable), where), options, where);
}
template <AwaitableObject A>
Task<AwaitResult<A>> create_task(EventLoop& loop, A awaitable, const TaskOptions& options = {},
                                 SourceLocation where = SourceLocation::current()) {
  return create_task(loop, as_coro(std::move(awaitable), where), options, where);
}

/// A future as it is; a coroutine, or what else can be awaited, as a task of the running loop.
template <class T>
Future<T> ensure_future(Future<T> future) {
  return future;
}
template <class T>
Task<T> ensure_future(Task<T> task) {
  return task;
}
template <class T>
Task<T> ensure_future(Coro<T> coro, SourceLocation where = SourceLocation::current()) {
  return create_task(std::move(coro), {}, where);
}
template <AwaitableObject A>
Task<AwaitResult<A>> ensure_future(A awaitable, SourceLocation where = SourceLocation::current()) {
  return create_task(as_coro(std::move(awaitable), where), {}, where);
}

/// The task that runs; null in a plain callback. Throws std::logic_error if no loop runs. Good, as
/// what `all_tasks` gives, until the task is done: to keep it longer, make an AnyFuture of its
/// `future()`.
TaskCore* current_task();
/// All tasks of the loop that are not done, in the order of creation.
std::vector<TaskCore*> all_tasks(EventLoop& loop);
/// Of the loop that runs.
std::vector<TaskCore*> all_tasks();

/// Runs the loop until `coro`, as a task, is done.
template <class T>
T run_until_complete(EventLoop& loop, Coro<T> coro,
                     SourceLocation where = SourceLocation::current()) {
  const Future<T> future(create_task(loop, std::move(coro), {}, where));
  try {
    return loop.run_until_complete(future);
  } catch (...) {
    // A LoopExit comes from the loop: that it is the task's exception too need not be reported.
    if (future.done()) static_cast<void>(future.state()->failure());
    throw;
  }
}
template <AwaitableObject A>
AwaitResult<A> run_until_complete(EventLoop& loop, A awaitable,
                                  SourceLocation where = SourceLocation::current()) {
  return run_until_complete(loop, as_coro(std::move(awaitable), where), where);
}

}  // namespace ferry
