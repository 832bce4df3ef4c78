#pragma once

#include <ferry/any_future.h>
#include <ferry/exception_group.h>
#include <ferry/wait_list.h>

#include <list>
#include <optional>
#include <utility>
#include <vector>

namespace ferry {

/// Tasks that belong together, like asyncio.TaskGroup: `run` returns when the body and all tasks
/// have ended. If one fails, the others and the body are cancelled, and an ExceptionGroup of all
/// failures is thrown; a task that is cancelled is no failure. For one `run`.
/// https://docs.python.org/3/library/asyncio-task.html#task-groups
class TaskGroup {
 public:
  TaskGroup() = default;
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  /// Throws std::logic_error before and after `run`, and once a task has failed; then `coro` is
  /// destroyed and never runs.
  template <class T>
  Task<T> create_task(Coro<T> coro, const TaskOptions& options = {},
                      SourceLocation where = SourceLocation::current()) {
    check_open();
    Task<T> task(*loop_, std::move(coro), options, where);
    add(task);
    return task;
  }
  /// Of anything else that can be awaited.
  template <AwaitableObject A>
  Task<AwaitResult<A>> create_task(A awaitable, const TaskOptions& options = {},
                                   SourceLocation where = SourceLocation::current()) {
    return create_task(as_coro(std::move(awaitable), where), options, where);
  }
  /// Ends it early, without an error: the body and all tasks are cancelled. Idempotent; nothing
  /// after the end. Before `run`: its body never waits.
  void cancel();

  /// Runs `body` in place, as part of the group, and waits for all. Throws std::logic_error
  /// outside of a task, or the second time.
  template <class T>
  Coro<T> run(Coro<T> body) {
    const Entered entered(*this);
    std::exception_ptr failure;
    // Before the body: without memory for it nobody would wait for the tasks.
    Coro<> ending = leave(failure);
    if constexpr (std::is_void_v<T>) {
      try {
        co_await std::move(body);
      } catch (...) {
        failure = std::current_exception();
      }
      co_await std::move(ending);
    } else {
      std::optional<T> result;
      try {
        result.emplace(co_await std::move(body));
      } catch (...) {
        failure = std::current_exception();
      }
      co_await std::move(ending);
      if (!result) throw CancelledError();  // TaskGroup::cancel, and no value to return
      co_return std::move(*result);
    }
  }
  /// Tasks that have not ended.
  std::size_t size() const noexcept { return tasks_.size(); }
  /// Exceptions of tasks so far.
  std::size_t n_errors() const noexcept { return errors_.size(); }
  bool entered() const noexcept { return entered_; }
  /// Its tasks have been told to stop.
  bool cancelling() const noexcept { return cancelling_; }
  /// For call graphs: adds those tasks, and gives the group around this one in the same task.
  void add_unfinished(std::vector<FutureState*>& futures) const;
  const TaskGroup* outer() const noexcept { return outer_; }

 private:
  friend class TaskList;
  class AllEnded;
  /// In the frame of `run`, which may be destroyed half way when the loop closes.
  struct Entered {
    TaskGroup& group;
    explicit Entered(TaskGroup& entered) : group(entered) { group.enter(); }
    ~Entered() { group.exit(); }
  };

  void check_open() const;
  void add(const AnyFuture& task);
  void enter();
  void exit() noexcept;
  Coro<> leave(std::exception_ptr& body_failure);
  void task_done(std::list<AnyFuture>::iterator place);
  void cancel_tasks();
  void cancel_parent();
  static bool is_cancellation(const std::exception_ptr& exception);
  static bool is_exit(const std::exception_ptr& exception);

  EventLoop* loop_ = nullptr;
  TaskCore* parent_ = nullptr;  // from `run` to its end, or the loop's
  TaskGroup* outer_ = nullptr;  // of the same task
  std::list<AnyFuture> tasks_;  // not ended
  std::vector<std::exception_ptr> errors_;
  std::exception_ptr unlisted_;  // one more, for which there was no memory
  std::exception_ptr exit_;      // a LoopExit
  WaitList waiters_;             // the parent, while it waits for the rest
  bool entered_ = false;
  bool leaving_ = false;
  bool cancelling_ = false;        // tasks have been told to stop
  bool cancelled_ = false;         // by `cancel`
  bool parent_cancelled_ = false;  // by us
};

/// `co_await task_group(body, arguments...)`: a group, and `body(group, arguments...)` in it. A
/// coroutine lambda must capture nothing: give it arguments.
template <class Body, class... Args>
auto task_group(Body body, Args... args) -> std::invoke_result_t<Body&, TaskGroup&, Args...> {
  TaskGroup group;
  co_return co_await group.run(body(group, std::move(args)...));
}

}  // namespace ferry
