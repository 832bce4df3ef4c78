#pragma once

#include <ferry/task_core.h>

#include <cstddef>
#include <utility>

namespace ferry {

class WaitList;

/// A task's place in the queue of a lock, an event, a queue: it lies in the frame of the coroutine
/// that waits, so waiting allocates nothing. It leaves the queue when the task goes on, or when it
/// is cancelled; in between, woken and not yet running, it still holds its place.
class WaitNode : public Suspension {
 public:
  WaitNode() = default;
  /// Woken, and not by a cancellation.
  bool woken() const noexcept { return woken_; }

 protected:
  WaitNode(WaitNode&& other) noexcept : Suspension(std::move(other)) {}
  ~WaitNode() { unlink(); }

  /// Joins the end of the queue and waits.
  void wait(WaitList& list, std::coroutine_handle<> coroutine);
  void unlink() noexcept;
  bool cancel(std::string_view message) override;

 private:
  friend class WaitList;
  WaitNode* next_ = nullptr;
  WaitNode* previous_ = nullptr;
  WaitList* list_ = nullptr;
  bool woken_ = false;
};

/// Tasks that wait, first come first served.
class WaitList {
 public:
  WaitList() = default;
  WaitList(const WaitList&) = delete;
  WaitList& operator=(const WaitList&) = delete;
  /// Whoever still waits is on its own: it is only to be destroyed or cancelled.
  ~WaitList();

  bool empty() const noexcept { return first_ == nullptr; }
  std::size_t size() const noexcept;
  /// Wakes the first, unless it is woken already.
  void wake_first();
  /// Wakes the first that is not woken yet. False if there is none.
  bool wake_next();
  void wake_all();

 private:
  friend class WaitNode;
  WaitNode* first_ = nullptr;
  WaitNode* last_ = nullptr;
  WaitNode* sleeping_ = nullptr;  // the first not woken: those before it are, those behind are not
};

}  // namespace ferry
