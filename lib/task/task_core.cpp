#include <ferry/task_core.h>

#include "source_text.h"
#include "task_list.h"

#include <ferry/any_future.h>
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
  if (wait_cancelled_) return true;  // the first request's message counts
  must_cancel_ = true;
  keep(cancel_message_, message);
  return true;
}

/// A cancellation must not fail for its message's sake.
void TaskCore::keep(std::string& to, std::string_view text) noexcept {
  try {
    to = text;
  } catch (const std::bad_alloc&) {
    to.clear();
  }
}

void TaskCore::be_overdue() noexcept {
  overdue_ = true;
  loop_->note_overdue();
}

namespace {

/// Where its innermost coroutine waits; before its first step: where it was created.
SourceLocation place_of(const TaskCore& task) {
  const CoroPromiseBase* coroutine = task.coroutine();
  while (coroutine && coroutine->awaits()) coroutine = coroutine->awaits();
  return coroutine && coroutine->where().line() > 0 ? coroutine->where() : task.created();
}

}  // namespace

void TaskCore::take_cancellation() {
  must_cancel_ = wait_cancelled_ = false;
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
  if (loop_->needs_attention() && loop_->debug()) [[unlikely]]
    return timed_step();
  run_step();
}

namespace {

/// Tells a StallWatch, if there is one, what the loop is at.
class StepNote {
 public:
  StepNote(std::shared_ptr<RunningStep> note, const std::string& text) : note_(std::move(note)) {
    if (note_) exchange(report_text([&text] { return text; }));
  }
  ~StepNote() {
    if (note_) exchange(std::move(outer_));
  }

 private:
  void exchange(std::string text) {
    const std::lock_guard lock(note_->mutex);
    outer_ = std::exchange(note_->text, std::move(text));
  }
  std::shared_ptr<RunningStep> note_;
  std::string outer_;  // of the step that this one is inside of
};

}  // namespace

/// In debug mode: slow steps are reported with the places where they began and ended.
void TaskCore::timed_step() {
  EventLoop& loop = *loop_;
  const AnyFuture self(future_);  // the task may be gone afterwards
  std::string text = report_text([this] {
    std::string begun = "task '";
    begun.append(name()).append("' from ").append(place_text(place_of(*this)));
    return begun;
  });
  const TimePoint begin = loop.time();
  {
    const StepNote note(TaskList::of(loop).watched_step(), text);
    run_step();
  }
  const Duration taken = loop.time() - begin;
  if (taken < loop.slow_callback_duration()) return;
  loop.report_slow(report_text([&] {
                     text.append(" to ");
                     text.append(self.done() ? "its end" : place_text(place_of(*this)));
                     return "the step of " + text;
                   }),
                   taken);
}

void TaskCore::run_step() {
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
