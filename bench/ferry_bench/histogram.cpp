#include "histogram.h"

#include <cmath>

namespace ferry::bench {

std::uint64_t Histogram::middle(std::size_t index) noexcept {
  if (index < 2 * kHalf) return index;
  const std::size_t shift = index / kHalf - 1;
  const std::uint64_t first = static_cast<std::uint64_t>(index - shift * kHalf) << shift;
  return first + (std::uint64_t{1} << shift) / 2;
}

Histogram::Duration Histogram::percentile(double percent) const noexcept {
  if (count_ == 0) return Duration(0);
  const double wanted =
      std::ceil(std::clamp(percent, 0.0, 100.0) / 100 * static_cast<double>(count_));
  const auto rank = std::clamp<std::uint64_t>(static_cast<std::uint64_t>(wanted), 1, count_);
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    seen += buckets_[i];
    if (seen >= rank) return Duration(static_cast<std::int64_t>(std::min(middle(i), max_)));
  }
  return max();
}

}  // namespace ferry::bench
