#pragma once

#include <ferry/bytes.h>

#include <cstdint>
#include <vector>

namespace ferry::bench {

/// The bytes that load sends and expects back: for every connection an endless stream in which each
/// place looks different. It repeats after a prime number of bytes, so a chunk that was lost,
/// doubled, swapped or sent to another connection does not fit. Random bytes from a fixed seed,
/// computed once; looking and comparing is memcmp.
class Pattern {
 public:
  static constexpr std::size_t kPeriod = 65521;

  Pattern();

  /// The stream of `connection` from `position` on: `size` bytes, or the first kPeriod of them.
  /// Valid as long as this object.
  BytesView at(std::size_t connection, std::uint64_t position, std::size_t size) const noexcept {
    const std::size_t start = (position + connection % kPeriod * kStride) % kPeriod;
    return BytesView(table_).drop(start).first(size < kPeriod ? size : kPeriod);
  }
  /// How many bytes of `bytes` are as they should be from `position` on; all, if all are right.
  std::size_t matching(std::size_t connection, std::uint64_t position,
                       BytesView bytes) const noexcept;

 private:
  // Neighbouring connections are this far apart: any number prime to the period gives each its own.
  static constexpr std::size_t kStride = 25033;

  std::vector<unsigned char> table_;  // two periods, so that one is contiguous from any start
};

}  // namespace ferry::bench
