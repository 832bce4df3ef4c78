#pragma once

#include <ferry/coro.h>
#include <ferry/event.h>
#include <ferry/ring.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

namespace ferry {

/// get_nowait of an empty queue.
class QueueEmpty : public std::runtime_error {
 public:
  QueueEmpty() : std::runtime_error("the queue is empty") {}
};
/// put_nowait into a full one.
class QueueFull : public std::runtime_error {
 public:
  QueueFull() : std::runtime_error("the queue is full") {}
};
/// The queue was shut down.
class QueueShutDown : public std::runtime_error {
 public:
  QueueShutDown() : std::runtime_error("the queue is shut down") {}
};

/// The orders of the three kinds of queue.
template <class T>
class FifoItems {
 public:
  void push(T item) { items_.push_back(std::move(item)); }
  T pop() { return items_.pop_front(); }
  std::size_t size() const noexcept { return items_.size(); }

 private:
  Ring<T> items_;
};
template <class T>
class LifoItems {
 public:
  void push(T item) { items_.push_back(std::move(item)); }
  T pop() {
    T item = std::move(items_.back());
    items_.pop_back();
    return item;
  }
  std::size_t size() const noexcept { return items_.size(); }

 private:
  std::vector<T> items_;
};
template <class T>
class PriorityItems {
 public:
  void push(T item) {
    items_.push_back(std::move(item));
    std::push_heap(items_.begin(), items_.end(), later);
  }
  T pop() {
    std::pop_heap(items_.begin(), items_.end(), later);
    T item = std::move(items_.back());
    items_.pop_back();
    return item;
  }
  std::size_t size() const noexcept { return items_.size(); }

 private:
  static bool later(const T& a, const T& b) { return b < a; }

  std::vector<T> items_;
};

/// What all queues share but their items: who waits, and how much is left to do.
class QueueBase {
 public:
  QueueBase(const QueueBase&) = delete;
  QueueBase& operator=(const QueueBase&) = delete;

  std::size_t maxsize() const noexcept { return maxsize_; }
  /// One item that was got has been dealt with. Throws std::invalid_argument if called more often
  /// than items were put.
  void task_done();
  /// `co_await queue.join()`: until all that was put has been dealt with.
  Event::Wait join() noexcept { return finished_.wait(); }
  /// Items that were put and not yet dealt with.
  std::size_t unfinished_tasks() const noexcept { return unfinished_; }
  /// How many tasks wait for an item, and how many for room. Take time in proportion.
  std::size_t n_getting() const noexcept { return getters_.size(); }
  std::size_t n_putting() const noexcept { return putters_.size(); }
  bool is_shutdown() const noexcept { return shut_down_; }

 protected:
  explicit QueueBase(std::size_t maxsize) : maxsize_(maxsize) { finished_.set(); }
  ~QueueBase() = default;

  /// Waits in one of the two queues of tasks.
  class Turn final : public WaitNode {
   public:
    Turn(QueueBase& queue, WaitList& list) noexcept : queue_(queue), list_(list) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> coroutine) { wait(list_, coroutine); }
    void await_resume();
    std::string_view what() const noexcept override {
      return &list_ == &queue_.getters_ ? "queue.get" : "queue.put";
    }

   private:
    QueueBase& queue_;
    WaitList& list_;
  };

  virtual bool is_empty() const noexcept = 0;
  virtual bool is_full() const noexcept = 0;
  void item_put();
  void item_got() { putters_.wake_next(); }
  void items_dropped(std::size_t count);
  void shut_down_now();

  const std::size_t maxsize_;
  WaitList getters_;
  WaitList putters_;
  Event finished_;
  std::size_t unfinished_ = 0;
  bool shut_down_ = false;
};

/// Items from tasks for tasks, like asyncio.Queue; `T` need only be movable. Up to `maxsize` items,
/// 0 for any number. https://docs.python.org/3/library/asyncio-queue.html
template <class T, class Items = FifoItems<T>>
class Queue final : public QueueBase {
 public:
  explicit Queue(std::size_t maxsize = 0) : QueueBase(maxsize) {}

  /// `T item = co_await queue.get()`. Throws QueueShutDown once it is shut down and empty. An item
  /// is never lost to a getter that is cancelled.
  class [[nodiscard]] Get {
   public:
    using TaskAwaiter = void;

    explicit Get(Queue& queue) noexcept : queue_(queue) {}
    bool await_ready() { return !queue_.items_empty(); }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> coroutine) {
      slow_.emplace(queue_.wait_for_item());
      return slow_->await_suspend(coroutine);
    }
    T await_resume() {
      if (slow_) slow_->await_resume();
      return queue_.take();
    }

   private:
    Queue& queue_;  // the caller's
    std::optional<CoroAwaiter<void>> slow_;
  };
  Get get() noexcept { return Get(*this); }

  /// Waits for room. Throws QueueShutDown.
  Coro<> put(T item) {
    while (is_full() && !shut_down_) co_await Turn(*this, putters_);
    put_nowait(std::move(item));
  }
  /// Throws QueueEmpty, or QueueShutDown.
  T get_nowait() {
    if (items_empty()) {
      if (shut_down_) throw QueueShutDown();
      throw QueueEmpty();
    }
    return take();
  }
  /// Throws QueueFull, or QueueShutDown.
  void put_nowait(T item) {
    if (shut_down_) throw QueueShutDown();
    if (is_full()) throw QueueFull();
    items_.push(std::move(item));
    item_put();
  }
  /// The same without the exceptions: empty, or false and `item` as it was.
  std::optional<T> try_get() {
    if (items_empty()) return std::nullopt;
    return take();
  }
  bool try_put(T& item) {
    if (shut_down_ || is_full()) return false;
    put_nowait(std::move(item));
    return true;
  }

  std::size_t qsize() const noexcept { return items_.size(); }
  bool empty() const noexcept { return items_empty(); }
  bool full() const noexcept { return is_full(); }
  /// No more puts; those who wait to put get QueueShutDown, and so do getters when the items are
  /// gone: at once if `immediate`, which drops the items.
  void shutdown(bool immediate = false) {
    if (immediate) {
      std::size_t dropped = 0;
      for (; !items_empty(); ++dropped) static_cast<void>(items_.pop());
      items_dropped(dropped);
    }
    shut_down_now();
  }

 private:
  bool items_empty() const noexcept { return items_.size() == 0; }
  bool is_empty() const noexcept override { return items_empty(); }
  bool is_full() const noexcept override { return maxsize_ > 0 && items_.size() >= maxsize_; }
  T take() {
    T item = items_.pop();
    item_got();
    return item;
  }
  Coro<> wait_for_item() {
    while (items_empty()) {
      if (shut_down_) throw QueueShutDown();
      co_await Turn(*this, getters_);
    }
  }

  Items items_;
};

template <class T>
using LifoQueue = Queue<T, LifoItems<T>>;
/// The smallest first, by operator<; equal ones in any order.
template <class T>
using PriorityQueue = Queue<T, PriorityItems<T>>;

}  // namespace ferry
