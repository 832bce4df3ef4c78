#define OPENSSL_SUPPRESS_DEPRECATED  // the way of OpenSSL 3 is a provider with its own entropy

#include "sim_random.h"

#include <ferry/testing/seed.h>

#include <openssl/rand.h>

#include <cstring>

namespace ferry::test {

namespace {

testing::Seed stream(0);

int fill(unsigned char* into, int size) {
  for (int done = 0; done < size;) {
    const std::uint64_t word = stream.next();
    const int part = size - done < 8 ? size - done : 8;
    std::memcpy(into + done, &word, static_cast<std::size_t>(part));
    done += part;
  }
  return 1;
}
int always() {
  return 1;
}

}  // namespace

void seed_openssl(std::uint64_t seed) {
  static const RAND_METHOD method = {nullptr, fill, nullptr, nullptr, fill, always};
  static const bool set = RAND_set_rand_method(&method) == 1;
  static_cast<void>(set);
  stream = testing::Seed(seed, "openssl");
}

}  // namespace ferry::test
