#pragma once

#include <cstddef>

// OpenSSL's allocations, which are not made by `new`, fail by order as well: see counting_new.h.
// Everything concerns the calling thread.

namespace ferry::test {

/// False if OpenSSL had memory before it could be given these functions: then none of its
/// allocations fails.
bool openssl_memory_replaced() noexcept;
/// Makes its n-th allocation from now on fail, 0 being the next.
void fail_openssl_allocation(std::size_t n) noexcept;
void fail_no_openssl_allocation() noexcept;
/// Whether the one ordered has come and failed.
bool openssl_allocation_failed() noexcept;
void forget_openssl_failure() noexcept;
/// Blocks it has got and not given back.
std::ptrdiff_t live_openssl_allocations() noexcept;

}  // namespace ferry::test
