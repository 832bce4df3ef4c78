#include "datagram_queue.h"

#include <algorithm>
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
  if (!empty()) {
    Run& last = runs_.back();
    if (!last.ended && data.size() <= last.size && !data.empty() && to == last.to) {
      bytes_.append(data);
      last.bytes += data.size();
      last.ended = data.size() < last.size;
      ++count_;
      return;
    }
  }
  push(data, to, nullptr);
}

void DatagramQueue::append(BytesView data, const DatagramInfo& how) {
  push(data, how.peer, std::make_unique<DatagramInfo>(how));
}

void DatagramQueue::push(BytesView data, const Address& to, std::unique_ptr<DatagramInfo> details) {
  const bool alone = data.empty() || details;
  runs_.push_back({data.size(), data.size(), to, std::move(details), alone});
  try {
    bytes_.append(data);
  } catch (...) {
    runs_.pop_back();
    throw;
  }
  ++count_;
}

std::size_t DatagramQueue::gather(std::span<OutgoingDatagram> batch, bool join) const noexcept {
  std::size_t count = 0;
  BytesView rest = bytes_.view();
  for (std::size_t i = head_; i < runs_.size() && count < batch.size(); ++i) {
    const Run& run = runs_[i];
    std::size_t most = run.size;  // of one place
    if (join && run.bytes > run.size && run.size <= kMostSegment) {
      most *= std::min(kMostSegments, kMostJoined / run.size);
    }
    std::size_t left = run.bytes;
    do {
      OutgoingDatagram& place = batch[count++];
      place = {};
      place.bytes = rest.first(std::min(most, left));
      if (place.bytes.size() > run.size) place.segment = run.size;
      if (!run.to.empty()) place.to = &run.to;
      if (run.details) {
        place.tos = run.details->tos;
        if (!run.details->local.empty()) place.from = &run.details->local;
      }
      rest = rest.drop(place.bytes.size());
      left -= place.bytes.size();
    } while (left > 0 && count < batch.size());
  }
  return count;
}

void DatagramQueue::consume(std::size_t count) noexcept {
  count_ -= count;
  if (count_ == 0) return clear();
  std::size_t bytes = 0;
  while (count > 0) {
    Run& run = runs_[head_];
    const std::size_t held = run.size == 0 ? 1 : (run.bytes + run.size - 1) / run.size;
    if (count < held) {
      run.bytes -= count * run.size;
      bytes += count * run.size;
      break;
    }
    bytes += run.bytes;
    count -= held;
    ++head_;
  }
  bytes_.consume(bytes);
  if (head_ > 1024 && head_ > runs_.size() / 2) {
    runs_.erase(runs_.begin(), runs_.begin() + static_cast<std::ptrdiff_t>(head_));
    head_ = 0;
  }
}

void DatagramQueue::clear() noexcept {
  bytes_.clear();
  runs_.clear();
  head_ = count_ = 0;
}

}  // namespace ferry
