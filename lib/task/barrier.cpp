#include <ferry/barrier.h>

namespace ferry {

class Barrier::Change final : public WaitNode {
 public:
  explicit Change(WaitList& waiters) noexcept : waiters_(waiters) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> coroutine) { wait(waiters_, coroutine); }
  void await_resume() {
    unlink();
    resumed();
  }
  std::string_view what() const noexcept override { return "barrier"; }

 private:
  WaitList& waiters_;  // the barrier's
};

Barrier::Barrier(std::size_t parties) : parties_(parties) {
  if (parties == 0) throw std::invalid_argument("Barrier: no parties");
}

void Barrier::set(State state) {
  state_ = state;
  waiters_.wake_all();
}

Coro<std::size_t> Barrier::wait() {
  while (state_ == State::draining || state_ == State::resetting) co_await Change(waiters_);
  if (state_ == State::broken) throw BrokenBarrierError("the barrier was aborted");
  struct Inside {
    Barrier& barrier;
    explicit Inside(Barrier& b) noexcept : barrier(b) { ++barrier.count_; }
    ~Inside() {
      if (--barrier.count_ > 0) return;
      if (barrier.state_ == State::draining || barrier.state_ == State::resetting) {
        barrier.set(State::filling);
      }
    }
  };
  const Inside inside(*this);
  if (count_ == parties_) {
    next_index_ = 0;
    set(State::draining);
    co_return parties_ - 1;
  }
  while (state_ == State::filling) co_await Change(waiters_);
  if (state_ == State::broken) throw BrokenBarrierError("the barrier was aborted");
  if (state_ == State::resetting) throw BrokenBarrierError("the barrier was reset");
  // Counted on the way out: who came before a waiter that was cancelled would share its number.
  co_return next_index_++;
}

void Barrier::reset() {
  if (state_ == State::draining) return;  // it is as new when they have left
  set(count_ > 0 ? State::resetting : State::filling);
}

std::string_view Barrier::state() const noexcept {
  switch (state_) {
    case State::filling:
      return "filling";
    case State::draining:
      return "draining";
    case State::resetting:
      return "resetting";
    case State::broken:
      break;
  }
  return "broken";
}

void Barrier::abort() {
  set(State::broken);
}

}  // namespace ferry
