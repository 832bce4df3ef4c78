#include "stream_transport.h"

#include "poison.h"

#include <cerrno>
#include <utility>

namespace ferry {

namespace {

/// Reads that filled their buffer before another connection gets its turn (contract C11).
constexpr int kFullReadsPerTurn = 16;

}  // namespace

void StreamTransport::pause_reading() {
  paused_ = true;
}

void StreamTransport::resume_reading() {
  if (!paused_ || closing_) return;
  paused_ = false;
  if (readable_ && slot_.made()) read_later();
}

void StreamTransport::on_readable(FdWatch::ReadEvent event) {
  if (!ends_.reads && slot_.made()) return on_reader_gone();
  if (!slot_.made() || !is_reading()) {
    // Kept for resume_reading. The watch stays unarmed, so a paused connection costs nothing.
    readable_ = true;
    return;
  }
  or_fail("recv", [&] { read_ready(event.drain || ends_.short_reads || eof_refused_); });
}

/// Nobody will read what is written here.
void StreamTransport::on_reader_gone() {
  if (ending_) return;
  if (get_write_buffer_size() > 0 || sending_file()) return fail(system_error_code(EPIPE), "write");
  closing_ = true;
  end_soon();
}

/// Reads until the socket is empty, the protocol pauses or the turn's budget is spent. With `drain`
/// a short read proves nothing (see FdWatch::ReadEvent).
void StreamTransport::read_ready(bool drain) {
  readable_ = false;
  bool passed_on = false;
  for (int budget = kFullReadsPerTurn; budget > 0; --budget) {
    if (splicing_) [[unlikely]] {
      const Spliced spliced = splice_some();
      if (spliced == Spliced::over) return;
      if (spliced == Spliced::passed_on) {
        passed_on = true;
        if (!paused_) continue;
        readable_ = true;
        return;
      }
      if (spliced == Spliced::nothing && !drain && (passed_on || rare_->splice->unsure)) {
        return watch_->arm(Direction::read, FdWatch::Arm::after_would_block);
      }
      // Or else by recv: of what is behind an urgent mark splice knows nothing.
    }
    const bool buffered = slot_.get()->as_buffered() != nullptr;
    MutableBytes into;
    if (buffered) {
      const Protocol* const asked = slot_.get().get();
      if (!slot_.get_buffer(*this, into)) {
        return fail(make_error_code(errc::protocol_failed), "get_buffer");
      }
      if (!is_reading()) {
        readable_ = true;  // it is still unread
        return;
      }
      if (slot_.get().get() != asked) continue;  // replaced, and its buffer may be gone
    } else {
      into = loop().receive_buffer();
      unpoison(into);
    }

    Kernel& kernel = loop().kernel();
    const IoResult r = ends_.socket ? kernel.recv(fd_, into) : kernel.read(fd_, into);
    if (r.would_block()) {
      if (eof_refused_) return fail_refused_eof();
      return watch_->arm(Direction::read, FdWatch::Arm::after_would_block);
    }
    if (!r.ok()) return fail(r.code(), "recv");
    if (r.value == 0) return on_eof();
    const bool emptied = r.count() < into.size() && !drain;
    if (!deliver(into, r.count(), buffered)) return;

    if (emptied) {
      // Also while paused: an edge that comes then is remembered in readable_.
      return watch_->arm(Direction::read, FdWatch::Arm::after_would_block);
    }
    if (paused_) {
      readable_ = true;
      return;
    }
  }
  // By way of the kernel, so that others are heard first: up to 61 callbacks run before it is
  // asked.
  watch_->arm(Direction::read, FdWatch::Arm::if_ready);
}

/// Hands `size` bytes to the protocol. False if the connection is over.
bool StreamTransport::deliver(MutableBytes into, std::size_t size, bool buffered) {
  bool returned = false;
  {
    Cork cork(*this);
    if (buffered) {
      returned = slot_.buffer_updated(*this, size);
    } else {
      returned = slot_.data_received(*this, BytesView(into.data(), size));
      poison(into);
    }
    if (!returned) fail(make_error_code(errc::protocol_failed), "data_received");
  }
  return !closing_;
}

void StreamTransport::on_eof() {
  eof_received_ = true;
  bool keep_open = false;
  Cork cork(*this);
  if (!slot_.eof_received(*this, keep_open)) {
    fail(make_error_code(errc::protocol_failed), "eof_received");
  } else if (eof_refused_) {
    fail_refused_eof();
  } else if (!keep_open || !ends_.writes) {
    close();
  }
}

/// Goes on reading in a turn of its own. Until then the watch is unarmed, and the edge of a FIN
/// that comes meanwhile is lost: so that read goes on until nothing is left.
void StreamTransport::read_later() {
  readable_ = true;
  if (read_queued_) return;
  read_queued_ = true;
  call_without_fail([transport = self_] { transport->read_again(); });
}

void StreamTransport::read_again() {
  read_queued_ = false;
  if (!readable_ || !is_reading()) return;
  or_fail("recv", [this] { read_ready(/*drain=*/true); });
}

}  // namespace ferry
