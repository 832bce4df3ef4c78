#pragma once

#include <ferry/transport.h>

#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>

namespace ferry {

/// For those who write transports: when a writer is told to pause and to go on: a hysteresis over
/// the number of buffered bytes.
class FlowControl {
 public:
  WriteLimits limits() const noexcept { return custom_ ? custom_->limits : WriteLimits{}; }
  /// As Transport::set_write_buffer_limits.
  void set_limits(std::optional<std::size_t> high, std::optional<std::size_t> low) {
    WriteLimits next;
    if (high) {
      next = {*high, low.value_or(*high / 4)};
    } else if (low) {
      constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
      next = {*low > most / 4 ? most : 4 * *low, *low};
    }
    if (next.low > next.high) {
      throw std::invalid_argument("write buffer limits: low must not be above high");
    }
    custom().limits = next;
  }

  bool paused() const noexcept { return paused_; }
  /// True if the writer is to be told now that `buffered` bytes are too many.
  bool should_pause(std::size_t buffered) noexcept {
    return !paused_ && buffered > limits().high && (paused_ = true);
  }
  /// True if the writer is to be told now that `buffered` bytes are few enough.
  bool should_resume(std::size_t buffered) noexcept {
    return paused_ && buffered <= limits().low && !(paused_ = false);
  }

  void set_hard_limit(std::size_t bytes) { custom().hard = bytes; }
  bool overflows(std::size_t buffered) const noexcept {
    return custom_ && custom_->hard != 0 && buffered > custom_->hard;
  }

 private:
  struct Custom {
    WriteLimits limits;
    std::size_t hard = 0;
  };
  Custom& custom() {
    if (!custom_) custom_ = std::make_unique<Custom>();
    return *custom_;
  }

  std::unique_ptr<Custom> custom_;  // null, as for most connections: the defaults
  bool paused_ = false;
};

}  // namespace ferry
