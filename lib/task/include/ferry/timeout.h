#pragma once

#include <ferry/task.h>
#include <ferry/timer.h>

#include <optional>
#include <string_view>

namespace ferry {

/// A time limit on a piece of work, like asyncio.timeout: when it runs out, the task is cancelled
/// where it waits, and the CancelledError that comes out of the work becomes a TimeoutError. For
/// one piece of work. https://docs.python.org/3/library/asyncio-task.html#timeouts
class Timeout {
 public:
  /// Absent: no limit, until `reschedule` sets one.
  Timeout() noexcept = default;
  explicit Timeout(std::optional<Duration> delay) noexcept : delay_(delay) {}
  /// The same with the time itself.
  explicit Timeout(std::optional<TimePoint> when) noexcept : when_(when) {}

  /// Runs `work` in place under the limit. A result that it has in spite of the cancellation is
  /// kept. Throws std::logic_error outside of a task, or the second time.
  template <Awaitable A>
  Coro<AwaitResult<A>> run(A work) {
    using T = AwaitResult<A>;
    enter();
    std::exception_ptr failure;
    if constexpr (std::is_void_v<T>) {
      try {
        co_await std::move(work);
      } catch (...) {
        failure = std::current_exception();
      }
      leave(std::move(failure));
    } else {
      std::optional<T> result;
      try {
        result.emplace(co_await detail::shared(work));
      } catch (...) {
        failure = std::current_exception();
      }
      leave(std::move(failure));
      co_return std::move(*result);
    }
  }

  /// Absent: no limit.
  std::optional<TimePoint> when() const noexcept { return when_; }
  /// It has run out, or is just cancelling the work.
  bool expired() const noexcept { return state_ == State::expiring || state_ == State::expired; }
  /// "created", "active", "expiring", "expired" or "finished".
  std::string_view state() const noexcept;
  /// Another limit while the work runs; throws std::logic_error at any other time.
  void reschedule(std::optional<TimePoint> when);

 private:
  enum class State { created, active, expiring, expired, left };

  void enter();
  /// Throws what is to come out of the work, if that is not its result.
  void leave(std::exception_ptr failure);
  void expire();
  void arm();

  State state_ = State::created;
  std::optional<Duration> delay_;
  std::optional<TimePoint> when_;
  TaskCore* task_ = nullptr;  // while active
  int cancelling_ = 0;        // of the task, at the beginning
  std::optional<Timer> timer_;
  Handle soon_;  // in its place, when the time is over already
};

/// `co_await timeout(5s, fetch(url))`.
template <Awaitable A>
Coro<AwaitResult<A>> timeout(std::optional<Duration> delay, A work) {
  Timeout limit(delay);
  co_return co_await limit.run(std::move(work));
}
template <Awaitable A>
Coro<AwaitResult<A>> timeout_at(std::optional<TimePoint> when, A work) {
  Timeout limit(when);
  co_return co_await limit.run(std::move(work));
}

namespace detail {

/// Cancels `future` and waits for its end, however long that takes.
Coro<> cancel_and_wait(FutureState& future);

}  // namespace detail

/// Waits for `awaitable` at most as long as that; then it is cancelled, and when that has ended,
/// TimeoutError thrown, unless it gave a result after all. Zero and less: only if it is done
/// already. The value of a future is copied, or moved if it cannot be.
/// https://docs.python.org/3/library/asyncio-task.html#asyncio.wait_for
template <class T>
Coro<T> wait_for(Future<T> future, std::optional<Duration> limit) {
  if (limit && *limit <= Duration::zero()) {
    if (!future.done()) {
      co_await detail::cancel_and_wait(*future.state());
      if (future.cancelled()) throw TimeoutError("wait_for");
    }
    co_return co_await detail::shared(future);
  }
  Timeout timeout(limit);
  co_return co_await timeout.run(std::move(future));
}
template <Awaitable A>
requires(!is_future_v<A>) Coro<AwaitResult<A>> wait_for(A work, std::optional<Duration> limit) {
  if (limit && *limit <= Duration::zero()) {
    const A gone = std::move(work);  // it never begins
    throw TimeoutError("wait_for");
  }
  Timeout timeout(limit);
  co_return co_await timeout.run(std::move(work));
}

}  // namespace ferry
