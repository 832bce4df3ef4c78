#pragma once

#include <ferry/wait_list.h>

namespace ferry {

/// A flag that tasks wait for, like asyncio.Event.
/// https://docs.python.org/3/library/asyncio-sync.html#event
class Event {
 public:
  class [[nodiscard]] Wait final : public WaitNode {
   public:
    explicit Wait(Event& event) noexcept : event_(event) {}
    bool await_ready() const noexcept { return event_.set_; }
    void await_suspend(std::coroutine_handle<> coroutine) { wait(event_.waiters_, coroutine); }
    void await_resume() {
      unlink();
      resumed();
    }
    std::string_view what() const noexcept override { return "event"; }

   private:
    Event& event_;  // the caller's
  };

  /// `co_await event.wait()`: does not wait if it is set.
  Wait wait() noexcept { return Wait(*this); }
  /// Wakes all who wait now, also if `clear` follows at once.
  void set() {
    set_ = true;
    waiters_.wake_all();
  }
  void clear() noexcept { set_ = false; }
  bool is_set() const noexcept { return set_; }
  /// How many tasks wait for it. Takes time in proportion.
  std::size_t n_waiting() const noexcept { return waiters_.size(); }

 private:
  WaitList waiters_;
  bool set_ = false;
};

}  // namespace ferry
