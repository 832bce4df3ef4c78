#include "datagram_queue.h"

#include <utility>

namespace ferry {

namespace {

/// What the kernel splits itself must fit the link: larger ones gain little by being joined.
constexpr std::size_t kMostSegment = 1452;
/// Of one joined piece: IPv4's limit less headers (with room to spare), and UDP_MAX_SEGMENTS.
constexpr std::size_t kMostJoined = 65000;
constexpr std::size_t kMostSegments = 64;

}  // namespace

void DatagramQueue::append(BytesView data, const Address& to) {
  bytes_.append(data);
  entries_.push_back({data.size(), to, nullptr});
}

void DatagramQueue::append(BytesView data, const DatagramInfo& how) {
  bytes_.append(data);
  entries_.push_back({data.size(), how.peer, std::make_unique<DatagramInfo>(how)});
}

std::size_t DatagramQueue::gather(std::span<OutgoingDatagram> batch, bool join) const noexcept {
  std::size_t count = 0;
  BytesView rest = bytes_.view();
  for (std::size_t i = head_; i < entries_.size() && count < batch.size();) {
    const Entry& first = entries_[i++];
    std::size_t size = first.size;
    std::size_t joined = 1;
    if (join && size > 0 && size <= kMostSegment && !first.details) {
      // The last segment may be shorter, and ends the piece.
      for (std::size_t last = size; i < entries_.size() && last == first.size; ++i, ++joined) {
        const Entry& next = entries_[i];
        last = next.size;
        if (last == 0 || last > first.size || next.details || joined == kMostSegments ||
            size + last > kMostJoined || next.to != first.to) {
          break;
        }
        size += last;
      }
    }
    OutgoingDatagram& place = batch[count++];
    place = {};
    place.bytes = rest.first(size);
    if (joined > 1) place.segment = first.size;
    if (!first.to.empty()) place.to = &first.to;
    if (first.details) {
      place.tos = first.details->tos;
      if (!first.details->local.empty()) place.from = &first.details->local;
    }
    rest = rest.drop(size);
  }
  return count;
}

void DatagramQueue::consume(std::size_t count) noexcept {
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < count; ++i) bytes += entries_[head_ + i].size;
  head_ += count;
  if (head_ == entries_.size()) return clear();
  bytes_.consume(bytes);
  if (head_ > 1024 && head_ > entries_.size() / 2) {
    entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(head_));
    head_ = 0;
  }
}

void DatagramQueue::clear() noexcept {
  bytes_.clear();
  entries_.clear();
  head_ = 0;
}

}  // namespace ferry
