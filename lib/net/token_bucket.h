#pragma once

#include <ferry/event_loop.h>
#include <ferry/rate_limit.h>

#include <cstddef>
#include <cstdint>

namespace ferry {

/// A Rate, as it is used up by one connection or by many.
class TokenBucket {
 public:
  /// Somebody who found the bucket empty. Leaves the queue when it is destroyed.
  class Waiter {
   public:
    Waiter() = default;
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;

    /// In the queue.
    bool waiting() const noexcept { return link_ != nullptr; }
    void leave() noexcept;

   protected:
    virtual ~Waiter() { leave(); }
    /// It is your turn, and no longer in the queue. May destroy anything but the bucket.
    virtual void on_tokens() = 0;

   private:
    friend class TokenBucket;
    TokenBucket* bucket_ = nullptr;
    Waiter* next_ = nullptr;
    Waiter** link_ = nullptr;
    std::uint64_t turn_ = 0;  // which `serve` gave it a turn, if it has not used it yet
  };

  /// `rate` is no 0; the bucket is full at the beginning.
  TokenBucket(EventLoop& loop, Rate rate);
  TokenBucket(const TokenBucket&) = delete;
  TokenBucket& operator=(const TokenBucket&) = delete;

  EventLoop& loop() const noexcept { return loop_; }
  /// How many bytes `who` may move now. While others wait only who has a turn may, and a turn's
  /// worth.
  std::size_t available(const Waiter& who);
  /// So many have moved, and with them the turn. Also more than there were: that is waited for.
  void take(std::size_t bytes, Waiter& who);
  /// To the end of the queue: on_tokens comes from the loop when there is a turn's worth. If it is
  /// in the queue, nothing.
  void wait(Waiter& waiter);

 private:
  bool has_turn(const Waiter& who) const noexcept { return who.turn_ == serving_; }
  void refill();
  void serve();
  void set_timer(double left);

  EventLoop& loop_;
  const double rate_;     // bytes per second
  const double burst_;    // the most there can be
  const double quantum_;  // what it takes to have a turn, so that bytes do not trickle
  double level_;          // negative: a debt
  double promised_ = 0;   // of level_: to those whose turn it is
  TimePoint filled_;      // when level_ was right
  Timer timer_;
  std::uint64_t serving_ = 1;
  Waiter* first_ = nullptr;
  Waiter** end_ = &first_;
};

}  // namespace ferry
