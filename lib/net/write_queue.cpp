#include "write_queue.h"

#include <algorithm>

namespace ferry {

void WriteQueue::append(BytesView bytes) {
  if (bytes.empty()) return;
  if (!content_) content_ = std::make_unique<Content>();
  Content& c = *content_;
  c.size += bytes.size();
  if (!c.segments.empty()) {
    Buffer& last = c.segments.back();
    const BytesView fits = bytes.first(last.spare());
    last.append(fits);
    bytes = bytes.drop(fits.size());
    if (bytes.empty()) return;
  }
  if (c.head > 16 && c.head > c.segments.size() / 2) {
    const auto first = c.segments.begin();
    c.segments.erase(first, first + static_cast<std::ptrdiff_t>(c.head));
    c.head = 0;
  }
  Buffer& segment = c.segments.emplace_back();
  segment.reserve(std::max(bytes.size(), kSegment));
  segment.append(bytes);
}

std::size_t WriteQueue::gather(std::span<BytesView> pieces) const noexcept {
  if (!content_) return 0;
  const Content& c = *content_;
  const std::size_t count = std::min(pieces.size(), c.segments.size() - c.head);
  for (std::size_t i = 0; i < count; ++i) pieces[i] = c.segments[c.head + i].view();
  return count;
}

void WriteQueue::copy_to(WriteQueue& other) const {
  if (!content_) return;
  for (std::size_t i = content_->head; i < content_->segments.size(); ++i) {
    other.append(content_->segments[i].view());
  }
}

void WriteQueue::consume(std::size_t n) noexcept {
  if (n == 0) return;
  Content& c = *content_;
  c.size -= n;
  if (c.size == 0) return clear();
  while (n >= c.segments[c.head].size()) {
    n -= c.segments[c.head].size();
    c.segments[c.head++].reset();
  }
  c.segments[c.head].consume(n);
}

}  // namespace ferry
