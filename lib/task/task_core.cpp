#include <ferry/task_core.h>

#include "task_list.h"

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
  if (wait_cancelled_) return true;  // the first request's message counts
  must_cancel_ = true;
  cancel_message_ = message;
  return true;
}

void TaskCore::take_cancellation() {
  must_cancel_ = wait_cancelled_ = false;
  throw CancelledError(std::exchange(cancel_message_, {}));
}

void TaskCore::start(std::coroutine_handle<> beginning, bool eager) {
  resume_ = beginning;
  if (eager && loop_->is_running()) return first_step();
  try {
    loop_->call_soon([this] { first_step(); });
  } catch (...) {
    destroy_coroutine();
    leave();
    throw;
  }
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
