#include <ferry/task_core.h>

#include "task_list.h"

#include <ferry/task_factory.h>

#include <utility>

namespace ferry {

TaskCore::TaskCore(EventLoop& loop, FutureState& future, SourceLocation where)
    : loop_(&loop), future_(&future), number_(TaskList::of(loop).add(*this)), created_(where) {
  // The loop owns it until it is done.
  future.retain();
}

std::string TaskCore::name() const {
  return name_.empty() ? "Task-" + std::to_string(number_) : name_;
}

int TaskCore::uncancel() noexcept {
  if (cancelling_ > 0 && --cancelling_ == 0) must_cancel_ = false;
  return cancelling_;
}

bool TaskCore::request_cancel(std::string_view message) {
  if (passing_on_cancel_) return false;  // tasks that await each other in a circle
  ++cancelling_;
  if (waiting_) {
    passing_on_cancel_ = true;
    const bool taken = waiting_->cancel(message);
    passing_on_cancel_ = false;
    if (taken) return true;
  }
  must_cancel_ = true;
  cancel_message_ = message;
  return true;
}

void TaskCore::take_cancellation() {
  must_cancel_ = false;
  throw CancelledError(std::exchange(cancel_message_, {}));
}

void TaskCore::start(std::coroutine_handle<> beginning, const TaskOptions& asked) {
  resume_ = beginning;
  bool eager = false;
  try {
    eager = prepare(asked);
    if (!eager) loop_->call_soon([this] { first_step(); });
  } catch (...) {
    destroy_coroutine();
    leave();
    throw;
  }
  if (eager) first_step();
}

/// Makes it what was asked for, and gives whether it begins at once.
bool TaskCore::prepare(const TaskOptions& asked) {
  if (TaskList::of(*loop_).factory()) [[unlikely]] {
    const auto factory = TaskList::of(*loop_).factory();  // kept: it may replace itself
    TaskOptions options = asked;
    (*factory)(*this, options);
    return apply(options);
  }
  return apply(asked);
}

bool TaskCore::apply(const TaskOptions& options) {
  if (!options.name.empty()) set_name(options.name);
  if (options.context) context_ = options.context->ref();
  return options.eager && loop_->is_running();
}

void TaskCore::first_step() {
  if (must_cancel_) {
    destroy_coroutine();
    finish_cancelled(cancel_message_);
    return leave();
  }
  step();
}

void TaskCore::step() {
  struct Current {
    TaskCore* const outer;
    explicit Current(TaskCore* task) noexcept : outer(std::exchange(current_, task)) {}
    ~Current() { current_ = outer; }
  };
  {
    const Current current(this);
    std::exchange(resume_, nullptr).resume();
  }
  if (!coroutine()->ended()) [[likely]]
    return;
  // Whoever drops the last handle in here must not take this with it.
  const struct Leaving {
    TaskCore& task;
    ~Leaving() { task.leave(); }
  } leaving{*this};
  complete();
}

void TaskCore::fail(std::exception_ptr exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const CancelledError& cancelled) {
    finish_cancelled(cancelled.message());
  } catch (const LoopExit&) {
    future_->set_exception(exception);
    throw;
  } catch (...) {
    future_->set_exception(exception);
  }
}

bool TaskCore::cancelled_at_the_end() {
  if (!must_cancel_) return false;
  must_cancel_ = false;
  finish_cancelled(cancel_message_);
  return true;
}

/// Done, or given up: the loop's list lets go. May destroy this.
void TaskCore::leave() noexcept {
  TaskList::remove(*this);
  future_->release();
}

}  // namespace ferry
