#pragma once

#include <ferry/buffer.h>
#include <ferry/bytes.h>

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace ferry {

/// Bytes that wait to be sent: a FIFO of segments. Small appends share a segment, so that a
/// thousand little writes become a few gathered ones; consuming moves nothing. Empty, it holds no
/// memory.
class WriteQueue {
 public:
  /// New segments are at least this large.
  static constexpr std::size_t kSegment = 16 * 1024;

  std::size_t size() const noexcept { return content_ ? content_->size : 0; }
  bool empty() const noexcept { return !content_; }

  /// Copies `bytes` to the back. Throws std::bad_alloc, and then nothing has changed.
  void append(BytesView bytes);
  /// Fills `pieces` from the front; returns how many were set. Valid until the next change.
  std::size_t gather(std::span<BytesView> pieces) const noexcept;
  /// Drops `n` bytes from the front; n <= size().
  void consume(std::size_t n) noexcept;
  void clear() noexcept { content_.reset(); }
  /// Copies all of it to the back of another one.
  void copy_to(WriteQueue& other) const;

 private:
  struct Content {
    std::vector<Buffer> segments;
    std::size_t head = 0;  // segments before it are spent
    std::size_t size = 0;  // > 0
  };
  std::unique_ptr<Content> content_;  // null: empty. One word, because every connection has one.
};

}  // namespace ferry
