#include <ferry/timeout.h>

#include <new>
#include <utility>

namespace ferry {

void Timeout::enter() {
  if (state_ != State::created) throw std::logic_error("Timeout: it has been used already");
  TaskCore* const task = TaskCore::current();
  if (!task) throw std::logic_error("Timeout: to be used inside a task");
  task_ = task;
  cancelling_ = task->cancelling();
  state_ = State::active;
  if (delay_) when_ = task->loop().after(*delay_);
  arm();
}

std::string_view Timeout::state() const noexcept {
  switch (state_) {
    case State::created:
      return "created";
    case State::active:
      return "active";
    case State::expiring:
      return "expiring";
    case State::expired:
      return "expired";
    case State::left:
      break;
  }
  return "finished";
}

void Timeout::arm() {
  soon_.cancel();
  if (!when_) {
    timer_.reset();
    return;
  }
  if (*when_ <= task_->loop().time()) {
    // Not by a timer: it would come after waits of a turn.
    timer_.reset();
    soon_ = task_->loop().call_soon([this] { expire(); });
    return;
  }
  if (!timer_) timer_.emplace(task_->loop(), [this] { expire(); });
  timer_->set_at(*when_);
}

void Timeout::expire() {
  state_ = State::expiring;
  task_->cancel();
}

void Timeout::leave(std::exception_ptr failure) {
  timer_.reset();
  soon_.cancel();
  TaskCore& task = *std::exchange(task_, nullptr);
  if (state_ == State::active) {
    state_ = State::left;
  } else {
    state_ = State::expired;
    // Ours was the only request? Then the cancellation is ours, too.
    if (task.uncancel() <= cancelling_ && failure) {
      try {
        std::rethrow_exception(failure);
      } catch (const CancelledError&) {
        throw TimeoutError("timeout");
      }
    }
  }
  if (failure) std::rethrow_exception(failure);
}

void Timeout::reschedule(std::optional<TimePoint> when) {
  switch (state_) {
    case State::created:
      throw std::logic_error("Timeout::reschedule: it has not begun");
    case State::expiring:
      throw std::logic_error("Timeout::reschedule: it is expiring");
    case State::expired:
      throw std::logic_error("Timeout::reschedule: it has expired");
    case State::left:
      throw std::logic_error("Timeout::reschedule: it is over");
    case State::active:
      break;
  }
  when_ = when;
  arm();
}

namespace {

/// Waits for the end of a future without touching its result.
class Ended final : public Suspension {
 public:
  explicit Ended(FutureState& future) noexcept : future_(future) {}
  ~Ended() {
    if (callback_ != 0 && !future_.done()) future_.remove_done_callback(callback_);
  }
  bool await_ready() const noexcept { return future_.done(); }
  void await_suspend(std::coroutine_handle<> coroutine) {
    suspend(coroutine);
    try {
      callback_ = future_.add_done_callback([this](FutureState&) { resume_now(); });
    } catch (const std::bad_alloc&) {
      unsuspend();
      throw;
    }
  }
  void await_resume() { resumed(); }

 private:
  /// Waits on, for the end; then throws, whatever the future has come to.
  bool cancel(std::string_view message) override {
    if (!future_.cancel(message)) return false;
    cancelled_with(message);
    return true;
  }
  FutureState* awaited() const noexcept override { return &future_; }

  FutureState& future_;  // held by who waits
  FutureState::CallbackId callback_ = 0;
};

}  // namespace

Coro<> detail::cancel_and_wait(FutureState& future) {
  future.cancel({});
  co_await Ended(future);
}

}  // namespace ferry
