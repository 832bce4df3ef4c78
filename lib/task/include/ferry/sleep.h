#pragma once

#include <ferry/task_core.h>
#include <ferry/timer.h>

#include <chrono>
#include <cmath>
#include <optional>
#include <stdexcept>
#include <utility>

namespace ferry {

/// What `sleep` returns: to be awaited once.
class [[nodiscard]] Sleep : public Suspension {
 public:
  explicit Sleep(Duration delay) noexcept : delay_(delay) {}
  Sleep(Sleep&& other) noexcept : Suspension(std::move(other)), delay_(other.delay_) {}

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> coroutine);
  void await_resume() { resumed(); }
  std::string_view what() const noexcept override { return "sleep"; }

 private:
  bool cancel(std::string_view message) override;

  Duration delay_;
  std::optional<Timer> timer_;
};

/// Lets the task rest for `delay`, never less; zero or less: for one turn of the loop. Cancelling
/// it leaves no timer behind.
inline Sleep sleep(Duration delay) noexcept {
  return Sleep(delay);
}
/// Of a floating point duration: throws std::invalid_argument for what is no number.
template <class Rep, class Period>
requires std::is_floating_point_v<Rep> Sleep sleep(std::chrono::duration<Rep, Period> delay) {
  if (std::isnan(delay.count())) throw std::invalid_argument("sleep: the delay is not a number");
  const std::chrono::duration<double, Duration::period> ticks = delay;
  if (ticks >= Duration::max()) return Sleep(Duration::max());
  if (ticks <= Duration::zero()) return Sleep(Duration::zero());
  return Sleep(std::chrono::duration_cast<Duration>(ticks));
}

/// The same with a value for the one who awaits it.
template <class T>
class [[nodiscard]] SleepFor final : public Sleep {
 public:
  SleepFor(Duration delay, T value) : Sleep(delay), value_(std::move(value)) {}
  T await_resume() {
    Sleep::await_resume();
    return std::move(value_);
  }

 private:
  T value_;
};
template <class T>
SleepFor<T> sleep(Duration delay, T value) {
  return SleepFor<T>(delay, std::move(value));
}

}  // namespace ferry
