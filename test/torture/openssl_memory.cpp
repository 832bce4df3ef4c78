#include "openssl_memory.h"

#include <openssl/crypto.h>

#include <cstdlib>

namespace ferry::test {

namespace {

constexpr std::size_t kNone = static_cast<std::size_t>(-1);

struct Account {
  std::size_t until_failure = kNone;
  std::ptrdiff_t live = 0;
  bool failed = false;
};
thread_local constinit Account t_account;

bool fails() noexcept {
  Account& account = t_account;
  if (account.until_failure == kNone || account.until_failure-- > 0) return false;
  account.until_failure = kNone;
  account.failed = true;
  return true;
}

void* allocate(std::size_t size, const char*, int) {
  if (fails()) return nullptr;
  void* const memory = std::malloc(size);
  if (memory) ++t_account.live;
  return memory;
}

void release(void* memory, const char*, int) {
  if (!memory) return;
  --t_account.live;
  std::free(memory);
}

void* reallocate(void* memory, std::size_t size, const char* file, int line) {
  if (!memory) return allocate(size, file, line);
  if (size == 0) {
    release(memory, file, line);
    return nullptr;
  }
  return fails() ? nullptr : std::realloc(memory, size);
}

// Before anything of OpenSSL's runs.
const bool replaced = CRYPTO_set_mem_functions(allocate, reallocate, release) == 1;

}  // namespace

bool openssl_memory_replaced() noexcept {
  return replaced;
}

void fail_openssl_allocation(std::size_t n) noexcept {
  t_account.until_failure = n;
  t_account.failed = false;
}

void fail_no_openssl_allocation() noexcept {
  t_account.until_failure = kNone;
}

bool openssl_allocation_failed() noexcept {
  return t_account.failed;
}

void forget_openssl_failure() noexcept {
  t_account.failed = false;
}

std::ptrdiff_t live_openssl_allocations() noexcept {
  return t_account.live;
}

}  // namespace ferry::test
