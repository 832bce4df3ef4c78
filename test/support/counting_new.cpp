#include "counting_new.h"

#include <cstdlib>
#include <new>

namespace {

thread_local constinit std::size_t t_allocations = 0;

}  // namespace

std::size_t allocations() noexcept {
  return t_allocations;
}

// The forms for arrays, and those without exceptions, come down to these in the standard library.
void* operator new(std::size_t size) {
  ++t_allocations;
  if (void* const memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  ++t_allocations;
  const auto align = static_cast<std::size_t>(alignment);
  if (void* const memory = std::aligned_alloc(align, (size + align - 1) / align * align)) {
    return memory;
  }
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}
