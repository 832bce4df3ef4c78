#include "spare_memory.h"

#include <ferry/sanitizers.h>

#include <new>
#include <utility>
#include <vector>

namespace ferry {
namespace {

// As deep as TLS is likely to be nested; and a buffer that grew beyond this is given back.
constexpr std::size_t kSpares = 4;
constexpr std::size_t kLargestSpare = 256 * 1024;

thread_local std::vector<std::unique_ptr<std::byte[]>> spare_scratches;
thread_local std::vector<Buffer> spare_buffers;

/// True if one more can be kept; also that takes memory, once.
template <class T>
bool has_room(std::vector<T>& spares) noexcept {
  try {
    if (spares.capacity() == 0) spares.reserve(kSpares);
  } catch (const std::bad_alloc&) {
    return false;
  }
  return spares.size() < kSpares;
}

}  // namespace

PlainScratch::PlainScratch() {
  if (spare_scratches.empty()) {
    memory_ = std::make_unique_for_overwrite<std::byte[]>(kSize);
  } else {
    memory_ = std::move(spare_scratches.back());
    spare_scratches.pop_back();
  }
}

PlainScratch::~PlainScratch() {
#if !FERRY_ADDRESS_SANITIZER  // which finds the first use of a view that was kept
  if (has_room(spare_scratches)) spare_scratches.push_back(std::move(memory_));
#endif
}

Buffer take_spare_buffer() noexcept {
  if (spare_buffers.empty()) return {};
  Buffer buffer = std::move(spare_buffers.back());
  spare_buffers.pop_back();
  return buffer;
}

void return_spare_buffer(Buffer buffer) noexcept {
  if (buffer.capacity() > kLargestSpare || !has_room(spare_buffers)) return;
  buffer.clear();
  spare_buffers.push_back(std::move(buffer));
}

}  // namespace ferry
