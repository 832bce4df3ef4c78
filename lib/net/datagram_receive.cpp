#include "datagram_call.h"
#include "poison.h"

#include <algorithm>
#include <new>

namespace ferry {

namespace {

/// Batches that were full before another descriptor gets its turn (contract C11).
constexpr int kFullBatchesPerTurn = 4;
/// What a place holds: any UDP datagram; of unix ones as many bytes as Linux sends by default.
constexpr std::size_t kIpPlace = 64 * 1024;
constexpr std::size_t kUnixPlace = 256 * 1024;
/// Between two places, so that they do not all fall into the same lines of the cache.
constexpr std::size_t kSkew = 192;
/// Before it is tried again to get memory.
constexpr Duration kNoMemory = std::chrono::milliseconds(100);

}  // namespace

void DatagramSocket::resume_reading() {
  if (!paused_ || closing_) return;
  paused_ = false;
  if ((readable_ || !held_.empty()) && made_) receive_later();
}

void DatagramSocket::on_readable(FdWatch::ReadEvent event) {
  if (!made_ || !is_reading()) {
    readable_ = true;  // kept for resume_reading
    return;
  }
  receive_or_retry(event.drain);
}

/// Without memory nothing is received, and a little later it is tried again.
void DatagramSocket::receive_or_retry(bool drain) {
  try {
    receive(drain);
  } catch (const std::bad_alloc&) {
    readable_ = true;
    retry_.set(kNoMemory);
    report_error(std::make_error_code(std::errc::not_enough_memory));
  }
}

/// Receives until nothing is left, the protocol pauses or the turn's budget is spent. With `drain`
/// a batch that is not full proves nothing (see FdWatch::ReadEvent).
void DatagramSocket::receive(bool drain) {
  readable_ = false;
  if (!deliver_held()) {
    readable_ = true;
    return;
  }
  const MutableBytes memory = loop().datagram_buffer();
  const std::size_t size = plain_ ? kUnixPlace : kIpPlace;
  const std::size_t count = std::min(memory.size() / (size + kSkew), kBatch);
  if (!places_) places_ = std::make_unique<std::array<IncomingDatagram, kBatch>>();
  for (std::size_t i = 0; i < count; ++i) {
    (*places_)[i].buffer = memory.subspan(i * (size + kSkew), size);
    (*places_)[i].plain = plain_;
  }
  for (int budget = kFullBatchesPerTurn; budget > 0; --budget) {
    unpoison(memory);
    const IoResult r = loop().kernel().recv_datagrams(fd_, std::span(*places_).first(count));
    if (r.would_block()) return watch_->arm(Direction::read, FdWatch::Arm::after_would_block);
    if (!r.ok()) {
      report_error(r.code());
      drain = true;
    } else {
      const bool all = receive_batch(r.count());
      poison(memory);
      if (all && r.count() < count && !drain) {
        // Also while paused: an edge that comes then is remembered in readable_.
        return watch_->arm(Direction::read, FdWatch::Arm::after_would_block);
      }
    }
    if (closing_) return;
    if (paused_) {
      readable_ = true;
      return;
    }
  }
  // By way of the kernel, so that others are heard first.
  watch_->arm(Direction::read, FdWatch::Arm::if_ready);
}

/// Delivers what is in the first `count` places, and holds what must wait. False if this side
/// closed.
bool DatagramSocket::receive_batch(std::size_t count) {
  const Cork cork(*this);
  for (IncomingDatagram& place : std::span(*places_).first(count)) {
    if (closing_) return false;
    if (place.truncated) {
      report_error(std::make_error_code(std::errc::message_size));
      continue;
    }
    if (knows_local_ && place.info.local.is_ip()) {
      place.info.local = place.info.local.with_port(sockname().port());
    }
    BytesView rest(place.buffer.data(), place.size);
    do {
      const BytesView one = place.segment == 0 ? rest : rest.first(place.segment);
      deliver(one, place.info);
      rest = rest.drop(one.size());
    } while (!rest.empty());
  }
  return !closing_;
}

void DatagramSocket::deliver(BytesView bytes, const DatagramInfo& info) {
  if (closing_) return;
  if (paused_) {
    try {
      held_.push_back({{bytes.begin(), bytes.end()}, info});
    } catch (const std::bad_alloc&) {
      report_error(std::make_error_code(std::errc::not_enough_memory));
    }
    return;
  }
  call("datagram_received", [&](DatagramProtocol& p) { p.datagram_received(bytes, info); });
}

/// False if there is still something held, or this side closed.
bool DatagramSocket::deliver_held() {
  const Cork cork(*this);
  while (!held_.empty() && is_reading()) {
    const Held held = std::move(held_.front());
    held_.pop_front();
    deliver(held.bytes, held.info);
  }
  return is_reading();
}

/// Goes on receiving in a turn of its own. Until then the watch is unarmed.
void DatagramSocket::receive_later() {
  if (read_queued_) return;
  read_queued_ = true;
  call_without_fail([socket = self_] { socket->receive_again(); });
}

void DatagramSocket::receive_again() {
  read_queued_ = false;
  if (!is_reading()) return;
  if (readable_) {
    receive_or_retry(/*drain=*/true);
  } else {
    deliver_held();  // the watch is armed
  }
}

}  // namespace ferry
