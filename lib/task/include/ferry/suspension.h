#pragma once

#include <cassert>
#include <coroutine>
#include <string_view>
#include <vector>

namespace ferry {

class FutureState;
class TaskCore;

/// For those who write awaitables: what a task is waiting for. An awaiter derives from it, calls
/// `suspend` in await_suspend, has `wake` called by whoever ends the wait, and calls `resumed`
/// first thing in await_resume. It lives in the frame of the coroutine that awaits, and is
/// destroyed with it if the loop closes: then it must take itself off all lists. It may be moved
/// until it is awaited, if the class that derives from it lets it (`create_task(lock.acquire())`).
class Suspension {
 public:
  Suspension() = default;
  Suspension(const Suspension&) = delete;
  Suspension& operator=(const Suspension&) = delete;

  /// Asked by Task::cancel: stop waiting, and wake the task so that a CancelledError comes out of
  /// the wait. False if it has been woken already; then `resumed` throws all the same.
  virtual bool cancel(std::string_view message) = 0;
  /// The future it waits for, if it is one. For call graphs.
  virtual FutureState* awaited() const noexcept { return nullptr; }
  /// For call graphs too: adds all futures whose end may end the wait, if there are several.
  virtual void all_awaited(std::vector<FutureState*>& futures) const {
    if (FutureState* const future = awaited()) futures.push_back(future);
  }
  /// A word on what it waits for, such as "lock". For dumps.
  virtual std::string_view what() const noexcept { return awaited() ? "future" : "something"; }

 protected:
  Suspension(Suspension&& other) noexcept {
    assert(!other.task_);  // else others have its address
    static_cast<void>(other);
  }
  ~Suspension() = default;

  /// Makes the current task wait. Throws std::logic_error if there is none.
  void suspend(std::coroutine_handle<> coroutine);
  /// Takes that back: for an await_suspend that is about to throw.
  void unsuspend() noexcept;
  /// Has the loop go on with the task, in a callback of its own. Once.
  void wake();
  /// The same at once: for who is in a callback of its own already.
  void resume_now();
  /// In `cancel`, before the wake: what `resumed` will throw.
  void cancelled_with(std::string_view message);
  /// `cancelled_with` was called.
  bool cancelled() const noexcept { return cancelled_; }
  /// Throws CancelledError if the wait was cancelled, or the task after the wake.
  void resumed();
  /// In its place, if the wait brought what must not be lost: the CancelledError is put off to the
  /// next wait of the task.
  void resumed_with_result() noexcept;
  /// `suspend` was called, and neither `wake` nor `resume_now`.
  bool waiting() const noexcept;
  TaskCore* task() const noexcept { return task_; }

 private:
  friend class TaskCore;
  friend class TaskList;
  TaskCore* task_ = nullptr;  // from `suspend` on; null again once the loop is closed
  bool cancelled_ = false;
};

}  // namespace ferry
