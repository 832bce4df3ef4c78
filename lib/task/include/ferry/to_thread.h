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
  T get() { return shared_->promise_future.get(); }
  template <class Rep, class Period>
  std::future_status wait_for(const std::chrono::duration<Rep, Period>& limit) const {
    return shared_->promise_future.wait_for(limit);
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
    explicit Shared(Mailbox box) : mailbox(std::move(box)), promise_future(promise.get_future()) {}
    Mailbox mailbox;
    std::promise<T> promise;
    std::future<T> promise_future;
    Future<T> task;  // the loop's thread only
  };
  explicit ThreadsafeResult(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}

  std::shared_ptr<Shared> shared_;
};

/// Runs `coro` as a task of `loop`, from any other thread, in a copy of this one's context. If the
/// loop closes before it is done, the result is std::future_error (broken_promise); what a task
/// factory throws is the result, too. Throws
/// std::logic_error if it is closed.
/// https://docs.python.org/3/library/asyncio-task.html#asyncio.run_coroutine_threadsafe
template <class T>
ThreadsafeResult<T> run_coroutine_threadsafe(Coro<T> coro, EventLoop& loop) {
  using Shared = typename ThreadsafeResult<T>::Shared;
  const auto shared = std::make_shared<Shared>(loop.mailbox());
  loop.call_soon_threadsafe(
      [shared, context = ContextRef::inherited(), coro = std::move(coro), &loop]() mutable {
        const EnteredContext entered(std::move(context));
        Task<T> task;
        try {
          task = create_task(loop, std::move(coro));
        } catch (...) {
          shared->promise.set_exception(std::current_exception());
          throw;  // it is reported as well
        }
        shared->task = task;
        task.add_done_callback([shared](Future<T> done) {
          shared->task = {};
          if (std::exception_ptr failure = done.state()->failure()) {
            shared->promise.set_exception(std::move(failure));
          } else if constexpr (std::is_void_v<T>) {
            shared->promise.set_value();
          } else {
            shared->promise.set_value(std::move(done.result()));
          }
        });
      });
  return ThreadsafeResult<T>(shared);
}

}  // namespace ferry
