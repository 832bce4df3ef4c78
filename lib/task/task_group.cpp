#include <ferry/task_group.h>

#include <new>

namespace ferry {

class TaskGroup::AllEnded final : public WaitNode {
 public:
  explicit AllEnded(TaskGroup& group) noexcept : group_(group) {}
  bool await_ready() const noexcept { return group_.tasks_.empty(); }
  void await_suspend(std::coroutine_handle<> coroutine) { wait(group_.waiters_, coroutine); }
  void await_resume() {
    unlink();
    resumed();
  }
  std::string_view what() const noexcept override { return "task group"; }

 private:
  TaskGroup& group_;
};

bool TaskGroup::is_cancellation(const std::exception_ptr& exception) {
  if (!exception) return false;
  try {
    std::rethrow_exception(exception);
  } catch (const CancelledError&) {
    return true;
  } catch (...) {
    return false;
  }
}

bool TaskGroup::is_exit(const std::exception_ptr& exception) {
  if (!exception) return false;
  try {
    std::rethrow_exception(exception);
  } catch (const LoopExit&) {
    return true;
  } catch (...) {
    return false;
  }
}

void TaskGroup::check_open() const {
  if (!entered_) throw std::logic_error("TaskGroup::create_task: the group has not been entered");
  if (!parent_) throw std::logic_error("TaskGroup::create_task: the group is finished");
  if (leaving_ && tasks_.empty()) {
    throw std::logic_error("TaskGroup::create_task: the group is finished");
  }
  if (cancelling_) throw std::logic_error("TaskGroup::create_task: the group is shutting down");
}

void TaskGroup::add(const AnyFuture& task) {
  auto place = tasks_.end();
  try {
    place = tasks_.insert(tasks_.end(), task);
    task.state()->add_done_callback([this, place](FutureState&) { task_done(place); });
  } catch (const std::bad_alloc&) {
    // The caller hears of no task, so there must be none.
    if (place != tasks_.end()) tasks_.erase(place);
    task.cancel();
    throw;
  }
  // An eager first step may have cancelled the group already.
  if (cancelling_) task.cancel();
}

void TaskGroup::enter() {
  if (entered_) throw std::logic_error("TaskGroup: it has been entered already");
  TaskCore* const task = TaskCore::current();
  if (!task) throw std::logic_error("TaskGroup: there is no parent task to run it");
  entered_ = true;
  parent_ = task;
  loop_ = &task->loop();
  outer_ = std::exchange(task->groups_, this);
  if (cancelled_) {
    cancel_tasks();
    cancel_parent();
  }
}

void TaskGroup::exit() noexcept {
  TaskCore* const parent = std::exchange(parent_, nullptr);
  if (!parent) return;
  TaskGroup** place = &parent->groups_;
  while (*place != this) place = &(*place)->outer_;
  *place = outer_;
}

void TaskGroup::add_unfinished(std::vector<FutureState*>& futures) const {
  for (const AnyFuture& task : tasks_) futures.push_back(task.state());
}

void TaskGroup::cancel_parent() {
  if (parent_cancelled_) return;
  parent_cancelled_ = true;
  parent_->cancel();
}

void TaskGroup::cancel_tasks() {
  cancelling_ = true;
  // It stays as it is meanwhile: who is cancelled leaves it from the loop.
  for (const AnyFuture& task : tasks_) task.cancel();
}

void TaskGroup::cancel() {
  if (cancelled_ || (entered_ && !parent_)) return;
  cancelled_ = true;
  if (!entered_) return;
  if (!cancelling_) cancel_tasks();
  // While it waits for the tasks, it is about to end anyway.
  if (!leaving_) cancel_parent();
}

void TaskGroup::task_done(std::list<AnyFuture>::iterator place) {
  const AnyFuture task = std::move(*place);
  tasks_.erase(place);
  const std::exception_ptr failure = task.cancelled() ? nullptr : task.failure();
  if (leaving_ && tasks_.empty()) waiters_.wake_all();
  if (!failure) return;
  if (is_exit(failure)) {
    if (!exit_) exit_ = failure;
  } else {
    try {
      errors_.push_back(failure);
    } catch (const std::bad_alloc&) {
      unlisted_ = failure;
    }
  }
  if (cancelling_) return;
  cancel_tasks();
  if (!leaving_) cancel_parent();
}

Coro<> TaskGroup::leave(std::exception_ptr& failure) {
  leaving_ = true;
  std::exception_ptr cancellation;  // from outside
  if (is_cancellation(failure)) {
    cancellation = failure;
  } else if (is_exit(failure)) {
    exit_ = failure;
  }
  if (parent_cancelled_) {
    // If ours is the only request, the cancellation is ours, and taken back.
    if (parent_->uncancel() == 0) cancellation = nullptr;
  }
  if (failure && !cancelling_) cancel_tasks();
  while (!tasks_.empty()) {
    try {
      co_await AllEnded(*this);
    } catch (const CancelledError&) {
      if (!cancelling_) {
        // From outside: the tasks are stopped, and waited for again.
        cancellation = std::current_exception();
        cancel_tasks();
      } else if (!cancellation) {
        cancellation = std::current_exception();
      }
    }
  }
  TaskCore& parent = *parent_;
  exit();
  if (unlisted_) errors_.push_back(std::exchange(unlisted_, nullptr));
  if (failure && !is_cancellation(failure) && !is_exit(failure)) errors_.push_back(failure);
  if (exit_) {
    for (const std::exception_ptr& error : std::exchange(errors_, {})) {
      ExceptionContext context;
      context.message = "an error in a TaskGroup that ends by LoopExit";
      context.exception = error;
      loop_->call_exception_handler(context);
    }
    std::rethrow_exception(exit_);
  }
  if (cancellation && errors_.empty()) std::rethrow_exception(cancellation);
  if (!errors_.empty()) {
    if (parent.cancelling() > 0) {
      // The cancellation from outside must not be lost with the errors thrown in its place: it
      // comes out of the next wait. Taken back and made again, it counts once.
      parent.uncancel();
      parent.cancel();
    }
    throw ExceptionGroup("unhandled errors in a TaskGroup", std::exchange(errors_, {}));
  }
}

}  // namespace ferry
