#pragma once

#include <ferry/task.h>

#include <future>
#include <memory>
#include <tuple>
#include <utility>

namespace ferry {

/// Runs `f(arguments...)` on the loop's default executor, so that blocking code does not stop the
/// loop; in a copy of the current context. Cancelling it keeps it from beginning; what runs, runs
/// to its end, its result dropped.
/// https://docs.python.org/3/library/asyncio-task.html#asyncio.to_thread
template <class F, class... Args>
auto to_thread(F f, Args... args) {
  return get_running_loop().run_in_executor(nullptr,
                                            [context = ContextRef::inherited(), f = std::move(f),
                                             args = std::make_tuple(std::move(args)...)]() mutable {
                                              const EnteredContext entered(std::move(context));
                                              return std::apply(std::move(f), std::move(args));
                                            });
}

/// The result of a std::future, which a thread of the default executor waits for.
template <class T>
Future<T> wrap_future(std::future<T> source) {
  return get_running_loop().run_in_executor(
      nullptr, [source = std::move(source)]() mutable { return source.get(); });
}
/// A future of this library as it is.
template <class T>
Future<T> wrap_future(Future<T> future) {
  return future;
}

/// What run_coroutine_threadsafe returns: the result, for another thread to wait for.
template <class T>
class [[nodiscard]] ThreadsafeResult {
 public:
  /// Waits. Throws what the coroutine threw, CancelledError if it was cancelled.
  T get() { return future_.get(); }
  template <class Rep, class Period>
  std::future_status wait_for(const std::chrono::duration<Rep, Period>& limit) const {
    return future_.wait_for(limit);
  }
  /// Asks the loop to cancel the task.
  void cancel() {
    shared_->mailbox.post([shared = shared_] {
      if (shared->task.valid()) shared->task.cancel();
    });
  }

 private:
  template <class U>
  friend ThreadsafeResult<U> run_coroutine_threadsafe(Coro<U> coro, EventLoop& loop);
  struct Shared {
    explicit Shared(Mailbox box) : mailbox(std::move(box)) {}
    Mailbox mailbox;
    Future<T> task;  // the loop's thread only
  };
  /// The loop's side. If it goes before it is called (the loop closes), the promise is broken.
  class Delivery {
   public:
    explicit Delivery(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}
    Delivery(Delivery&&) noexcept = default;
    ~Delivery() {
      if (shared_) shared_->task = {};
    }
    std::promise<T>& promise() noexcept { return promise_; }
    void operator()(const Future<T>& done) {
      if (std::exception_ptr failure = done.state()->failure()) {
        promise_.set_exception(std::move(failure));
      } else if constexpr (std::is_void_v<T>) {
        promise_.set_value();
      } else {
        promise_.set_value(std::move(done.result()));
      }
    }

   private:
    std::shared_ptr<Shared> shared_;
    std::promise<T> promise_;
  };
  ThreadsafeResult(std::shared_ptr<Shared> shared, std::future<T> future)
      : shared_(std::move(shared)), future_(std::move(future)) {}

  std::shared_ptr<Shared> shared_;
  std::future<T> future_;
};

/// Runs `coro` as a task of `loop`, from any other thread, in a copy of this one's context. If the
/// loop closes before it is done, the result is std::future_error (broken_promise); what a task
/// factory throws is the result, too. Throws std::logic_error if the loop is closed.
/// https://docs.python.org/3/library/asyncio-task.html#asyncio.run_coroutine_threadsafe
template <class T>
ThreadsafeResult<T> run_coroutine_threadsafe(Coro<T> coro, EventLoop& loop) {
  using Result = ThreadsafeResult<T>;
  const auto shared = std::make_shared<typename Result::Shared>(loop.mailbox());
  typename Result::Delivery delivery(shared);
  std::future<T> future = delivery.promise().get_future();
  loop.call_soon_threadsafe([shared, delivery = std::move(delivery),
                             context = ContextRef::inherited(), coro = std::move(coro),
                             &loop]() mutable {
    const EnteredContext entered(std::move(context));
    try {
      shared->task = create_task(loop, std::move(coro));
    } catch (...) {
      delivery.promise().set_exception(std::current_exception());
      throw;  // it is reported as well
    }
    const Future<T> task = shared->task;
    task.add_done_callback(std::move(delivery));
  });
  return Result(shared, std::move(future));
}

}  // namespace ferry
