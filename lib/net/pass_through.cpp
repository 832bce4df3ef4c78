#include <ferry/pass_through.h>

#include <new>
#include <utility>

namespace ferry {

PassThrough::PassThrough(std::shared_ptr<Protocol> above)
    : TransportLayer(std::move(above)), face_(*this) {}

PassThrough::~PassThrough() = default;

// -- from below

void PassThrough::connection_made(std::shared_ptr<Transport> below) {
  below_ = std::move(below);
  const auto self = shared_from_this();
  if (!slot_.connection_made(*this, self)) {
    fail(make_error_code(errc::protocol_failed), "connection_made");
  }
  tell_made(self);
}

void PassThrough::data_received(BytesView data) {
  on_received(data);
  if (!slot_.data_received(*this, data)) {
    fail(make_error_code(errc::protocol_failed), "data_received");
  }
}

bool PassThrough::eof_received() {
  bool keep_open = false;
  if (!slot_.eof_received(*this, keep_open)) {
    fail(make_error_code(errc::protocol_failed), "eof_received");
  }
  return keep_open;
}

void PassThrough::connection_lost(std::error_code error) {
  const auto self = shared_from_this();
  lost_ = true;
  if (slot_.made()) {
    slot_.connection_lost(*this, error_ || forgot_error_ ? this->error().code : error);
  } else if (below_ && error != errc::loop_closed) {
    std::exception_ptr failure;
    try {
      Error known = this->error();
      if (!known) {
        known = {std::make_error_code(std::errc::connection_aborted), "wrap", peername()};
      }
      failure = std::make_exception_ptr(IoError(std::move(known)));
    } catch (const std::bad_alloc&) {
      failure = std::current_exception();
    }
    tell_failure(std::move(failure));
  }
  slot_.drop();
}

void PassThrough::pause_writing() {
  if (!slot_.pause_writing(*this)) {
    fail(make_error_code(errc::protocol_failed), "pause_writing");
  }
}

void PassThrough::resume_writing() {
  if (!slot_.resume_writing(*this)) {
    fail(make_error_code(errc::protocol_failed), "resume_writing");
  }
}

// -- from below, into a buffer

BufferedProtocol* PassThrough::as_buffered() noexcept {
  if (face_.lending()) return &face_;  // whatever the protocol above is by now
  return slot_.get() && slot_.get()->as_buffered() ? &face_ : nullptr;
}

MutableBytes PassThrough::borrow_above() {
  while (slot_.get()->as_buffered()) {
    const Protocol* const asked = slot_.get().get();
    MutableBytes into;
    if (!slot_.get_buffer(*this, into)) {
      fail(make_error_code(errc::protocol_failed), "get_buffer");
      return {};
    }
    if (slot_.get().get() == asked) return into;
    // Replaced, and its buffer may be gone.
  }
  return {};
}

MutableBytes PassThrough::get_buffer(std::size_t) {
  return borrow_above();
}

void PassThrough::buffer_updated(MutableBytes into, std::size_t size) {
  const BytesView data = MutableBytes(into).first(size);
  on_received(data);
  const bool borrowed = into.data() != &spare_ && slot_.get()->as_buffered();
  if (borrowed ? !slot_.buffer_updated(*this, size) : !slot_.data_received(*this, data)) {
    fail(make_error_code(errc::protocol_failed), "data_received");
  }
}

MutableBytes PassThrough::Face::get_buffer(std::size_t size_hint) {
  lent_ = layer_.get_buffer(size_hint);
  if (lent_.empty()) lent_ = {&layer_.spare_, 1};
  return lent_;
}

void PassThrough::Face::buffer_updated(std::size_t size) {
  layer_.buffer_updated(std::exchange(lent_, {}), size);
}

// -- the end

void PassThrough::close() {
  if (below_) below_->close();
}

void PassThrough::abort() {
  if (lost_ || !below_) return;
  aborted_ = true;
  below_->abort();
}

void PassThrough::fail(std::error_code code, const char* operation) {
  if (lost_ || aborted()) return;
  try {
    if (!below_->error()) error_ = std::make_unique<Error>(Error{code, operation, peername()});
  } catch (const std::bad_alloc&) {
    forgot_error_ = true;
  }
  below_->abort();
}

// -- what is known

void PassThrough::set_protocol(std::shared_ptr<Protocol> protocol) {
  if (!lost_) slot_.set(std::move(protocol));
}

const Error& PassThrough::error() const noexcept {
  static const Error none;
  static const Error no_memory{std::make_error_code(std::errc::not_enough_memory), "allocate", {}};
  if (error_) return *error_;
  if (forgot_error_) return no_memory;
  return below_ ? below_->error() : none;
}

}  // namespace ferry
