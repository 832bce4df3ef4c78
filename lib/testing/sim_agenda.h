#pragma once

#include <ferry/function.h>
#include <ferry/kernel.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace ferry::testing {

/// What is to happen at which virtual time. What falls on the same time happens in the order it was
/// entered.
class SimAgenda {
 public:
  struct Key {
    TimePoint when;
    std::uint64_t number;
    std::uint32_t slot;
  };

  Key add(TimePoint when, Function<void()> what) {
    const auto slot = static_cast<std::uint32_t>(free_.empty() ? slots_.size() : free_.back());
    if (free_.empty()) {
      slots_.emplace_back();
      free_.reserve(slots_.capacity());
    } else {
      free_.pop_back();
    }
    const Key key{when, ++last_number_, slot};
    slots_[slot] = {key.number, std::move(what)};
    push(key);
    return key;
  }
  void remove(const Key& key) {
    if (!stale(key)) static_cast<void>(take(key));
    prune();
  }
  /// Does what is due, but not what is entered meanwhile: that is for the next time.
  void run_due(TimePoint now) {
    if (heap_.empty() || heap_.front().when > now) return;
    const std::uint64_t last = last_number_;
    std::vector<Key> later;
    while (!heap_.empty() && heap_.front().when <= now) {
      const Key key = pop();
      // What came before may have removed it.
      if (stale(key)) continue;
      if (key.number > last) {
        later.push_back(key);
        continue;
      }
      take(key)();
    }
    for (const Key& key : later) push(key);
    prune();
  }
  /// When the first of it is due; TimePoint::max() if there is nothing.
  TimePoint next() const noexcept { return heap_.empty() ? TimePoint::max() : heap_.front().when; }
  void clear() noexcept {
    heap_.clear();
    free_.clear();
    // What goes away may look here again.
    std::exchange(slots_, {}).clear();
  }

 private:
  struct Slot {
    std::uint64_t number = 0;  // 0: free
    Function<void()> what;
  };

  static bool later_than(const Key& a, const Key& b) noexcept {
    return a.when != b.when ? a.when > b.when : a.number > b.number;
  }
  bool stale(const Key& key) const noexcept {
    return key.slot >= slots_.size() || slots_[key.slot].number != key.number;
  }
  Function<void()> take(const Key& key) noexcept {
    Slot& slot = slots_[key.slot];
    slot.number = 0;
    free_.push_back(key.slot);  // there is room for all
    return std::move(slot.what);
  }
  void push(const Key& key) {
    heap_.push_back(key);
    std::push_heap(heap_.begin(), heap_.end(), later_than);
  }
  Key pop() noexcept {
    std::pop_heap(heap_.begin(), heap_.end(), later_than);
    const Key key = heap_.back();
    heap_.pop_back();
    return key;
  }
  /// What was removed stays in the heap until it would be first.
  void prune() noexcept {
    while (!heap_.empty() && stale(heap_.front())) pop();
  }

  std::vector<Key> heap_;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_;
  std::uint64_t last_number_ = 0;
};

}  // namespace ferry::testing
