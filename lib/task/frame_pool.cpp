#include <ferry/frame_pool.h>

namespace ferry {

/// Made by the thread's first request, so that the lists themselves need no construction.
struct FramePool::Drain {
  ~Drain() {
    for (std::size_t place = 0; place < kClasses; ++place) {
      List& list = lists_[place];
      list.most = 0;
      while (Block* block = list.first) {
        list.first = block->next;
        ::operator delete(block);
      }
      list.count = 0;
    }
  }
};

void* FramePool::allocate_slowly(std::size_t size) {
  const std::size_t place = index(size);
  if (place >= kClasses) return ::operator new(size);
  static thread_local Drain drain;
  static_cast<void>(drain);
  lists_[place].most = kMostKept;
  return ::operator new((place + 1) * kGrain);
}

void FramePool::deallocate_slowly(void* memory) noexcept {
  ::operator delete(memory);
}

}  // namespace ferry
