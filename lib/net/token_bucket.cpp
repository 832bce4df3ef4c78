#include "token_bucket.h"

#include <algorithm>
#include <cmath>

namespace ferry {
namespace {

/// A turn's worth is what flows in this part of a second.
constexpr double kTurnsPerSecond = 50;
/// Rates slower than that are no reason to wait for years, or to overflow a Duration.
constexpr double kLongestWait = 3600;

double as_seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

double burst_of(Rate rate) {
  return static_cast<double>(
      rate.burst != 0 ? rate.burst : std::max<std::size_t>(rate.bytes_per_second / 10, 1));
}

}  // namespace

TokenBucket::TokenBucket(EventLoop& loop, Rate rate)
    : loop_(loop),
      rate_(static_cast<double>(rate.bytes_per_second)),
      burst_(burst_of(rate)),
      quantum_(std::min(burst_, std::max(1.0, std::floor(rate_ / kTurnsPerSecond)))),
      level_(burst_),
      filled_(loop.time()),
      timer_(loop, [this] { serve(); }) {}

void TokenBucket::refill() {
  const TimePoint now = loop_.time();
  level_ = std::min(burst_, level_ + as_seconds(now - filled_) * rate_);
  filled_ = now;
}

std::size_t TokenBucket::available(const Waiter& who) {
  refill();
  double most = level_ - promised_;
  if (has_turn(who)) {
    most = std::min(level_, quantum_);
  } else if (first_) {
    return 0;
  }
  return most < 1 ? 0 : static_cast<std::size_t>(most);
}

void TokenBucket::take(std::size_t bytes, Waiter& who) {
  level_ -= static_cast<double>(bytes);
  if (!has_turn(who)) return;
  who.turn_ = 0;
  promised_ -= quantum_;
}

void TokenBucket::wait(Waiter& waiter) {
  if (waiter.waiting()) return;
  waiter.bucket_ = this;
  waiter.next_ = nullptr;
  waiter.link_ = end_;
  *end_ = &waiter;
  end_ = &waiter.next_;
  if (timer_.active()) return;
  refill();
  set_timer(level_ - promised_);
}

void TokenBucket::Waiter::leave() noexcept {
  if (!link_) return;
  *link_ = next_;
  (next_ ? next_->link_ : bucket_->end_) = link_;
  link_ = nullptr;
  if (!bucket_->first_) bucket_->timer_.cancel();
}

/// As many turns as there are tokens for; who has had one goes to the end of the queue.
void TokenBucket::serve() {
  struct End final : Waiter {
    void on_tokens() override {}
  } end;
  refill();
  wait(end);   // those who come from now on are behind it
  ++serving_;  // who has not used the last turn has lost it
  promised_ = 0;
  double left = level_;
  while (first_ != &end && left >= quantum_) {
    Waiter& waiter = *first_;
    waiter.leave();
    left -= quantum_;
    promised_ += quantum_;
    waiter.turn_ = serving_;
    waiter.on_tokens();
  }
  end.leave();
  timer_.cancel();
  // Some use their turn only later: what is promised is spent.
  if (first_) set_timer(std::min(left, level_));
}

/// For the moment when what is `left` has become a turn's worth.
void TokenBucket::set_timer(double left) {
  const double seconds = std::clamp((quantum_ - left) / rate_, 0.0, kLongestWait);
  timer_.set(Duration(static_cast<std::int64_t>(std::ceil(seconds * 1e9)) + 1));
}

}  // namespace ferry
