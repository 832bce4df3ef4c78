#include "datagram_call.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <stdexcept>
#include <string>

namespace ferry {

namespace {

/// Inside callbacks this much is gathered before it is sent all the same; and a datagram of kBig is
/// sent from where it lies instead of being copied.
constexpr std::size_t kGatherLimit = 64 * 1024;
constexpr std::size_t kBig = 16 * 1024;
/// Errors of queued datagrams before others get their turn.
constexpr int kErrorsPerTurn = 64;
/// Sends dropped in silence before each further one is logged (asyncio's number).
constexpr int kSilentDrops = 4;
constexpr Duration kRetry = std::chrono::milliseconds(1);

/// A kernel, or a link, that does not take segments (udp(7)).
bool refuses_segments(int error) {
  return error == EINVAL || error == EIO || error == EMSGSIZE || error == EOPNOTSUPP ||
         error == ENOPROTOOPT;
}

OutgoingDatagram outgoing(BytesView data, const Address& to, const Address&) {
  OutgoingDatagram one;
  one.bytes = data;
  if (!to.empty()) one.to = &to;
  return one;
}

OutgoingDatagram outgoing(BytesView data, const Address& to, const DatagramInfo& how) {
  OutgoingDatagram one = outgoing(data, to, to);
  if (!how.local.empty()) one.from = &how.local;
  one.tos = how.tos;
  return one;
}

}  // namespace

/// Where a datagram goes whose caller said `to`; empty: to the connected peer. Throws for misuse.
const Address& DatagramSocket::destination(const Address& to) const {
  static const Address peer;
  if (to.empty()) {
    if (remote_.empty()) throw std::invalid_argument("sendto: to whom?");
    return connected_ ? peer : remote_;
  }
  if (!remote_.empty()) {
    if (to != remote_) {
      throw std::invalid_argument("sendto: the socket is for " + remote_.to_string() +
                                  ", and not for " + to.to_string());
    }
    return connected_ ? peer : remote_;
  }
  if (to.family() != sockname_.family()) {
    throw std::invalid_argument("sendto: " + to.to_string() + " is not of the socket's family");
  }
  return to;
}

void DatagramSocket::sendto(BytesView data, const Address& to) {
  if (lost()) return;
  const Address& target = destination(to);
  put(data, target, target);
}

void DatagramSocket::sendto(BytesView data, const DatagramInfo& how) {
  if (lost()) return;
  const Address& target = destination(how.peer);
  if (how.local.empty() && how.tos < 0) return put(data, target, target);
  if (!how.local.empty() && how.local.family() != sockname_.family()) {
    throw std::invalid_argument("sendto: the local address is not of the socket's family");
  }
  put(data, target, how);
}

void DatagramSocket::send_each(std::span<const BytesView> datagrams, const Address& to) {
  if (lost()) return;
  destination(to);  // misuse shows also if there is nothing to send
  const Cork cork(*this);
  for (const BytesView data : datagrams) sendto(data, to);
}

template <class How>
void DatagramSocket::put(BytesView data, const Address& to, const How& how) {
  if (closing_) {
    if (dropped_sends_ < UINT16_MAX) ++dropped_sends_;
    if (dropped_sends_ > kSilentDrops) {
      loop().log(LogLevel::warning, report_text([this] {
                   return "sendto on a closing socket (" + sockname().to_string() + ")";
                 }));
    }
    return;
  }
  if (corks_ > 0 && data.size() >= kBig) send_queue();
  if (queue_.empty() && (corks_ == 0 || data.size() >= kBig)) {
    const OutgoingDatagram one = outgoing(data, to, how);
    const IoResult r = loop().kernel().send_datagrams(fd_, std::span(&one, 1));
    if (r.ok()) [[likely]]
      return;
    if (!r.would_block()) return report_error(r.code());
  }
  if (closing_) return;  // by an error_received of send_queue's
  if (flow_.overflows(queue_.size() + data.size() + kHeaderSize)) {
    return report_error(make_error_code(errc::write_overflow));
  }
  if constexpr (std::is_same_v<How, DatagramInfo>) {
    DatagramInfo details{to, how.local, how.tos};
    queue_.append(data, details);
  } else {
    queue_.append(data, to);
  }
  if (corks_ > 0 && !write_armed_) {
    if (queue_.size() <= std::min(kGatherLimit, flow_.limits().high)) return;
    send_queue();
  } else {
    await_writable();
  }
  check_high_water();
}

/// Sends what is queued as far as the kernel takes it now. A datagram that it refuses is dropped
/// and reported; the others go on.
void DatagramSocket::send_queue() {
  if (sending_) return;
  sending_ = true;
  std::array<OutgoingDatagram, Kernel::kMaxDatagrams> batch;
  for (int errors = 0; !queue_.empty();) {
    const std::size_t count = queue_.gather(batch, joins_);
    const IoResult r = loop().kernel().send_datagrams(fd_, std::span(batch).first(count));
    if (r.ok()) {
      std::size_t sent = 0;
      for (std::size_t i = 0; i < r.count(); ++i) sent += datagrams_in(batch[i]);
      queue_.consume(sent);
      continue;
    }
    if (r.would_block()) {
      await_writable();
      break;
    }
    if (batch[0].segment != 0 && refuses_segments(r.error)) {
      joins_ = false;
      continue;
    }
    queue_.consume(1);
    report_error(r.code());
    if (++errors == kErrorsPerTurn) {
      await_writable();
      break;
    }
  }
  sending_ = false;
}

void DatagramSocket::await_writable() {
  if (!connected_ && plain_) {
    // That a queue of another unix socket is full is an error of the send and not a state of this
    // socket, which stays writable: there is no event to wait for.
    if (!retry_.active()) retry_.set(kRetry);
    return;
  }
  if (write_armed_) return;
  try {
    watch_->arm(Direction::write, FdWatch::Arm::if_ready);
    write_armed_ = true;
  } catch (const std::bad_alloc&) {
    if (!retry_.active()) retry_.set(kRetry);
  }
}

void DatagramSocket::on_writable() {
  write_armed_ = false;
  const Cork cork(*this);
  send_queue();
}

/// The end of a callback, or of a batch of them: what was sent goes out.
void DatagramSocket::uncork() {
  if (lost() || sending_) return;
  if (!write_armed_ && !retry_.active()) send_queue();
  if (ending_) return;
  if (flow_.should_resume(queue_.size())) {
    return call("resume_writing", [](DatagramProtocol& p) { p.resume_writing(); });
  }
  if (!queue_.empty()) {
    check_high_water();
  } else if (closing_) {
    end_soon();
  }
}

void DatagramSocket::check_high_water() {
  if (ending_ || !made_ || !flow_.should_pause(queue_.size())) return;
  call("pause_writing", [](DatagramProtocol& p) { p.pause_writing(); });
}

void DatagramSocket::set_write_buffer_limits(std::optional<std::size_t> high,
                                             std::optional<std::size_t> low) {
  flow_.set_limits(high, low);
  if (!closing_) check_high_water();
}

}  // namespace ferry
