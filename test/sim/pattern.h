#pragma once

#include "counting_new.h"

#include <ferry/testing/pattern_stream.h>

#include <cstddef>

namespace ferry::test {

/// The pattern's next bytes. The memory they are in is the scenario's own: where allocations are
/// made to fail, this one does not count.
inline BytesView next_bytes(testing::PatternWriter& pattern, std::size_t size) {
  return exempt([&] { return pattern.next(size); });
}

}  // namespace ferry::test
