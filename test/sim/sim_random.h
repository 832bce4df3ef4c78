#pragma once

#include <cstdint>

namespace ferry::test {

/// From now on OpenSSL draws its random numbers from this seed, in the whole process: keys, nonces
/// and signatures of a world are the same each time. For tests alone.
void seed_openssl(std::uint64_t seed);

}  // namespace ferry::test
