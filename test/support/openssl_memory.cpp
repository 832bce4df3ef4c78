#include "openssl_memory.h"

#include "counting_new.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <stdexcept>

#include <malloc.h>

namespace ferry::test {

namespace {

/// It counts, but is not among those that fail: OpenSSL itself does not survive each of them.
void* allocate(std::size_t size, const char*, int) {
  const AllocationsExempt guard;
  return ::operator new(size, std::nothrow);
}
void release(void* memory, const char*, int) {
  ::operator delete(memory);
}
void* reallocate(void* memory, std::size_t size, const char* file, int line) {
  if (!memory) return allocate(size, file, line);
  if (size == 0) {
    release(memory, file, line);
    return nullptr;
  }
  void* const fresh = allocate(size, file, line);
  if (!fresh) return nullptr;
  std::memcpy(fresh, memory, std::min(size, malloc_usable_size(memory)));
  release(memory, file, line);
  return fresh;
}

}  // namespace

void openssl_uses_new() {
  if (CRYPTO_set_mem_functions(allocate, reallocate, release) != 1) {
    throw std::logic_error("OpenSSL has memory already");
  }
}

}  // namespace ferry::test
