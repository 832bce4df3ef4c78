#pragma once

#include <ferry/transport.h>

#include <limits>
#include <optional>
#include <stdexcept>

namespace ferry {

/// When a writer is told to pause and to go on: a hysteresis over the number of buffered bytes.
class FlowControl {
 public:
  WriteLimits limits() const noexcept { return limits_; }
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
    limits_ = next;
  }

  bool paused() const noexcept { return paused_; }
  /// True if the writer is to be told now that `buffered` bytes are too many.
  bool should_pause(std::size_t buffered) noexcept {
    return !paused_ && buffered > limits_.high && (paused_ = true);
  }
  /// True if the writer is to be told now that `buffered` bytes are few enough.
  bool should_resume(std::size_t buffered) noexcept {
    return paused_ && buffered <= limits_.low && !(paused_ = false);
  }

  void set_hard_limit(std::size_t bytes) noexcept { hard_limit_ = bytes; }
  bool overflows(std::size_t buffered) const noexcept {
    return hard_limit_ != 0 && buffered > hard_limit_;
  }

 private:
  WriteLimits limits_;
  std::size_t hard_limit_ = 0;
  bool paused_ = false;
};

}  // namespace ferry
