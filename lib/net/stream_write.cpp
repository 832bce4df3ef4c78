#include "stream_transport.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <stdexcept>
#include <string>
#include <utility>

namespace ferry {

namespace {

/// Inside a callback, this much is gathered before it is sent all the same; and a single write of
/// kBig is sent along from where it lies instead of being copied.
constexpr std::size_t kGatherLimit = 64 * 1024;
constexpr std::size_t kBig = 16 * 1024;
/// Writes dropped in silence before each further one is logged (asyncio's number).
constexpr int kSilentDrops = 4;

}  // namespace

std::size_t StreamTransport::get_write_buffer_size() const noexcept {
  return queued() + (corked_ ? loop().gather_buffer().size() : 0);
}

IoResult StreamTransport::transmit(std::span<const BytesView> pieces) {
  Kernel& kernel = loop().kernel();
  if (!ends_.socket) [[unlikely]]
    return kernel.write_pieces(fd_, pieces);
  return pieces.size() == 1 ? kernel.send(fd_, pieces[0]) : kernel.send_pieces(fd_, pieces);
}

/// False if a write is to be dropped: the connection is closing or lost.
bool StreamTransport::accepts_writes() {
  if (!closing_ && !eof_wanted_ && !writing_reserved_) [[likely]]
    return true;
  if (lost()) return false;
  if (!closing_) check_not_reserved();
  if (eof_wanted_ && !ends_.writes) throw std::logic_error("write to the reading end of a pipe");
  if (eof_wanted_) throw std::logic_error("write after write_eof");
  if (dropped_writes_ < UINT16_MAX) ++dropped_writes_;
  if (dropped_writes_ > kSilentDrops) {
    loop().log(LogLevel::warning, report_text([this] {
                 return "write to a closing connection (" + peername_.to_string() + ")";
               }));
  }
  return false;
}

void StreamTransport::check_not_reserved() const {
  if (writing_reserved_) throw std::logic_error("write while sendfile is in progress");
}

void StreamTransport::write(BytesView data) {
  if (!accepts_writes() || data.empty()) return;
  or_fail("write", [&] {
    if (take(data)) check_high_water();
  });
}

void StreamTransport::writelines(std::span<const BytesView> pieces) {
  if (!accepts_writes()) return;
  or_fail("write", [&] {
    bool look = !corked_;
    if (!corked_) {
      send_pieces(pieces);
    } else {
      for (const BytesView piece : pieces) {
        if (!piece.empty() && take(piece)) look = true;
        if (closing_) return;
      }
    }
    // Not before all of them are taken: what pause_writing writes comes behind them.
    if (look) check_high_water();
  });
}

/// Gathers, sends or queues `data`. False if it was merely gathered, far from any limit.
bool StreamTransport::take(BytesView data) {
  if (corked_ && data.size() < kBig) {
    Buffer& gathered = loop().gather_buffer();
    gathered.append(data);
    const std::size_t limit = std::min(kGatherLimit, flow_.limits().high);
    if (gathered.size() + queue_.size() <= limit) return false;
    send_gathered();
  } else if (corked_ && !loop().gather_buffer().empty()) {
    const BytesView pieces[] = {loop().gather_buffer().view(), data};
    send_pieces(pieces);
    loop().gather_buffer().clear();
  } else {
    send(data);
  }
  return true;
}

/// Sends `data` as far as the kernel takes it now, and queues a copy of the rest.
void StreamTransport::send(BytesView data) {
  if (nothing_queued()) {
    const IoResult r = transmit(std::span(&data, 1));
    if (r.ok()) {
      if (r.count() == data.size()) [[likely]]
        return;
      data = data.drop(r.count());
    } else if (!r.would_block()) {
      return fail(r.code(), "send");
    }
  }
  if (queue_up(data)) await_writable();
}

/// False, and the connection has failed, if there is no memory: part of what the program wrote may
/// be on its way, so it cannot be told to try again.
bool StreamTransport::queue_up(BytesView data) {
  or_fail("write", [&] { queue_.append(data); });
  return !aborted_;
}

void StreamTransport::send_gathered() {
  Buffer& gathered = loop().gather_buffer();
  send(gathered.view());
  gathered.clear();
}

/// As `send` of the concatenation, without making it.
void StreamTransport::send_pieces(std::span<const BytesView> pieces) {
  while (!pieces.empty() && nothing_queued()) {
    if (pieces.front().empty()) {  // nothing to send is no system call
      pieces = pieces.subspan(1);
      continue;
    }
    const auto batch = pieces.first(std::min(pieces.size(), Kernel::kMaxPieces));
    pieces = pieces.subspan(batch.size());
    const IoResult r = transmit(batch);
    if (!r.ok() && !r.would_block()) return fail(r.code(), "send");
    std::size_t sent = r.ok() ? r.count() : 0;
    for (const BytesView piece : batch) {
      const std::size_t skip = std::min(sent, piece.size());
      if (!queue_up(piece.drop(skip))) return;
      sent -= skip;
    }
  }
  for (const BytesView piece : pieces) {
    if (!queue_up(piece)) return;
  }
  if (!queue_.empty()) await_writable();
}

void StreamTransport::await_writable() {
  if (write_armed_) return;
  write_armed_ = true;
  or_fail("send", [this] { watch_->arm(Direction::write, FdWatch::Arm::after_would_block); });
}

/// The end of a callback: what it wrote goes out in one call.
void StreamTransport::uncork() {
  if (!loop().gather_buffer().empty()) send_gathered();
  corked_ = false;
  if (nothing_queued()) {
    if (closing_ || eof_wanted_) flushed();
  } else {
    check_high_water();
  }
}

void StreamTransport::on_writable() {
  or_fail("send", [this] { go_on_writing(); });
}

void StreamTransport::go_on_writing() {
  write_armed_ = false;
  send_queue();
  if (ending_) return;
  if (rare_ && rare_->splice && nothing_queued()) source_may_go_on();
  if (sending_file()) {
    if (nothing_queued()) send_more_of_file();
    return;
  }
  if (!resume_if_low() && nothing_queued()) flushed();
}

/// Says whether resume_writing was called, which may have changed everything.
bool StreamTransport::resume_if_low() {
  if (!flow_.should_resume(queued())) return false;
  Cork cork(*this);
  if (!slot_.resume_writing(*this)) {
    fail(make_error_code(errc::protocol_failed), "resume_writing");
  }
  return true;
}

void StreamTransport::send_queue() {
  if (piped_ && !send_pipe()) return;
  std::array<BytesView, Kernel::kMaxPieces> batch;
  while (!queue_.empty()) {
    const std::size_t count = queue_.gather(batch);
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < count; ++i) bytes += batch[i].size();
    const IoResult r = transmit(std::span(batch).first(count));
    if (!r.ok() && !r.would_block()) return fail(r.code(), "send");
    const std::size_t sent = r.ok() ? r.count() : 0;
    queue_.consume(sent);
    if (sent < bytes) return await_writable();
  }
}

