#pragma once

#include <ferry/function.h>
#include <ferry/kernel.h>
#include <ferry/timer.h>

#include <ferry/source_location.h>
#include <cstdint>
#include <memory>
#include <vector>

namespace ferry {

/// One timer: a call_later's, freed when it fired or was cancelled, or a Timer's, which lasts as
/// long as the Timer. Its address is stable.
struct alignas(64) TimerNode {
  Function<void()> callback;
  std::uint64_t ticket = 0;  // of a call_later, for its handle; 0: none
  // -- the second cache line
  std::uint32_t slot = 0;
  std::uint32_t order = 0;  // of the last setting; ties fire in this order
  bool armed = false;
  bool running = false;
  std::uint32_t batch = 0;  // the one it was last set in
  TimePoint when{};         // the deadline that counts
  TimePoint entry_when{};   // the one its heap entry has, never later than `when`
  SourceLocation where;
  Timer* owner = nullptr;  // null: a call_later
};

/// All timers of a loop: a 4-ary heap of small entries beside a pool of nodes. Cancelling touches
/// the node only and leaves a stale entry behind, which goes when it surfaces or when stale entries
/// outnumber live ones four to one. Pushing a deadline back leaves the entry where it is, to be
/// moved when it surfaces.
class TimerQueue {
 public:
  TimerQueue() = default;
  TimerQueue(const TimerQueue&) = delete;
  TimerQueue& operator=(const TimerQueue&) = delete;
  ~TimerQueue();

  /// A one-shot timer, whose callback is to be put into it before anything fires.
  TimerNode& add(TimePoint when, SourceLocation where);
  /// Cancels a one-shot if `ticket` is still its; false if it has fired or was cancelled.
  bool cancel(TimerNode& node, std::uint64_t ticket);

  /// A node for a Timer, unarmed; given back by `remove`, also from inside its own callback.
  TimerNode& add_owned(Timer& owner, Function<void()> callback);
  void remove(TimerNode& node);
  void set(TimerNode& node, TimePoint when);
  void unset(TimerNode& node) noexcept;

  std::size_t size() const noexcept { return armed_; }
  /// The earliest time something may be due; TimePoint::max() if nothing is set.
  TimePoint next();
  /// Begins a batch: all that have been set and are due at `now`, as in a turn of asyncio's loop.
  /// What is set from now on waits for the next one, so that timers which set themselves for the
  /// past starve no other. Goes on with a batch that was not taken to its end.
  void begin_batch(TimePoint now);
  /// Takes the earliest timer of the batch; null at its end. To be followed by `fired`, and when
  /// enough were taken by `next`.
  TimerNode* take_due();
  void fired(TimerNode& node);
  /// How many have.
  std::uint64_t fired_count() const noexcept { return fired_count_; }

  /// Destroys all callbacks; Timers stay, detached from their loop.
  void clear();

 private:
  friend struct TimerOrders;  // a test's, which lets many settings pass

  struct Entry {
    std::int64_t when;
    std::uint32_t order;
    std::uint32_t slot;
  };
  static constexpr std::size_t kChunk = 256;

  static bool before(const Entry& a, const Entry& b) noexcept {
    return a.when != b.when ? a.when < b.when : static_cast<std::int32_t>(a.order - b.order) < 0;
  }
  bool live(const Entry& entry) const noexcept { return live_[entry.slot] == entry.order; }
  TimerNode& node(std::uint32_t slot) noexcept { return chunks_[slot / kChunk][slot % kChunk]; }
  TimerNode& allocate();
  void release(TimerNode& node);
  void set_order(TimerNode& node) noexcept;
  void insert(TimerNode& node);
  void drop_entry(TimerNode& node) noexcept;
  void push(Entry entry);
  void pop();
  TimerNode* find_due();
  bool only_top_is_due() const noexcept;
  bool set_top_aside() noexcept;
  void put_back();
  void sift_down(std::size_t index, Entry entry) noexcept;
  void purge_if_stale();
  void purge();

  std::vector<Entry> heap_;
  std::vector<Entry> aside_;         // due, but set in this batch; back in the heap by `next`
  std::vector<std::uint32_t> live_;  // by slot: the order of its entry in the heap; 0: it has none
  std::vector<std::unique_ptr<TimerNode[]>> chunks_;
  std::vector<std::uint32_t> free_;
  std::size_t armed_ = 0;
  std::uint64_t fired_count_ = 0;
  std::size_t stale_ = 0;
  std::uint32_t last_order_ = 0;
  std::uint32_t batch_ = 0;  // not told from the one 2^32 batches ago: that costs a timer one
  bool in_batch_ = false;    // there may be more of it
  TimePoint batch_end_{};    // the latest deadline that is of it
  std::uint64_t last_ticket_ = 0;
};

}  // namespace ferry
