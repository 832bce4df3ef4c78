#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace ferry::bench {

/// Counts durations in buckets that are linear within each power of two, as HdrHistogram does: 31
/// KiB whatever it is fed, and percentiles that are off by at most 0.4 %. Anything from 0 to 137
/// seconds; longer counts as 137 seconds in the percentiles, negative as 0.
class Histogram {
 public:
  using Duration = std::chrono::nanoseconds;

  void add(Duration duration) noexcept {
    const auto value = static_cast<std::uint64_t>(std::max<std::int64_t>(duration.count(), 0));
    ++buckets_[index(std::min(value, kLargest))];
    ++count_;
    max_ = std::max(max_, value);
  }
  /// All of the other's, too.
  void add(const Histogram& other) noexcept {
    for (std::size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
    count_ += other.count_;
    max_ = std::max(max_, other.max_);
  }
  void clear() noexcept { *this = Histogram(); }

  std::uint64_t count() const noexcept { return count_; }
  /// The longest one, exactly; 0 if there is none.
  Duration max() const noexcept { return Duration(static_cast<std::int64_t>(max_)); }
  /// The duration that `percent` of all do not exceed; 0 if there is none.
  Duration percentile(double percent) const noexcept;

 private:
  // Values of 8 bits and fewer have a bucket each; of longer ones the first 8 bits choose it.
  static constexpr int kBits = 8;
  static constexpr std::size_t kHalf = std::size_t{1} << (kBits - 1);
  static constexpr std::uint64_t kLargest = (std::uint64_t{1} << 37) - 1;

  static std::size_t index(std::uint64_t value) noexcept {
    const int shift = std::max(static_cast<int>(std::bit_width(value)) - kBits, 0);
    return static_cast<std::size_t>(shift) * kHalf + static_cast<std::size_t>(value >> shift);
  }
  static std::uint64_t middle(std::size_t index) noexcept;

  std::array<std::uint64_t, (37 - kBits + 2) * kHalf> buckets_{};
  std::uint64_t count_ = 0;
  std::uint64_t max_ = 0;
};

}  // namespace ferry::bench
