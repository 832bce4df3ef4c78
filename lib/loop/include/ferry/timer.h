#pragma once

#include <ferry/function.h>
#include <ferry/kernel.h>

#include <cstdint>

namespace ferry {

class EventLoop;
struct TimerNode;

/// A timer as a member object: its destructor cancels, so a callback may capture the `this` of the
/// object that holds it. `set` again replaces; pushing a deadline back (an idle timeout on every
/// message) is O(1) and touches no heap. For the loop's thread; may outlive the loop, and
/// then never fires.
class Timer {
 public:
  /// An idle timer that calls `callback` each time a deadline set on it has come.
  Timer(EventLoop& loop, Function<void()> callback);
  Timer(Timer&&) = delete;
  ~Timer();

  /// Fires once, `delay` from now; replaces what was set before.
  void set(Duration delay);
  void set_at(TimePoint when);
  void cancel() noexcept;
  /// Set and not yet fired.
  bool active() const noexcept;

 private:
  friend class TimerQueue;
  EventLoop* loop_;
  TimerNode* node_;
};

}  // namespace ferry
