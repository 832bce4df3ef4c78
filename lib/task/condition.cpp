#include <ferry/condition.h>

namespace ferry {

class Condition::Notification final : public WaitNode {
 public:
  explicit Notification(WaitList& waiters) noexcept : waiters_(waiters) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> coroutine) { wait(waiters_, coroutine); }
  void await_resume() {
    unlink();
    resumed();
  }
  std::string_view what() const noexcept override { return "condition"; }

 private:
  WaitList& waiters_;  // the condition's
};

Coro<> Condition::wait() {
  if (!locked()) throw std::logic_error("Condition::wait: the lock is not held");
  lock_->release();
  std::exception_ptr failure;
  try {
    co_await Notification(waiters_);
  } catch (...) {
    failure = std::current_exception();
  }
  for (bool acquired = false; !acquired;) {
    try {
      co_await lock_->acquire();
      acquired = true;
    } catch (const CancelledError&) {
      failure = std::current_exception();
    }
  }
  if (failure) {
    // It may have been the one notified.
    wake(1);
    std::rethrow_exception(failure);
  }
}

void Condition::wake(std::size_t count) {
  while (count > 0 && waiters_.wake_next()) --count;
}

void Condition::notify(std::size_t count) {
  if (!locked()) throw std::logic_error("Condition::notify: the lock is not held");
  wake(count);
}

void Condition::notify_all() {
  notify(waiters_.size());
}

}  // namespace ferry
