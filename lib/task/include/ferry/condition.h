#pragma once

#include <ferry/coro.h>
#include <ferry/lock.h>

#include <cstddef>
#include <memory>
#include <utility>

namespace ferry {

/// Tasks that wait, holding a lock, until another says that something changed; like
/// asyncio.Condition. https://docs.python.org/3/library/asyncio-sync.html#condition
class Condition {
 public:
  /// With a lock of its own.
  Condition() : own_(std::make_unique<Lock>()), lock_(own_.get()) {}
  /// With a lock that others use too; it must outlive this.
  explicit Condition(Lock& lock) noexcept : lock_(&lock) {}

  Lock::Acquire acquire() noexcept { return lock_->acquire(); }
  ScopedAcquire<Lock, Lock::Acquire> scoped() noexcept { return lock_->scoped(); }
  void release() { lock_->release(); }
  bool locked() const noexcept { return lock_->locked(); }
  /// How many tasks wait to be notified. Takes time in proportion.
  std::size_t n_waiting() const noexcept { return waiters_.size(); }

  /// Releases the lock, waits to be notified, and has the lock again when it returns or throws,
  /// however often it is cancelled. It may wake without a notification meant for it: check.
  /// Throws std::logic_error if the lock is not held.
  Coro<> wait();
  /// Waits until `predicate()` is true; gives what it returned.
  template <class Predicate>
  auto wait_for(Predicate predicate) -> Coro<std::decay_t<std::invoke_result_t<Predicate&>>> {
    auto result = predicate();
    while (!result) {
      co_await wait();
      result = predicate();
    }
    co_return result;
  }
  /// Wakes up to `count` of those who wait, once the lock is released. Throws std::logic_error if
  /// it is not held.
  void notify(std::size_t count = 1);
  void notify_all();

 private:
  class Notification;
  void wake(std::size_t count);

  std::unique_ptr<Lock> own_;
  Lock* lock_;
  WaitList waiters_;
};

}  // namespace ferry
