#pragma once

#include <ferry/wait_list.h>

#include <optional>
#include <stdexcept>
#include <utility>

namespace ferry {

/// Releases what it guards when it ends: what `scoped` of a Lock, Semaphore or Condition gives.
template <class Lockable>
class [[nodiscard]] ScopedLock {
 public:
  ScopedLock() noexcept = default;
  explicit ScopedLock(Lockable& lockable) noexcept : lockable_(&lockable) {}
  ScopedLock(ScopedLock&& other) noexcept : lockable_(std::exchange(other.lockable_, nullptr)) {}
  ScopedLock& operator=(ScopedLock other) noexcept {
    std::swap(lockable_, other.lockable_);
    return *this;
  }
  ~ScopedLock() {
    try {
      release();
    } catch (const std::logic_error&) {
      // Not held: a task that waits for a Condition is destroyed with its loop.
    }
  }
  /// Before the end of the scope.
  void release() {
    if (lockable_) std::exchange(lockable_, nullptr)->release();
  }

 private:
  Lockable* lockable_ = nullptr;
};

/// `co_await x.scoped()`: acquires, and gives a guard.
template <class Lockable, class Acquire>
class [[nodiscard]] ScopedAcquire {
 public:
  using TaskAwaiter = void;

  explicit ScopedAcquire(Lockable& lockable) : lockable_(lockable), acquire_(lockable) {}
  bool await_ready() { return acquire_.await_ready(); }
  void await_suspend(std::coroutine_handle<> coroutine) { acquire_.await_suspend(coroutine); }
  ScopedLock<Lockable> await_resume() {
    acquire_.await_resume();
    return ScopedLock<Lockable>(lockable_);
  }

 private:
  Lockable& lockable_;  // the caller's
  Acquire acquire_;
};

/// Mutual exclusion of tasks, like asyncio.Lock: strictly first come, first served. For the tasks
/// of one loop; no thread waits. Must outlive those that wait for it.
/// https://docs.python.org/3/library/asyncio-sync.html#lock
class Lock {
 public:
  class [[nodiscard]] Acquire final : public WaitNode {
   public:
    explicit Acquire(Lock& lock) noexcept : lock_(lock) {}
    bool await_ready() noexcept { return lock_.try_acquire(); }
    void await_suspend(std::coroutine_handle<> coroutine) { wait(lock_.waiters_, coroutine); }
    void await_resume();
    std::string_view what() const noexcept override { return "lock"; }

   private:
    Lock& lock_;  // the caller's
  };

  /// `co_await lock.acquire()`: does not wait if the lock is free and nobody waits.
  Acquire acquire() noexcept { return Acquire(*this); }
  /// `auto guard = co_await lock.scoped()`.
  ScopedAcquire<Lock, Acquire> scoped() noexcept { return ScopedAcquire<Lock, Acquire>(*this); }
  /// False if it would have to wait.
  bool try_acquire() noexcept;
  /// The first that waits gets it, in a turn of its own. Throws std::logic_error if it is not held.
  void release();
  bool locked() const noexcept { return locked_; }
  /// How many tasks wait for it. Takes time in proportion.
  std::size_t n_waiting() const noexcept { return waiters_.size(); }

 private:
  WaitList waiters_;
  bool locked_ = false;
};

}  // namespace ferry
