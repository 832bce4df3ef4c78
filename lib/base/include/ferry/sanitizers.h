#pragma once

// Which sanitizers the compiler builds with, as 0 or 1: gcc defines a macro for each, clang has to
// be asked.
#ifdef __has_feature
#define FERRY_HAS_FEATURE(feature) __has_feature(feature)
#else
#define FERRY_HAS_FEATURE(feature) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || FERRY_HAS_FEATURE(address_sanitizer)
#define FERRY_ADDRESS_SANITIZER 1
#else
#define FERRY_ADDRESS_SANITIZER 0
#endif

#if defined(__SANITIZE_THREAD__) || FERRY_HAS_FEATURE(thread_sanitizer)
#define FERRY_THREAD_SANITIZER 1
#else
#define FERRY_THREAD_SANITIZER 0
#endif

#undef FERRY_HAS_FEATURE
