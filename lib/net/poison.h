#pragma once

#include <ferry/bytes.h>

#if defined(__SANITIZE_ADDRESS__)
#define FERRY_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FERRY_POISON 1
#endif
#endif

#ifdef FERRY_POISON
#include <sanitizer/asan_interface.h>
#endif

namespace ferry {

/// Under AddressSanitizer, makes any use of `bytes` an error: a view of the receive buffer that was
/// kept beyond its callback is caught at its first use. Otherwise nothing.
inline void poison([[maybe_unused]] MutableBytes bytes) noexcept {
#ifdef FERRY_POISON
  __asan_poison_memory_region(bytes.data(), bytes.size());
#endif
}

inline void unpoison([[maybe_unused]] MutableBytes bytes) noexcept {
#ifdef FERRY_POISON
  __asan_unpoison_memory_region(bytes.data(), bytes.size());
#endif
}

}  // namespace ferry
