#include "openssl_memory.h"

#include <openssl/crypto.h>

#include <cstdlib>

namespace ferry::test {

namespace {

thread_local constinit std::ptrdiff_t t_live = 0;

void* allocate(std::size_t size, const char*, int) {
  void* const memory = std::malloc(size);
  if (memory) ++t_live;
  return memory;
}

void release(void* memory, const char*, int) {
  if (!memory) return;
  --t_live;
  std::free(memory);
}

void* reallocate(void* memory, std::size_t size, const char* file, int line) {
  if (!memory) return allocate(size, file, line);
  if (size != 0) return std::realloc(memory, size);
  release(memory, file, line);
  return nullptr;
}

// Before anything of OpenSSL's runs.
const int replaced = CRYPTO_set_mem_functions(allocate, reallocate, release);

}  // namespace

std::ptrdiff_t live_openssl_allocations() noexcept {
  // Else it would count nothing, and no leak of OpenSSL's would show.
  if (replaced != 1) std::abort();
  return t_live;
}

}  // namespace ferry::test
