#include "tls_connection.h"

#include "spare_memory.h"

#include <algorithm>
#include <stdexcept>

namespace ferry {
namespace {

/// Inside a callback, writes of less than kBig are gathered up to kBatch before they are encrypted:
/// a record costs more than a copy. As much is given to the transport below at once.
constexpr std::size_t kBatch = 64 * 1024;
constexpr std::size_t kBig = 16 * 1024;
/// Writes dropped in silence before each further one is logged (asyncio's number).
constexpr int kSilentDrops = 5;

}  // namespace

std::size_t TlsConnection::get_write_buffer_size() const noexcept {
  if (!engine_ || over_) return 0;
  return backlog_.size() + engine_->output().size() + below_->get_write_buffer_size();
}

/// False if a write is to be dropped: the connection is closing or lost.
bool TlsConnection::accepts_writes() {
  if (eof_wanted_ && !closing_) throw std::logic_error("write after write_eof");
  if (!closing_ && engine_) [[likely]]
    return true;
  if (!loop_ || state_ == State::lost) return false;
  if (dropped_writes_ < UINT16_MAX) ++dropped_writes_;
  if (dropped_writes_ > kSilentDrops) {
    loop_->log(LogLevel::warning,
               "write to a closing TLS connection (" + peername().to_string() + ")");
  }
  return false;
}

void TlsConnection::write(BytesView data) {
  if (!accepts_writes() || data.empty()) return;
  std::size_t encrypted = 0;
  if (!corked_ || data.size() >= kBig) {
    encrypt_backlog();
    if (backlog_.empty()) encrypted = encrypt(data);
    if (over_) return;
  }
  if (encrypted < data.size()) {
    if (backlog_.capacity() == 0) backlog_ = take_spare_buffer();
    backlog_.append(data.drop(encrypted));
    if (backlog_.size() >= kBatch) encrypt_backlog();
  }
  if (!corked_) flush();
  check_high_water();
}

void TlsConnection::writelines(std::span<const BytesView> pieces) {
  if (!accepts_writes()) return;
  {
    const Cork cork(*this);
    for (const BytesView piece : pieces) {
      if (closing_ || eof_wanted_) break;  // by pause_writing
      write(piece);
    }
  }
  if (corked_ || closing_) return;
  encrypt_backlog();
  flush();
  check_high_water();
}

void TlsConnection::write_eof() {
  if (!half_close_) throw std::logic_error("write_eof: TLS has no half-close");
  if (closing_ || eof_wanted_ || state_ != State::open) return;
  eof_wanted_ = true;
  work_silently();
}

/// After write_eof: close_notify, once all that was written before it is encrypted.
void TlsConnection::finish_writing() {
  if (backlog_.empty()) engine_->send_close_notify();
}

void TlsConnection::encrypt_backlog() {
  if (backlog_.empty()) return;
  const std::size_t encrypted = encrypt(backlog_.view());
  if (over_) return;
  backlog_.consume(encrypted);
  if (backlog_.empty()) return_spare_buffer(std::move(backlog_));
}

/// As much as may go down now; returns how much.
std::size_t TlsConnection::encrypt(BytesView data) {
  if (state_ != State::open) return 0;
  std::size_t encrypted = 0;
  while (encrypted < data.size() && !below_paused_ && !over_) {
    const BytesView piece = data.drop(encrypted).first(kBatch);
    if (engine_->output().capacity() == 0) engine_->output() = take_spare_buffer();
    const TlsEngine::Status status = engine_->write(piece);
    if (status == TlsEngine::Status::wants_input)
      break;  // within a handshake message of the peer's
    if (status != TlsEngine::Status::done) {
      fail_by_engine("TLS write");
      break;
    }
    encrypted += piece.size();
    if (engine_->output().size() >= kBatch) flush();
  }
  return encrypted;
}

/// Hands down what the engine has written.
void TlsConnection::flush() {
  if (engine_->output().capacity() == 0) return;
  Buffer sending = std::move(engine_->output());
  if (!sending.empty() && !over_ && !below_->is_closing()) below_->write(sending.view());
  return_spare_buffer(std::move(sending));
}

void TlsConnection::resume_writing() {
  below_paused_ = false;
  if (over_) return;
  // Progress: the limit of the shutdown is for a peer that stands still.
  if (closing_) deadline_->set(shutdown_timeout_);
  work();
}

void TlsConnection::check_high_water() {
  if (over_ || state_ == State::lost) return;
  const std::size_t high = flow_.limits().high;
  if (get_write_buffer_size() >= high) {
    // What is merely gathered is no backlog.
    encrypt_backlog();
    flush();
  }
  const std::size_t size = get_write_buffer_size();
  if (over_ || size == 0) return;
  if (flow_.overflows(size)) return fail(make_error_code(errc::write_overflow), "write");
  // `high` itself is too much, as asyncio has it for TLS.
  if (flow_.should_pause(size + 1) && !slot_.pause_writing(*this)) {
    fail(make_error_code(errc::protocol_failed), "pause_writing");
  }
}

/// True if the protocol was told to go on: there may be more to encrypt.
bool TlsConnection::check_low_water() {
  if (held_ || !flow_.paused() || get_write_buffer_size() > flow_.limits().low) return false;
  if (resumed_ || silent_) {
    // Once a turn, or a peer that takes all there is would keep others from theirs.
    work_later();
    return false;
  }
  resumed_ = true;
  static_cast<void>(flow_.should_resume(0));
  const Cork cork(*this);
  if (!slot_.resume_writing(*this)) {
    fail(make_error_code(errc::protocol_failed), "resume_writing");
  }
  return true;
}

void TlsConnection::set_write_buffer_limits(std::optional<std::size_t> high,
                                            std::optional<std::size_t> low) {
  if (high || low) {
    flow_.set_limits(high, low);
  } else {
    flow_.set_limits(kDefaultLimits.high, kDefaultLimits.low);
  }
  if (!closing_ && slot_.made()) check_high_water();
}

void TlsConnection::set_write_hard_limit(std::size_t bytes) {
  flow_.set_hard_limit(bytes);
  if (!closing_ && slot_.made()) check_high_water();
}

}  // namespace ferry
