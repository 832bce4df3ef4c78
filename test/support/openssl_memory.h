#pragma once

#include <cstddef>

namespace ferry::test {

/// For a program that is linked with openssl_memory.cpp: the blocks that OpenSSL has got on this
/// thread and not given back. It does not get them by `new` (see counting_new.h).
std::ptrdiff_t live_openssl_allocations() noexcept;

}  // namespace ferry::test
