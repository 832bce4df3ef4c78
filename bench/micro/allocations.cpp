#include "allocations.h"

#include <cstdlib>
#include <new>

namespace {

thread_local constinit long t_allocations = 0;

}  // namespace

long allocations() noexcept {
  return t_allocations;
}

// The forms for arrays and without exceptions come down to these in the standard library.
void* operator new(std::size_t size) {
  ++t_allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
