#include "counting_new.h"

#include <algorithm>
#include <cstdlib>
#include <new>

#include <malloc.h>

#if __has_include(<execinfo.h>)
#include <execinfo.h>
#define FERRY_TEST_BACKTRACE 1
#endif

namespace {

constexpr std::size_t kNone = static_cast<std::size_t>(-1);
constexpr int kFrames = 32;

struct Account {
  std::size_t made = 0;
  std::ptrdiff_t live = 0;
  std::ptrdiff_t bytes = 0;
  std::ptrdiff_t peak = 0;
  std::size_t until_failure = kNone;
  std::size_t failures_left = 0;
  bool exempt = false;
  bool failed = false;
  int frames = 0;
  void* stack[kFrames] = {};
};
thread_local constinit Account t_account;

/// The doomed one.
void fail() noexcept {
  Account& account = t_account;
  account.until_failure = --account.failures_left > 0 ? 0 : kNone;
  if (std::exchange(account.failed, true)) return;
#ifdef FERRY_TEST_BACKTRACE
  account.frames = ::backtrace(account.stack, kFrames);
#endif
}

void* allocate(std::size_t size, std::size_t alignment) noexcept {
  Account& account = t_account;
  ++account.made;
  if (account.until_failure != kNone && !account.exempt && account.until_failure-- == 0) {
    fail();
    return nullptr;
  }
  if (size == 0) size = 1;
  void* const memory =
      alignment == 0
          ? std::malloc(size)
          : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (!memory) return nullptr;
  ++account.live;
  account.bytes += static_cast<std::ptrdiff_t>(malloc_usable_size(memory));
  account.peak = std::max(account.peak, account.bytes);
  return memory;
}

void* allocate_or_throw(std::size_t size, std::size_t alignment = 0) {
  if (void* const memory = allocate(size, alignment)) return memory;
  throw std::bad_alloc();
}

void free_block(void* memory) noexcept {
  if (!memory) return;
  --t_account.live;
  t_account.bytes -= static_cast<std::ptrdiff_t>(malloc_usable_size(memory));
  std::free(memory);
}

}  // namespace

std::size_t allocations() noexcept {
  return t_account.made;
}

std::ptrdiff_t live_allocations() noexcept {
  return t_account.live;
}

std::ptrdiff_t live_bytes() noexcept {
  return t_account.bytes;
}

std::ptrdiff_t peak_bytes() noexcept {
  return t_account.peak;
}

void reset_peak_bytes() noexcept {
  t_account.peak = t_account.bytes;
}

void fail_allocation(std::size_t n, std::size_t times) noexcept {
  t_account.until_failure = n;
  t_account.failures_left = times;
  t_account.failed = false;
  t_account.frames = 0;
}

void fail_no_allocation() noexcept {
  t_account.until_failure = kNone;
}

bool allocation_failed() noexcept {
  return t_account.failed;
}

std::string failed_allocation_stack() {
  const AllocationsExempt guard;
  std::string text;
#ifdef FERRY_TEST_BACKTRACE
  char** const lines = ::backtrace_symbols(t_account.stack, t_account.frames);
  for (int i = 0; lines && i < t_account.frames; ++i) text.append("\n  ").append(lines[i]);
  std::free(lines);
#endif
  return text;
}

AllocationsExempt::AllocationsExempt(bool exempt) noexcept
    : before_(std::exchange(t_account.exempt, exempt)) {}

AllocationsExempt::~AllocationsExempt() {
  t_account.exempt = before_;
}

// All forms, since a sanitizer has some of its own that do not come down to these.
void* operator new(std::size_t size) {
  return allocate_or_throw(size);
}
void* operator new[](std::size_t size) {
  return allocate_or_throw(size);
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return allocate(size, 0);
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
  return allocate(size, 0);
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  return allocate_or_throw(size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
  return allocate_or_throw(size, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return allocate(size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return allocate(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept {
  free_block(memory);
}
void operator delete[](void* memory) noexcept {
  free_block(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  free_block(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  free_block(memory);
}
void operator delete(void* memory, const std::nothrow_t&) noexcept {
  free_block(memory);
}
void operator delete[](void* memory, const std::nothrow_t&) noexcept {
  free_block(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  free_block(memory);
}
void operator delete[](void* memory, std::align_val_t) noexcept {
  free_block(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  free_block(memory);
}
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept {
  free_block(memory);
}
void operator delete(void* memory, std::align_val_t, const std::nothrow_t&) noexcept {
  free_block(memory);
}
void operator delete[](void* memory, std::align_val_t, const std::nothrow_t&) noexcept {
  free_block(memory);
}
