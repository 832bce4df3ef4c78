#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ferry::testing {

/// Numbers that look random and are determined by a seed and a name: each part of a simulation
/// draws from its own stream ("net", "fault", "app"), so that a change in one leaves the others
/// alone. The same on every machine (SplitMix64, Steele, Lea, Flood, OOPSLA 2014).
class Seed {
 public:
  explicit Seed(std::uint64_t seed, std::string_view name = {}) noexcept : state_(seed) {
    for (const char c : name) {
      state_ ^= static_cast<unsigned char>(c);
      state_ = next();
    }
  }

  std::uint64_t next() noexcept {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  /// 0 to `count` - 1; 0 for 0.
  std::size_t below(std::size_t count) noexcept {
    return count == 0 ? 0 : static_cast<std::size_t>(next() % count);
  }
  /// `first` to `last`, both included.
  std::size_t between(std::size_t first, std::size_t last) noexcept {
    return first + below(last - first + 1);
  }
  /// True so many times in a thousand.
  bool permille(unsigned times) noexcept { return below(1000) < times; }

 private:
  std::uint64_t state_;
};

}  // namespace ferry::testing
