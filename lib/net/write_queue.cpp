#include "write_queue.h"

#include <algorithm>

namespace ferry {

void WriteQueue::append(BytesView bytes) {
  if (bytes.empty()) return;
  if (!segments_.empty()) {
    Buffer& last = segments_.back();
    const BytesView fits = bytes.first(last.spare());
    last.append(fits);
    size_ += fits.size();
    bytes = bytes.drop(fits.size());
    if (bytes.empty()) return;
  }
  if (head_ > 16 && head_ > segments_.size() / 2) {
    segments_.erase(segments_.begin(), segments_.begin() + static_cast<std::ptrdiff_t>(head_));
    head_ = 0;
  }
  Buffer& segment = segments_.emplace_back();
  segment.reserve(std::max(bytes.size(), kSegment));
  segment.append(bytes);
  size_ += bytes.size();
}

std::size_t WriteQueue::gather(std::span<BytesView> pieces) const noexcept {
  const std::size_t count = std::min(pieces.size(), segments_.size() - head_);
  for (std::size_t i = 0; i < count; ++i) pieces[i] = segments_[head_ + i].view();
  return count;
}

void WriteQueue::consume(std::size_t n) noexcept {
  size_ -= n;
  if (size_ == 0) return clear();
  while (n >= segments_[head_].size()) {
    n -= segments_[head_].size();
    segments_[head_++].reset();
  }
  segments_[head_].consume(n);
}

void WriteQueue::clear() noexcept {
  std::vector<Buffer>().swap(segments_);
  head_ = 0;
  size_ = 0;
}

}  // namespace ferry
