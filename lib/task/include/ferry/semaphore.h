#pragma once

#include <ferry/lock.h>

#include <cstddef>
#include <stdexcept>

namespace ferry {

/// A number of permits, like asyncio.Semaphore: strictly first come, first served.
/// https://docs.python.org/3/library/asyncio-sync.html#semaphore
class Semaphore {
 public:
  class [[nodiscard]] Acquire final : public WaitNode {
   public:
    explicit Acquire(Semaphore& semaphore) noexcept : semaphore_(semaphore) {}
    bool await_ready() noexcept { return semaphore_.try_acquire(); }
    void await_suspend(std::coroutine_handle<> coroutine) { wait(semaphore_.waiters_, coroutine); }
    void await_resume();
    std::string_view what() const noexcept override { return "semaphore"; }

   private:
    Semaphore& semaphore_;  // the caller's
  };

  explicit Semaphore(std::size_t permits = 1) noexcept : permits_(permits) {}
  Semaphore(const Semaphore&) = delete;
  Semaphore& operator=(const Semaphore&) = delete;
  virtual ~Semaphore() = default;

  /// `co_await semaphore.acquire()`.
  Acquire acquire() noexcept { return Acquire(*this); }
  /// `auto guard = co_await semaphore.scoped()`.
  ScopedAcquire<Semaphore, Acquire> scoped() noexcept {
    return ScopedAcquire<Semaphore, Acquire>(*this);
  }
  /// False if it would have to wait.
  bool try_acquire() noexcept;
  /// The permit goes to the first that waits.
  virtual void release();
  /// `acquire` would wait.
  bool locked() const noexcept { return permits_ == 0 || !waiters_.empty(); }
  /// Permits that are free.
  std::size_t value() const noexcept { return permits_; }
  /// How many tasks wait for it. Takes time in proportion.
  std::size_t n_waiting() const noexcept { return waiters_.size(); }

 protected:
  /// Free, and not promised to one who waits.
  std::size_t permits() const noexcept { return permits_; }
  std::size_t promised() const noexcept { return promised_; }

 private:
  void hand_out();

  WaitList waiters_;
  std::size_t permits_;
  std::size_t promised_ = 0;  // to those woken that do not run yet
};

/// A Semaphore that is never released more often than acquired: that throws std::invalid_argument.
class BoundedSemaphore final : public Semaphore {
 public:
  explicit BoundedSemaphore(std::size_t permits = 1) noexcept
      : Semaphore(permits), bound_(permits) {}
  void release() override;

 private:
  std::size_t bound_;
};

}  // namespace ferry
