#include "counting_new.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>

#include <malloc.h>
#include <unistd.h>

#if __has_include(<execinfo.h>)
#include <execinfo.h>
#define FERRY_TEST_BACKTRACE 1
#endif

namespace {

constexpr std::size_t kNone = static_cast<std::size_t>(-1);
constexpr int kFrames = 32;

/// Where an allocation failed.
struct Place {
  int frames = 0;
  void* stack[kFrames] = {};

  void note() noexcept {
#ifdef FERRY_TEST_BACKTRACE
    frames = ::backtrace(stack, kFrames);
#endif
  }
};

struct Account {
  std::size_t made = 0;
  std::ptrdiff_t live = 0;
  std::ptrdiff_t bytes = 0;
  std::ptrdiff_t peak = 0;
  std::size_t until_failure = kNone;
  std::size_t failures_left = 0;
  bool exempt = false;
  bool failed = false;
  Place place;
};
thread_local constinit Account t_account;

/// Of all threads.
struct Shared {
  std::atomic<std::ptrdiff_t> live = 0;
  std::atomic<std::size_t> until_failure = kNone;
  std::atomic<bool> failed = false;
  pid_t process = -1;  // whose
  Place place;         // once it has failed
};
constinit Shared g_shared;

/// The doomed one.
void fail() noexcept {
  Account& account = t_account;
  account.until_failure = --account.failures_left > 0 ? 0 : kNone;
  if (!std::exchange(account.failed, true)) account.place.note();
}

/// Whether this one is doomed, of those of all threads.
bool shared_doom() noexcept {
  if (g_shared.until_failure.load(std::memory_order_relaxed) == kNone) return false;
  if (g_shared.until_failure.fetch_sub(1) != 0) return false;  // and of 0 comes kNone
  if (g_shared.process != ::getpid()) return false;
  g_shared.place.note();
  g_shared.failed = true;
  return true;
}

void* allocate(std::size_t size, std::size_t alignment) noexcept {
  Account& account = t_account;
  ++account.made;
  if (account.until_failure != kNone && !account.exempt && account.until_failure-- == 0) {
    fail();
    return nullptr;
  }
  if (!account.exempt && shared_doom()) return nullptr;
  if (size == 0) size = 1;
  void* const memory =
      alignment == 0
          ? std::malloc(size)
          : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (!memory) return nullptr;
  ++account.live;
  g_shared.live.fetch_add(1, std::memory_order_relaxed);
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
  g_shared.live.fetch_sub(1, std::memory_order_relaxed);
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

std::ptrdiff_t live_allocations_of_all() noexcept {
  return g_shared.live.load(std::memory_order_relaxed);
}

void fail_allocation(std::size_t n, std::size_t times) noexcept {
  g_shared.until_failure = kNone;
  g_shared.failed = false;
  t_account.until_failure = n;
  t_account.failures_left = times;
  t_account.failed = false;
}

void fail_allocation_of_any_thread(std::size_t n) noexcept {
  t_account.until_failure = kNone;
  t_account.failed = false;
  g_shared.process = ::getpid();
  g_shared.failed = false;
  g_shared.until_failure = n;
}

void fail_no_allocation() noexcept {
  t_account.until_failure = g_shared.until_failure = kNone;
}

bool allocation_failed() noexcept {
  return t_account.failed || g_shared.failed;
}

std::string failed_allocation_stack() {
  const AllocationsExempt guard;
  std::string text;
  if (!allocation_failed()) return text;
#ifdef FERRY_TEST_BACKTRACE
  const Place& place = g_shared.failed ? g_shared.place : t_account.place;
  char** const lines = ::backtrace_symbols(place.stack, place.frames);
  for (int i = 0; lines && i < place.frames; ++i) text.append("\n  ").append(lines[i]);
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
