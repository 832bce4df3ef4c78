#include "pattern.h"

#include <algorithm>
#include <random>

namespace ferry::bench {

Pattern::Pattern() : table_(2 * kPeriod) {
  std::mt19937 random(20240229);
  for (std::size_t i = 0; i < kPeriod; ++i) {
    table_[i] = table_[i + kPeriod] = static_cast<unsigned char>(random() >> 24);
  }
}

std::size_t Pattern::matching(std::size_t connection, std::uint64_t position,
                              BytesView bytes) const noexcept {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const BytesView expected = at(connection, position + done, bytes.size() - done);
    const BytesView actual = bytes.drop(done).first(expected.size());
    if (actual != expected) {
      const auto* wrong = std::mismatch(actual.begin(), actual.end(), expected.begin()).first;
      return done + static_cast<std::size_t>(wrong - actual.begin());
    }
    done += expected.size();
  }
  return done;
}

}  // namespace ferry::bench
