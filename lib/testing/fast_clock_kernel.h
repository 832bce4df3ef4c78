#pragma once

#include <ferry/testing/forwarding_kernel.h>

#include <cstdint>
#include <memory>
#include <utility>

namespace ferry::testing {

/// A kernel whose time goes `speed` times as fast: on the real one a time limit of ten seconds is
/// over in a fraction of one.
class FastClockKernel final : public ForwardingKernel {
 public:
  FastClockKernel(std::unique_ptr<Kernel> inner, std::int64_t speed)
      : ForwardingKernel(std::move(inner)), speed_(speed), start_(this->inner().now()) {}

  TimePoint now() override { return start_ + (inner().now() - start_) * speed_; }
  void set_timer(TimePoint when) override {
    // Rounded up, so that it is not early. TimePoint::max() has no multiple, and no need of one.
    inner().set_timer(start_ + (when - start_) / speed_ + Duration(1));
  }

 private:
  std::int64_t speed_;
  TimePoint start_;
};

}  // namespace ferry::testing
