#pragma once

#include <ferry/bytes.h>

#include <cassert>
#include <memory>

namespace ferry {

/// A contiguous FIFO of bytes: append at the back, consume from the front, always readable as one
/// view. Append and consume are amortised O(1) per byte. An empty Buffer that was never
/// written to holds no memory. Move-only; not thread-safe.
class Buffer {
 public:
  Buffer() noexcept = default;
  /// A copy of `bytes`.
  explicit Buffer(BytesView bytes) { append(bytes); }
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;

  std::size_t size() const noexcept { return end_ - begin_; }
  bool empty() const noexcept { return begin_ == end_; }
  /// Bytes of memory held.
  std::size_t capacity() const noexcept { return capacity_; }
  /// Bytes that can still be appended without moving or allocating anything.
  std::size_t spare() const noexcept { return capacity_ - end_; }

  /// The content. Valid until the next non-const call.
  BytesView view() const noexcept { return {storage_.get() + begin_, size()}; }
  operator BytesView() const noexcept { return view(); }

  /// Copies `bytes` to the back. `bytes` may be a part of this very buffer's content.
  void append(BytesView bytes);
  /// At least `n` writable bytes behind the content; they become content by `commit`.
  /// Valid until the next non-const call.
  MutableBytes prepare(std::size_t n);
  /// Makes the first `n` prepared bytes part of the content; n <= the size prepared.
  void commit(std::size_t n) noexcept {
    assert(n <= spare());
    end_ += n;
  }
  /// Drops `n` bytes from the front; n <= size().
  void consume(std::size_t n) noexcept;
  /// Drops the content, keeps the memory.
  void clear() noexcept { begin_ = end_ = 0; }
  /// Drops the content and gives the memory back.
  void reset() noexcept;
  /// Makes room for `n` bytes of content in all: until it holds more, nothing is allocated or
  /// moved.
  void reserve(std::size_t n);

 private:
  void grow(std::size_t n);

  std::unique_ptr<std::byte[]> storage_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace ferry
