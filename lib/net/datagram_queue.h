#pragma once

#include <ferry/datagram.h>

#include <memory>
#include <span>
#include <vector>

namespace ferry {

/// Datagrams that wait to be sent: their bytes one behind the other in one buffer, so that
/// neighbours of one size to one peer, a run, can be handed over as one piece.
class DatagramQueue {
 public:
  bool empty() const noexcept { return count_ == 0; }
  /// Their bytes, and kHeaderSize for each.
  std::size_t size() const noexcept {
    return bytes_.size() + count_ * DatagramTransport::kHeaderSize;
  }

  /// Copies a datagram to the back. `to` empty: the connected peer.
  /// Both throw std::bad_alloc, and then nothing has changed.
  void append(BytesView data, const Address& to);
  void append(BytesView data, const DatagramInfo& how);
  /// Fills `batch` from the front; returns how many were set. With `join`, neighbours that may be
  /// sent as segments are one. Valid until the next change.
  std::size_t gather(std::span<OutgoingDatagram> batch, bool join) const noexcept;
  /// Drops `count` datagrams (not places of a batch) from the front.
  void consume(std::size_t count) noexcept;
  void clear() noexcept;

 private:
  /// One datagram; or several of `size` bytes, the last one perhaps of fewer.
  struct Run {
    std::size_t size;
    std::size_t bytes;  // of all of them
    Address to;
    std::unique_ptr<DatagramInfo> details;  // null: nothing but `to` matters
    bool ended;                             // no other one can follow
  };
  void push(BytesView data, const Address& to, std::unique_ptr<DatagramInfo> details);

  Buffer bytes_;
  std::vector<Run> runs_;
  std::size_t head_ = 0;   // runs before it are sent
  std::size_t count_ = 0;  // datagrams
};

/// How many datagrams one place of a batch holds.
inline std::size_t datagrams_in(const OutgoingDatagram& place) noexcept {
  if (place.segment == 0) return 1;
  return (place.bytes.size() + place.segment - 1) / place.segment;
}

}  // namespace ferry
