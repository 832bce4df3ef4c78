#pragma once

#include <ferry/future.h>
#include <ferry/task_core.h>

#include <stdexcept>
#include <type_traits>
#include <utility>

namespace ferry {

/// `co_await` of a future: waits until it is done, not at all if it is. Cancelling the task that
/// waits cancels the future. `co_await future` gives a reference to the value that the future
/// keeps; `co_await std::move(future)`, or of a temporary, the value itself, moved out.
template <class T, bool kMove>
class FutureAwaiter final : public Suspension {
 public:
  explicit FutureAwaiter(Future<T> future) noexcept : future_(std::move(future)) {}
  ~FutureAwaiter() {
    // Not `waiting`: in a generator that outlives its loop the task may be gone.
    if (callback_ != 0 && !future_.done()) future_.remove_done_callback(callback_);
  }

  bool await_ready() const noexcept { return future_.done(); }
  void await_suspend(std::coroutine_handle<> coroutine) {
    const TaskCore* const task = TaskCore::current();
    if (task && future_.state()->loop() != &task->loop()) {
      throw std::logic_error("co_await of a future of another event loop");
    }
    if (task && &task->future() == future_.state()) {
      throw std::logic_error("a task cannot await itself");
    }
    // First, for it may fail, and `suspend` may pass a cancellation on.
    if (task) callback_ = future_.add_done_callback([this] { resume_now(); });
    suspend(coroutine);
  }
  decltype(auto) await_resume() {
    resumed();
    if constexpr (std::is_void_v<T>) {
      future_.result();
    } else if constexpr (kMove) {
      return T(std::move(future_.result()));
    } else {
      return static_cast<T&>(future_.result());
    }
  }

 private:
  bool cancel(std::string_view message) override {
    if (future_.state()->cancel(message)) return true;
    // Cancelled already: that comes out of the wait, with the first message.
    if (future_.done()) return future_.cancelled();
    // A task that waits for this one: somebody has to let go.
    future_.remove_done_callback(callback_);
    cancelled_with(message);
    wake();
    return true;
  }
  FutureState* awaited() const noexcept override { return future_.state(); }

  Future<T> future_;
  typename Future<T>::CallbackId callback_ = 0;
};

template <class T>
FutureAwaiter<T, true> operator co_await(Future<T>&& future) {
  return FutureAwaiter<T, true>(std::move(future));
}
template <class T>
FutureAwaiter<T, false> operator co_await(const Future<T>& future) {
  return FutureAwaiter<T, false>(future);
}

}  // namespace ferry
