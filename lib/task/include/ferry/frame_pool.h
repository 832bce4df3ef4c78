#pragma once

#include <ferry/sanitizers.h>

#include <cstddef>
#include <cstdint>
#include <new>

namespace ferry {

/// Where coroutine frames and tasks live: free lists of the thread, by size, because a program that
/// awaits in a loop makes and frees the same few frames for ever. Memory may be freed on another
/// thread; it joins that thread's lists. With AddressSanitizer everything goes to the heap, so that
/// a frame that is used after its end is found.
class FramePool {
 public:
  static void* allocate(std::size_t size) {
#if !FERRY_ADDRESS_SANITIZER
    const std::size_t place = index(size);
    if (place < kClasses) [[likely]] {
      List& list = lists_[place];
      if (Block* block = list.first) [[likely]] {
        list.first = block->next;
        --list.count;
        return block;
      }
    }
#endif
    return allocate_slowly(size);
  }

  static void deallocate(void* memory, [[maybe_unused]] std::size_t size) noexcept {
#if !FERRY_ADDRESS_SANITIZER
    const std::size_t place = index(size);
    if (place < kClasses) [[likely]] {
      List& list = lists_[place];
      if (list.count < list.most) [[likely]] {
        list.first = ::new (memory) Block{list.first};
        ++list.count;
        return;
      }
    }
#endif
    deallocate_slowly(memory);
  }

 private:
  struct Block {
    Block* next;
  };
  struct List {
    Block* first;
    std::uint32_t count;
    // None before this thread has asked for such a block itself: then it gives all back at its end.
    std::uint32_t most;
  };
  struct Drain;

  static constexpr std::size_t kGrain = 64;
  static constexpr std::size_t kClasses = 32;  // up to 2 KiB
  static constexpr std::uint32_t kMostKept = 1024;

  static constexpr std::size_t index(std::size_t size) noexcept {
    return (size - 1) / kGrain;
  }
  static void* allocate_slowly(std::size_t size);
  static void deallocate_slowly(void* memory) noexcept;

  static thread_local constinit inline List lists_[kClasses] = {};
};

}  // namespace ferry
