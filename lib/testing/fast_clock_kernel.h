#pragma once

#include <ferry/testing/forwarding_kernel.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

namespace ferry::testing {

/// A kernel that waits for its timer only a `speed`-th of the time, and no longer than `longest`,
/// then has its clock leap: on the real one a time limit of ten seconds is over in a fraction of
/// one. While the loop works the clock goes as the system's does, so that a machine that stalls
/// does not eat up a limit `speed` times as fast: what has arrived meanwhile comes before the
/// timer.
class FastClockKernel final : public ForwardingKernel, private Kernel::Client {
 public:
  FastClockKernel(std::unique_ptr<Kernel> inner, std::int64_t speed,
                  Duration longest = Duration::max())
      : ForwardingKernel(std::move(inner)), speed_(speed), longest_(longest) {}

  void attach(Kernel::Client& client) override {
    client_ = &client;
    inner().attach(*this);
  }
  TimePoint now() override { return inner().now() + ahead_; }
  /// The system's clock, that does not leap.
  TimePoint real_now() { return inner().now(); }
  void set_timer(TimePoint when) override {
    const TimePoint begin = inner().now();
    const Duration wait = std::max(when - (begin + ahead_), Duration::zero());
    inner().set_timer(begin + std::min(wait / speed_, longest_));
    timer_ = when;
  }

 private:
  void on_drain() override { client_->on_drain(); }
  void on_timer() override {
    ahead_ += std::max(timer_ - now(), Duration::zero());
    client_->on_timer();
  }
  void on_signal(int signal_number) override { client_->on_signal(signal_number); }
  void call_inside(void (*f)(void*), void* argument) override { client_->call_inside(f, argument); }

  std::int64_t speed_;
  Duration longest_;
  Kernel::Client* client_ = nullptr;
  Duration ahead_{};
  TimePoint timer_{};
};

}  // namespace ferry::testing
