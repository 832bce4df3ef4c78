#include <ferry/sleep.h>

namespace ferry {

void Sleep::await_suspend(std::coroutine_handle<> coroutine) {
  const bool yield = delay_ <= Duration::zero();
  if (!yield) {
    EventLoop* const loop = running_loop();
    if (!loop) throw std::logic_error("co_await outside of a task");
    timer_.emplace(*loop, [this] { resume_now(); });
    timer_->set(delay_);
  }
  suspend(coroutine);
  if (yield) wake();
}

bool Sleep::cancel(std::string_view message) {
  // A yield is on its way already.
  if (!timer_) return false;
  timer_.reset();
  cancelled_with(message);
  wake();
  return true;
}

}  // namespace ferry
