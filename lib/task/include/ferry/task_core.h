#pragma once

#include <ferry/context.h>
#include <ferry/coro.h>
#include <ferry/event_loop.h>
#include <ferry/suspension.h>

#include <cstdint>
#include <new>
#include <string>
#include <string_view>

namespace ferry {

class TaskGroup;
struct TaskOptions;

/// What all tasks are, whatever their result: a coroutine that the loop drives, step by step. Use
/// Task<T>.
class TaskCore {
 public:
  TaskCore(const TaskCore&) = delete;
  TaskCore& operator=(const TaskCore&) = delete;

  /// The task whose step runs on this thread; null outside of one.
  static TaskCore* current() noexcept { return current_; }

  EventLoop& loop() const noexcept { return *loop_; }
  /// The same task as a future.
  FutureState& future() const noexcept { return *future_; }
  /// As Task's.
  bool cancel(std::string_view message = {}) { return future_->cancel(message); }
  std::string name() const;
  void set_name(std::string_view name) { name_ = name; }
  /// Requests of cancellation that nobody took back.
  int cancelling() const noexcept { return cancelling_; }
  int uncancel() noexcept;
  /// Where create_task was called.
  const SourceLocation& created() const noexcept { return created_; }
  /// The outermost of its coroutines; null when it is done.
  virtual const CoroPromiseBase* coroutine() const noexcept = 0;
  /// What it waits for; null while it runs, or is about to.
  const Suspension* waiting_for() const noexcept { return waiting_; }
  /// The groups it is in the `run` of, the innermost first; null if it is in none. For call graphs.
  const TaskGroup* groups() const noexcept { return groups_; }
  /// The context its steps run in.
  Context get_context() {
    context_.made();
    return Context(context_);
  }
  /// For ContextVar: where it is kept. Null until something is set.
  ContextRef& context_ref() noexcept { return context_; }

 protected:
  TaskCore(EventLoop& loop, FutureState& future, SourceLocation where);
  ~TaskCore() = default;

  /// The first step: from the loop, or, eagerly, right now. `asked`: what the loop's task factory
  /// may change.
  void start(std::coroutine_handle<> beginning, const TaskOptions& asked);
  /// Task::cancel, while it is not done.
  bool request_cancel(std::string_view message);
  /// The coroutine is at its end: makes the future done with what it left.
  virtual void complete() = 0;
  /// The coroutine did not begin and is not to, or the loop closes.
  virtual void destroy_coroutine() noexcept = 0;
  /// The future's own cancel, past the task's.
  virtual void finish_cancelled(const std::string& message) = 0;

  /// For `complete`: the coroutine was left by an exception.
  void fail(std::exception_ptr exception);
  /// For `complete`: true, and the task is cancelled, if that was asked for in its last step.
  bool cancelled_at_the_end();

 private:
  friend class Suspension;
  friend class TaskGroup;
  friend class TaskList;

  void step();
  void run_step();
  void timed_step();
  bool prepare(const TaskOptions& asked);
  bool apply(const TaskOptions& options);
  void first_step();
  void wake();
  void be_overdue() noexcept;
  void take_cancellation();  // throws
  static void keep(std::string& to, std::string_view text) noexcept;
  void leave() noexcept;

  static inline thread_local constinit TaskCore* current_ = nullptr;

  EventLoop* loop_;
  FutureState* future_;
  ContextRef context_ = ContextRef::inherited();  // before it is in the list: that may throw
  std::coroutine_handle<> resume_;                // where to go on; null until the first step
  Suspension* waiting_ = nullptr;
  TaskCore* next_ = nullptr;
  TaskCore** link_ = nullptr;  // in the loop's list until it is done
  TaskGroup* groups_ = nullptr;
  std::uint64_t number_;
  int cancelling_ = 0;
  bool must_cancel_ = false;
  bool wait_cancelled_ = false;  // and the task is about to hear of it
  bool passing_on_cancel_ = false;
  bool overdue_ = false;  // there was no memory to schedule its next step
  std::string cancel_message_;
  std::string name_;
  SourceLocation created_;
};

inline void TaskCore::wake() {
  waiting_ = nullptr;
  try {
    loop_->call_soon([this] { step(); });
  } catch (const std::bad_alloc&) {
    be_overdue();
  }
}

inline void Suspension::unsuspend() noexcept {
  task_->waiting_ = nullptr;
}

inline void Suspension::suspend(std::coroutine_handle<> coroutine) {
  TaskCore* const task = TaskCore::current_;
  if (!task) [[unlikely]]
    throw std::logic_error("co_await outside of a task");
  task_ = task;
  task->resume_ = coroutine;
  task->waiting_ = this;
  if (task->must_cancel_ && cancel(task->cancel_message_)) [[unlikely]]
    task->must_cancel_ = false;
}

inline void Suspension::wake() {
  if (waiting()) task_->wake();  // else the loop closes
}

inline void Suspension::resume_now() {
  task_->waiting_ = nullptr;
  task_->step();
}

inline void Suspension::cancelled_with(std::string_view message) {
  cancelled_ = true;
  task_->wait_cancelled_ = true;
  TaskCore::keep(task_->cancel_message_, message);
}

inline void Suspension::resumed() {
  if (task_ && (cancelled_ || task_->must_cancel_)) [[unlikely]]
    task_->take_cancellation();
}

inline void Suspension::resumed_with_result() noexcept {
  if (!cancelled_) return;
  cancelled_ = false;
  task_->must_cancel_ = true;
}

inline bool Suspension::waiting() const noexcept {
  return task_ && task_->waiting_ == this;
}

}  // namespace ferry
