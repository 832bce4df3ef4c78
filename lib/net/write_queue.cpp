#include "write_queue.h"

#include <algorithm>

namespace ferry {

void WriteQueue::append(BytesView bytes) {
  if (bytes.empty()) return;
  const std::size_t room = content_ ? content_->segments.back().spare() : 0;
  const BytesView fits = bytes.first(room);
  const BytesView rest = bytes.drop(fits.size());
  // First all that may fail.
  if (!rest.empty()) {
    Buffer segment;
    segment.reserve(std::max(rest.size(), kSegment));
    segment.append(rest);
    if (!content_) {
      auto content = std::make_unique<Content>();
      content->segments.push_back(std::move(segment));
      content_ = std::move(content);
    } else {
      Content& c = *content_;
      if (c.head > 16 && c.head > c.segments.size() / 2) {
        const auto first = c.segments.begin();
        c.segments.erase(first, first + static_cast<std::ptrdiff_t>(c.head));
        c.head = 0;
      }
      c.segments.push_back(std::move(segment));
    }
  }
  if (!fits.empty())
    content_->segments[content_->segments.size() - (rest.empty() ? 1 : 2)].append(fits);
  content_->size += bytes.size();
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
