#pragma once

#include <ferry/kernel.h>

#include <cstdint>

namespace ferry {

class EventLoop;
struct ReadySlot;
struct TimerNode;

/// What call_soon gives back: cancels the callback as long as it has not begun.
/// For the loop's thread, and only while the loop exists. Dropping it cancels nothing.
class Handle {
 public:
  Handle() noexcept = default;
  /// The callback will not run; it and all it captured are destroyed now. Idempotent;
  /// harmless after the callback ran.
  void cancel();
  /// True if `cancel` came in time.
  bool cancelled() const noexcept { return cancelled_; }

 private:
  friend class EventLoop;
  Handle(ReadySlot& slot, std::uint64_t ticket) noexcept : slot_(&slot), ticket_(ticket) {}

  ReadySlot* slot_ = nullptr;
  std::uint64_t ticket_ = 0;
  bool cancelled_ = false;
};

/// What call_later and call_at give back; as Handle.
class TimerHandle {
 public:
  TimerHandle() noexcept = default;
  void cancel();
  bool cancelled() const noexcept { return cancelled_; }
  /// The time it was set for, also after it fired or was cancelled.
  TimePoint when() const noexcept { return when_; }

 private:
  friend class EventLoop;
  friend class Timer;
  TimerHandle(EventLoop& loop, TimerNode& node, std::uint64_t ticket, TimePoint when) noexcept
      : loop_(&loop), node_(&node), ticket_(ticket), when_(when) {}

  EventLoop* loop_ = nullptr;
  TimerNode* node_ = nullptr;
  std::uint64_t ticket_ = 0;
  TimePoint when_{};
  bool cancelled_ = false;
};

}  // namespace ferry
