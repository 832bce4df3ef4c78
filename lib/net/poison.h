#pragma once

#include <ferry/bytes.h>
#include <ferry/sanitizers.h>

#if FERRY_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#endif

namespace ferry {

/// Under AddressSanitizer, makes any use of `bytes` an error: a view of the receive buffer that was
/// kept beyond its callback is caught at its first use. Otherwise nothing.
inline void poison([[maybe_unused]] MutableBytes bytes) noexcept {
#if FERRY_ADDRESS_SANITIZER
  __asan_poison_memory_region(bytes.data(), bytes.size());
#endif
}

inline void unpoison([[maybe_unused]] MutableBytes bytes) noexcept {
#if FERRY_ADDRESS_SANITIZER
  __asan_unpoison_memory_region(bytes.data(), bytes.size());
#endif
}

}  // namespace ferry
