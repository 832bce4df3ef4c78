#include "timer_queue.h"

#include <algorithm>
#include <new>

namespace ferry {

namespace {

std::int64_t ticks(TimePoint when) noexcept {
  return when.time_since_epoch().count();
}

/// Doubles it when it grows: `reserve` alone takes just what it is told, and to grow by a chunk at
/// a time would copy everything for each chunk.
template <class T>
void make_room(std::vector<T>& vector, std::size_t size) {
  if (vector.capacity() < size) vector.reserve(std::max(size, 2 * vector.capacity()));
}

}  // namespace

TimerQueue::~TimerQueue() {
  clear();
}

TimerNode& TimerQueue::add(TimePoint when, SourceLocation where) {
  TimerNode& timer = allocate();
  timer.where = where;
  timer.ticket = ++last_ticket_;
  timer.when = when;
  timer.armed = true;
  set_order(timer);
  insert(timer);
  ++armed_;
  return timer;
}

bool TimerQueue::cancel(TimerNode& timer, std::uint64_t ticket) {
  if (ticket == 0 || timer.ticket != ticket) return false;
  timer.ticket = 0;
  timer.armed = false;
  --armed_;
  drop_entry(timer);
  release(timer);
  return true;
}

TimerNode& TimerQueue::add_owned(Timer& owner, Function<void()> callback) {
  TimerNode& timer = allocate();
  timer.callback = std::move(callback);
  timer.owner = &owner;
  return timer;
}

void TimerQueue::remove(TimerNode& timer) {
  unset(timer);
  timer.owner = nullptr;
  if (timer.running) return;  // `fired` frees it when its callback has returned
  drop_entry(timer);
  release(timer);
}

void TimerQueue::set(TimerNode& timer, TimePoint when) {
  if (!timer.armed) ++armed_;
  timer.armed = true;
  timer.when = when;
  set_order(timer);
  if (live_[timer.slot] != 0 && timer.entry_when < when) return;  // moves when it surfaces
  drop_entry(timer);
  insert(timer);
  purge_if_stale();
}

void TimerQueue::unset(TimerNode& timer) noexcept {
  if (timer.armed) --armed_;
  timer.armed = false;
}

TimePoint TimerQueue::next() {
  put_back();
  while (!heap_.empty()) {
    const Entry top = heap_.front();
    if (live(top)) return TimePoint(Duration(top.when));
    --stale_;
    pop();
  }
  return TimePoint::max();
}

/// Brings the earliest of the batch to the top; null if there is none. All that fire pass here.
inline TimerNode* TimerQueue::find_due() {
  while (!heap_.empty()) {
    const Entry top = heap_.front();
    if (top.when > ticks(batch_end_)) return nullptr;
    if (!live(top)) {
      --stale_;
      pop();
      continue;
    }
    TimerNode& timer = node(top.slot);
    if (!timer.armed) {
      live_[top.slot] = 0;
      pop();
    } else if (timer.when > TimePoint(Duration(top.when))) {
      // It was pushed back: now is the time to move it.
      pop();
      insert(timer);
    } else if (timer.batch != batch_) {
      return &timer;
    } else if (only_top_is_due() || !set_top_aside()) {
      return nullptr;
    }
  }
  return nullptr;
}

void TimerQueue::begin_batch(TimePoint now) {
  if (in_batch_ && find_due()) return;
  put_back();
  in_batch_ = true;
  batch_end_ = now;
  ++batch_;
}

TimerNode* TimerQueue::take_due() {
  TimerNode* const timer = find_due();
  if (!timer) {
    in_batch_ = false;
    return nullptr;
  }
  live_[timer->slot] = 0;
  pop();
  timer->armed = false;
  timer->ticket = 0;
  timer->running = true;
  --armed_;
  return timer;
}

void TimerQueue::fired(TimerNode& timer) {
  ++fired_count_;
  timer.running = false;
  if (timer.owner) return;
  drop_entry(timer);
  release(timer);
}

void TimerQueue::clear() {
  do {  // again, should a destructor set a timer
    heap_.clear();
    aside_.clear();
    stale_ = armed_ = 0;
    std::fill(live_.begin(), live_.end(), 0);
    for (std::uint32_t slot = 0; slot < live_.size(); ++slot) {
      TimerNode& timer = node(slot);
      if (Timer* owner = std::exchange(timer.owner, nullptr)) {
        owner->loop_ = nullptr;
        owner->node_ = nullptr;
      }
      timer.armed = false;
      timer.ticket = 0;
      timer.callback.reset();
    }
  } while (armed_ > 0);
  // The nodes stay, so that a handle of a closed loop still finds that it is too late.
  free_.clear();
  for (std::uint32_t slot = 0; slot < live_.size(); ++slot) free_.push_back(slot);
}

TimerNode& TimerQueue::allocate() {
  if (free_.empty()) {
    const auto first = static_cast<std::uint32_t>(chunks_.size() * kChunk);
    const std::size_t size = first + kChunk;
    make_room(free_, size);
    make_room(heap_, size);  // so much that `push` can do without more
    make_room(live_, size);
    chunks_.push_back(std::make_unique<TimerNode[]>(kChunk));
    live_.resize(size);
    for (std::uint32_t i = kChunk; i-- > 0;) {
      chunks_.back()[i].slot = first + i;
      free_.push_back(first + i);
    }
  }
  TimerNode& timer = node(free_.back());
  free_.pop_back();
  return timer;
}

/// The callback goes before the node is free: its destructor may do anything, also set timers.
void TimerQueue::release(TimerNode& timer) {
  timer.callback.reset();
  free_.push_back(timer.slot);  // reserved by `allocate`
  purge_if_stale();
}

void TimerQueue::set_order(TimerNode& timer) noexcept {
  if (++last_order_ == 0) ++last_order_;  // 0 means none
  timer.order = last_order_;
  timer.batch = batch_;
}

void TimerQueue::insert(TimerNode& timer) {
  timer.entry_when = timer.when;
  live_[timer.slot] = timer.order;
  push({ticks(timer.when), timer.order, timer.slot});
}

void TimerQueue::drop_entry(TimerNode& timer) noexcept {
  if (live_[timer.slot] == 0) return;
  live_[timer.slot] = 0;
  ++stale_;
}

/// Does not fail: without stale entries there is room for all nodes.
void TimerQueue::push(Entry entry) {
  try {
    heap_.push_back(entry);
  } catch (const std::bad_alloc&) {
    // What was about to be pushed counts as live already.
    live_[entry.slot] = 0;
    purge();
    live_[entry.slot] = entry.order;
    heap_.push_back(entry);
  }
  std::size_t index = heap_.size() - 1;
  while (index > 0) {
    const std::size_t parent = (index - 1) / 4;
    if (!before(entry, heap_[parent])) break;
    heap_[index] = heap_[parent];
    index = parent;
  }
  heap_[index] = entry;
}

void TimerQueue::pop() {
  const Entry last = heap_.back();
  heap_.pop_back();
  if (!heap_.empty()) sift_down(0, last);
}

bool TimerQueue::only_top_is_due() const noexcept {
  for (std::size_t child = 1; child < std::min<std::size_t>(5, heap_.size()); ++child) {
    if (heap_[child].when <= ticks(batch_end_)) return false;
  }
  return true;
}

/// False without memory: then what is behind the top waits for the next batch.
bool TimerQueue::set_top_aside() noexcept {
  try {
    aside_.push_back(heap_.front());
  } catch (const std::bad_alloc&) {
    return false;
  }
  pop();
  return true;
}

void TimerQueue::put_back() {
  while (!aside_.empty()) {
    const Entry entry = aside_.back();
    aside_.pop_back();
    if (live(entry)) {
      push(entry);
    } else {
      --stale_;
    }
  }
}

void TimerQueue::sift_down(std::size_t index, Entry entry) noexcept {
  const std::size_t size = heap_.size();
  for (;;) {
    const std::size_t first = 4 * index + 1;
    if (first >= size) break;
    std::size_t least = first;
    for (std::size_t child = first + 1; child < std::min(first + 4, size); ++child) {
      if (before(heap_[child], heap_[least])) least = child;
    }
    if (!before(heap_[least], entry)) break;
    heap_[index] = heap_[least];
    index = least;
  }
  heap_[index] = entry;
}

void TimerQueue::purge_if_stale() {
  if (stale_ > 4 * (heap_.size() + aside_.size() - stale_) + 256) purge();
}

void TimerQueue::purge() {
  for (auto* entries : {&heap_, &aside_}) {
    std::erase_if(*entries, [this](const Entry& entry) { return !live(entry); });
  }
  stale_ = 0;
  for (std::size_t i = heap_.size() / 4 + 1; i-- > 0;) {
    if (i < heap_.size()) sift_down(i, heap_[i]);
  }
}

}  // namespace ferry
