#pragma once

#include <ferry/function.h>
#include <ferry/kernel.h>

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace ferry::testing {

/// What is to happen at which virtual time. What falls on the same time happens in the order it was
/// entered.
class SimAgenda {
 public:
  using Key = std::pair<TimePoint, std::uint64_t>;

  Key add(TimePoint when, Function<void()> what) {
    const Key key{when, next_number_++};
    entries_.emplace(key, std::move(what));
    return key;
  }
  void remove(const Key& key) { entries_.erase(key); }
  /// Does what is due, but not what is entered meanwhile: that is for the next time.
  void run_due(TimePoint now) {
    if (entries_.empty() || entries_.begin()->first.first > now) return;
    std::vector<Key> due;
    for (auto it = entries_.begin(); it != entries_.end() && it->first.first <= now; ++it) {
      due.push_back(it->first);
    }
    for (const Key& key : due) {
      // What came before may have removed it.
      if (auto entry = entries_.extract(key)) entry.mapped()();
    }
  }
  void clear() noexcept { std::exchange(entries_, {}).clear(); }
  /// When the first of it is due; TimePoint::max() if there is nothing.
  TimePoint next() const noexcept {
    return entries_.empty() ? TimePoint::max() : entries_.begin()->first.first;
  }

 private:
  std::map<Key, Function<void()>> entries_;
  std::uint64_t next_number_ = 0;
};

}  // namespace ferry::testing
