#pragma once

#include <cstddef>
#include <memory>
#include <utility>

namespace ferry {

/// First in, first out, in one piece of memory that is used over and over: while no more items wait
/// than did before, nothing is allocated. Items need only be movable.
template <class T>
class Ring {
 public:
  Ring() = default;
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring() {
    while (size_ > 0) drop_front();
    release();
  }

  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }

  void push_back(T item) {
    if (size_ == capacity_) grow();
    std::construct_at(place(size_), std::move(item));
    ++size_;
  }
  /// There must be one.
  T pop_front() {
    T item = std::move(*place(0));
    drop_front();
    if (size_ == 0 && capacity_ > kKept) release();
    return item;
  }

 private:
  static constexpr std::size_t kFirst = 8;
  static constexpr std::size_t kKept = 1024;  // a crowd that has gone leaves no more room than that

  // The capacity is a power of two.
  T* place(std::size_t index) const noexcept {
    return items_ + ((first_ + index) & (capacity_ - 1));
  }
  void drop_front() noexcept {
    std::destroy_at(place(0));
    ++first_;
    --size_;
  }
  void grow() {
    Ring larger;
    larger.capacity_ = capacity_ == 0 ? kFirst : 2 * capacity_;
    larger.items_ = std::allocator<T>().allocate(larger.capacity_);
    for (; larger.size_ < size_; ++larger.size_) {
      std::construct_at(larger.place(larger.size_), std::move(*place(larger.size_)));
    }
    std::swap(items_, larger.items_);
    std::swap(capacity_, larger.capacity_);
    std::swap(first_, larger.first_);  // of as many items: now moved from, and destroyed
  }
  void release() noexcept {
    if (items_) std::allocator<T>().deallocate(std::exchange(items_, nullptr), capacity_);
    capacity_ = 0;
  }

  T* items_ = nullptr;
  std::size_t capacity_ = 0;
  std::size_t first_ = 0;
  std::size_t size_ = 0;
};

}  // namespace ferry
