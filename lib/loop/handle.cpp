#include "loop_state.h"

#include <ferry/handle.h>

namespace ferry {

void Handle::cancel() {
  if (!slot_ || slot_->ticket != ticket_) return;
  cancelled_ = true;
  // Moved out first: what the callback captured may do anything in its destructor.
  Function<void()> callback = std::move(slot_->callback);
}

void TimerHandle::cancel() {
  if (!node_) return;
  if (!loop_->state_->timers.cancel(*node_, ticket_)) return;
  cancelled_ = true;
  timer_cancelled(*loop_, *loop_->state_);
}

Timer::Timer(EventLoop& loop, Function<void()> callback)
    : loop_(&loop), node_(&loop.state_->timers.add_owned(*this, std::move(callback))) {}

Timer::~Timer() {
  if (!loop_) return;
  loop_->state_->timers.remove(*node_);
  timer_cancelled(*loop_, *loop_->state_);
}

void Timer::set(Duration delay) {
  if (!loop_) return;
  const TimePoint now = loop_->time();
  set_at(delay > TimePoint::max() - now ? TimePoint::max() : now + delay);
}

void Timer::set_at(TimePoint when) {
  if (!loop_) return;
  loop_->state_->timers.set(*node_, when);
  loop_->arm_timer(when);
}

void Timer::cancel() noexcept {
  if (!loop_) return;
  loop_->state_->timers.unset(*node_);
  timer_cancelled(*loop_, *loop_->state_);
}

bool Timer::active() const noexcept {
  return loop_ && node_->armed;
}

}  // namespace ferry