/// Nothing waits to be sent: the end of writing that was asked for can come.
void StreamTransport::flushed() {
  if (ending_) return;
  if (eof_wanted_ && !eof_sent_) send_eof();
  if (closing_) end_soon();
}

/// ENOTCONN means that the peer has reset the connection. What came before that, and the reason,
/// are still to be read: so that is done first.
void StreamTransport::send_eof() {
  eof_sent_ = true;
  const IoResult r = loop().kernel().shutdown(fd_, SHUT_WR);
  if (r.ok() || closing_) return;
  eof_refused_ = true;
  if (eof_received_) return fail_refused_eof();
  readable_ = true;
  if (!paused_) read_later();
}

void StreamTransport::fail_refused_eof() {
  fail(system_error_code(ENOTCONN), "shutdown");
}

void StreamTransport::check_high_water() {
  if (nothing_queued() && !corked_) [[likely]]
    return;
  if (ending_) return;
  if (flow_.overflows(get_write_buffer_size())) {
    return fail(make_error_code(errc::write_overflow), "write");
  }
  if (flow_.should_pause(get_write_buffer_size()) && !slot_.pause_writing(*this)) {
    fail(make_error_code(errc::protocol_failed), "pause_writing");
  }
}

void StreamTransport::write_eof() {
  if (closing_ || eof_wanted_) return;
  check_not_reserved();
  if (!ends_.reads) return close();  // there is nothing left of a pipe without its writing end
  eof_wanted_ = true;
  if (!corked_ && nothing_queued()) flushed();
}

void StreamTransport::set_write_buffer_limits(std::optional<std::size_t> high,
                                              std::optional<std::size_t> low) {
  flow_.set_limits(high, low);
  limits_changed();
}

void StreamTransport::set_write_hard_limit(std::size_t bytes) {
  flow_.set_hard_limit(bytes);
  limits_changed();
}

void StreamTransport::limits_changed() {
  if (closing_ || !slot_.made()) return;
  // What is merely gathered is no backlog: nobody would tell when it is gone.
  if (corked_ && !loop().gather_buffer().empty()) send_gathered();
  check_high_water();
}

}  // namespace ferry
