#include "tls_connection.h"

#include "error_codes.h"
#include "spare_memory.h"

#include <optional>
#include <utility>

namespace ferry {
namespace {

/// Deliveries that filled their buffer before another connection gets its turn (contract C11).
constexpr int kFullReadsPerTurn = 16;

}  // namespace

void TlsConnection::data_received(BytesView data) {
  if (!over_ && !eof_told_) work(data);  // behind a close_notify nothing counts
}

bool TlsConnection::eof_received() {
  below_eof_ = true;
  work();
  // True: something is still to be sent, and this side decides when it is done.
  return !over_ && !below_closing_;
}

/// Goes as far as it can get: the handshake, then reading, writing and closing; then sends what has
/// come of it. Bytes are read where they lie; only what must wait is copied.
void TlsConnection::work(BytesView received) {
  if (working_) {
    again_ = true;
    return;
  }
  if (!engine_ || over_) return;
  const auto self = shared_from_this();
  working_ = true;
  resumed_ = false;
  or_fail("TLS", [&] { work_on(received); });
  if (engine_) engine_->set_input({});
  working_ = false;
  or_fail("TLS", [this] { steer_below(); });
}

void TlsConnection::work_on(BytesView received) {
  Buffer waiting = std::move(input_);
  if (!waiting.empty()) waiting.append(received);
  const bool waited = !waiting.empty();
  engine_->set_input(waited ? waiting.view() : received);
  if (engine_->output().capacity() == 0) engine_->output() = take_spare_buffer();
  do {
    again_ = false;
    advance();
  } while (again_ && !over_);
  flush();
  if (!over_) {
    const BytesView rest = engine_->input();
    if (!waited) {
      if (!rest.empty()) input_.append(rest);
    } else if (!rest.empty()) {
      waiting.consume(waiting.size() - rest.size());
      input_ = std::move(waiting);
    }
  }
}

/// The same inside a call of the application's: what the protocol is to hear waits for a turn of
/// the loop's (contract C2).
void TlsConnection::work_without_callbacks() {
  const auto self = shared_from_this();
  inside_call_ = true;
  work();
  inside_call_ = false;
}

void TlsConnection::advance() {
  if (state_ == State::handshaking) handshake();
  if (over_ || state_ != State::open) return;
  if (!inside_call_) read();
  if (over_) return;
  encrypt_backlog();
  if (eof_wanted_ && !over_) finish_writing();
  if (closing_ && !over_) finish_closing();
  if (over_) return;
  flush();
  if (check_low_water()) again_ = true;
}

void TlsConnection::read() {
  std::optional<PlainScratch> scratch;
  unread_ = false;
  for (int budget = kFullReadsPerTurn; !closing_ && !over_ && !held(); --budget) {
    if (eof_told_) return;
    if (engine_->close_notify_received()) return on_close_notify();
    if (!engine_->may_read()) {
      if (below_eof_) fail(tls_code(tls_errc::truncated), "TLS read");
      return;
    }
    if (budget == 0) {
      unread_ = true;
      return work_later();
    }
    const bool buffered = slot_.get()->as_buffered() != nullptr;
    MutableBytes into;
    if (buffered) {
      const Protocol* const asked = slot_.get().get();
      const Cork cork(*this);
      if (!slot_.get_buffer(*this, into)) {
        return fail(make_error_code(errc::protocol_failed), "get_buffer");
      }
      if (closing_ || held()) continue;
      if (slot_.get().get() != asked) continue;  // replaced, and its buffer may be gone
    } else {
      if (!scratch) scratch.emplace();
      into = scratch->bytes();
    }
    std::size_t size = 0;
    const TlsEngine::Status status = engine_->read(into, size);
    if (size > 0 && !deliver(into, size, buffered)) {
      return fail(make_error_code(errc::protocol_failed), "data_received");
    }
    if (status == TlsEngine::Status::failed) return fail_by_engine("TLS read");
    encrypt_backlog();
  }
}

bool TlsConnection::deliver(MutableBytes into, std::size_t size, bool buffered) {
  const Cork cork(*this);
  if (buffered) return slot_.buffer_updated(*this, size);
  return slot_.data_received(*this, BytesView(into.data(), size));
}

void TlsConnection::on_close_notify() {
  bool keep_open = false;
  {
    const Cork cork(*this);
    if (!slot_.eof_received(*this, keep_open)) {
      return fail(make_error_code(errc::protocol_failed), "eof_received");
    }
  }
  if (half_close_ && keep_open && !closing_) {
    eof_told_ = true;
    return;
  }
  if (keep_open && !closing_) {
    loop_->log(LogLevel::warning, "eof_received() returned true, but TLS has no half-close (" +
                                      peername().to_string() + ")");
  }
  close();
}

/// After our close: whatever still comes is dropped, but for the peer's close_notify.
void TlsConnection::discard() {
  std::optional<PlainScratch> scratch;
  while (!engine_->close_notify_received() && engine_->may_read()) {
    if (!scratch) scratch.emplace();
    std::size_t size = 0;
    if (engine_->read(scratch->bytes(), size) == TlsEngine::Status::failed) {
      return fail_by_engine("TLS read");
    }
  }
}

void TlsConnection::pause_reading() {
  paused_ = true;
  if (!working_) steer_below();
}

void TlsConnection::resume_reading() {
  if (!paused_ || closing_) return;
  paused_ = false;
  if (working_) {
    again_ = true;
  } else if (engine_ && (!input_.empty() || engine_->may_read() ||
                         engine_->close_notify_received() || below_eof_)) {
    try {
      loop_->call_soon([self = shared_from_this()] { self->work(); });
    } catch (const std::bad_alloc&) {
      // Nobody else would set it going again.
      fail(std::make_error_code(std::errc::not_enough_memory), "TLS read");
    }
  } else {
    steer_below();
  }
}

/// Goes on in a turn of its own. By a timer, so that others are heard first: up to 61 callbacks run
/// before the kernel is asked.
void TlsConnection::work_later() {
  if (!more_) more_.emplace(*loop_, [this] { work(); });
  more_->set(Duration::zero());
}

/// The transport below reads while somebody wants what it brings.
void TlsConnection::steer_below() {
  if (over_ || below_closing_ || !engine_) return;
  const bool want = state_ == State::handshaking || closing_ || (!held() && !unread_);
  if (want == below_reading_) return;
  below_reading_ = want;
  want ? below_->resume_reading() : below_->pause_reading();
}

}  // namespace ferry
