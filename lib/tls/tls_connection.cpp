#include "tls_connection.h"

#include "certificate.h"
#include "error_codes.h"
#include "spare_memory.h"

#include <limits>
#include <new>
#include <stdexcept>
#include <utility>

namespace ferry {

TlsConnection::TlsConnection(TlsStart start)
    : TransportLayer(std::move(start.protocol)),
      context_(std::move(start.context)),
      server_hostname_(std::move(start.options.server_hostname)),
      handshake_timeout_(start.options.handshake_timeout),
      shutdown_timeout_(start.options.shutdown_timeout),
      max_handshakes_(start.options.max_handshakes),
      handshakes_(std::move(start.handshakes)),
      half_close_(start.options.half_close) {
  flow_.set_limits(kDefaultLimits.high, kDefaultLimits.low);
}

TlsConnection::~TlsConnection() = default;

// -- the beginning

void TlsConnection::when_made(const std::string& host, Made made) {
  if (!context_->is_server() && !server_hostname_) {
    if (host.empty() && context_->state()->check_hostname) {
      throw std::invalid_argument("TLS: server_hostname must be set where no host is given");
    }
    server_hostname_ = host;
  }
  TransportLayer::when_made(host, std::move(made));
}

void TlsConnection::connection_made(std::shared_ptr<Transport> below) {
  below_ = std::move(below);
  begin({});
}

Future<std::shared_ptr<TlsTransport>> TlsConnection::upgrade(std::shared_ptr<Transport> below,
                                                             BytesView received) {
  Future<std::shared_ptr<TlsTransport>> future(below->loop());
  upgraded_ = future;
  future.set_cancel_hook([weak = weak_from_this()] {
    if (const auto connection = weak.lock()) connection->abort();
  });
  slot_.adopt_made();
  below_ = std::move(below);
  below_->set_protocol(shared_from_this());
  begin(received);
  return future;
}

void TlsConnection::begin(BytesView received) {
  loop_ = &below_->loop();
  state_ = State::handshaking;
  or_fail("TLS handshake", [&] { start(received); });
}

void TlsConnection::start(BytesView received) {
  deadline_.emplace(*loop_, [this] { deadline_passed(); });
  // Bytes that the kernel does not take hold encryption up: what waits is plain then, and counted
  // exactly. The transport's own queue still has one batch to keep the kernel busy with.
  below_->set_write_buffer_limits(0, 0);
  if (below_->get_write_buffer_size() > 0 && !below_paused_) {
    // It did not tell us, so it had told the protocol before the upgrade, which still waits.
    below_paused_ = true;
    static_cast<void>(flow_.should_pause(std::numeric_limits<std::size_t>::max()));
  }
  below_->resume_reading();
  if (!count_handshake() || !make_engine()) return;
  deadline_->set(handshake_timeout_);
  work(received);
}

/// False if there are too many already; then this one has failed.
bool TlsConnection::count_handshake() {
  if (!handshakes_) return true;
  counted_ = true;
  if (++handshakes_->running <= max_handshakes_ || max_handshakes_ == 0) return true;
  uncount_handshake();
  fail(tls_code(tls_errc::too_many_handshakes), "TLS handshake");
  return false;
}

void TlsConnection::uncount_handshake() noexcept {
  if (counted_) --handshakes_->running;
  counted_ = false;
  handshakes_.reset();
}

bool TlsConnection::make_engine() {
  const std::shared_ptr<const TlsState> state = std::exchange(context_, nullptr)->state();
  try {
    if (state->check_hostname && !server_hostname_) {
      throw std::invalid_argument("TLS: server_hostname must be set where no host is given");
    }
    TlsPeerName peer{server_hostname_.value_or(std::string()), {}};
    if (state->sessions) peer.address = below_->peername().to_string();
    engine_ = std::make_unique<TlsEngine>(state, peer);
    server_hostname_.reset();
    return true;
  } catch (const std::invalid_argument&) {
    fail(std::make_error_code(std::errc::invalid_argument), "TLS server name");
  } catch (const std::bad_alloc&) {
    fail(std::make_error_code(std::errc::not_enough_memory), "TLS handshake");
  }
  return false;
}

void TlsConnection::handshake() {
  switch (engine_->handshake()) {
    case TlsEngine::Status::done:
      return handshake_done();
    case TlsEngine::Status::wants_input:
      if (!below_eof_) return;
      [[fallthrough]];
    case TlsEngine::Status::closed:
      return fail(std::make_error_code(std::errc::connection_reset), "TLS handshake");
    case TlsEngine::Status::failed:
      return fail_by_engine("TLS handshake");
  }
}

void TlsConnection::handshake_done() {
  state_ = State::open;
  deadline_->cancel();
  uncount_handshake();
  const auto self = shared_from_this();
  if (upgraded_.valid()) {
    // The first data comes after the callbacks of the future, which are queued by this.
    held_ = true;
    std::exchange(upgraded_, {}).try_set_result(self);
    loop_->call_soon([self] { self->release_upgraded(); });
    return;
  }
  {
    const Cork cork(*this);
    if (!slot_.connection_made(*this, self)) {
      fail(make_error_code(errc::protocol_failed), "connection_made");
    }
  }
  tell_made(self);
}

void TlsConnection::release_upgraded() {
  held_ = false;
  work();
}

// -- the end

void TlsConnection::close() {
  if (closing_ || state_ == State::fresh) return;
  if (state_ == State::handshaking) return abort();
  closing_ = true;
  deadline_->set(shutdown_timeout_);
  work_without_callbacks();
}

void TlsConnection::close_top() {
  ProtocolLayer* const above = state_ == State::open ? slot_.get()->as_layer() : nullptr;
  above ? above->close_top() : close();
}

/// Says goodbye as far as it can be said now: all that was written, then close_notify, then the
/// peer's.
void TlsConnection::finish_closing() {
  discard();
  if (over_ || below_closing_ || !backlog_.empty()) return;
  engine_->send_close_notify();
  flush();
  if (!engine_->close_notify_received() && !below_eof_) return;
  below_closing_ = true;
  below_->close();
}

void TlsConnection::abort() {
  if (state_ == State::lost || state_ == State::fresh) return;
  if (!over_) aborted_ = true;
  closing_ = over_ = true;
  backlog_.reset();
  input_.reset();
  stop_deadline();
  below_->abort();
}

void TlsConnection::stop_deadline() noexcept {
  if (deadline_) deadline_->cancel();
}

void TlsConnection::deadline_passed() {
  const auto self = shared_from_this();
  if (over_) return below_->abort();  // a last alert that nobody takes
  if (state_ == State::handshaking) {
    fail(tls_code(tls_errc::handshake_timed_out), "TLS handshake");
  } else {
    fail(tls_code(tls_errc::shutdown_timed_out), "TLS shutdown");
  }
}

/// The connection cannot go on: what is queued is dropped, connection_lost will tell why.
void TlsConnection::fail(std::error_code code, const char* operation) {
  if (over_ || state_ == State::lost) return;
  set_error(code, operation);
  closing_ = over_ = true;
  backlog_.reset();
  stop_deadline();
  below_->abort();
}

/// The same for what the engine has found, which may have an alert for the peer to send.
void TlsConnection::fail_by_engine(const char* operation) {
  if (over_ || state_ == State::lost) return;
  if (engine_->output().empty() || below_paused_) return fail(engine_->error(), operation);
  set_error(engine_->error(), operation);
  flush();
  closing_ = over_ = true;
  backlog_.reset();
  deadline_->set(shutdown_timeout_);
  below_->close();
}

void TlsConnection::set_error(std::error_code code, const char* operation) {
  try {
    error_ = std::make_unique<Error>(Error{code, operation, peername()});
  } catch (const std::bad_alloc&) {
    forgot_error_ = true;
  }
}

/// What set_error was told.
const Error& TlsConnection::why() const noexcept {
  static const Error none;
  static const Error no_memory{std::make_error_code(std::errc::not_enough_memory), "allocate", {}};
  return forgot_error_ ? no_memory : error_ ? *error_ : none;
}

void TlsConnection::connection_lost(std::error_code error) {
  const auto self = shared_from_this();
  settle_error(error);
  const bool was_open = state_ == State::open;
  try {
    if (was_open) facts();  // somebody may still ask
  } catch (const std::bad_alloc&) {
    // Then he hears nothing.
  }
  state_ = State::lost;
  closing_ = over_ = true;
  uncount_handshake();
  stop_deadline();
  if (more_) more_->cancel();
  engine_.reset();
  input_.reset();
  backlog_.reset();
  if (slot_.made()) slot_.connection_lost(*this, this->error().code);
  if (!was_open) handshake_failed();
  made_.reset();
  upgraded_ = {};
  slot_.drop();
}

/// Decides what connection_lost tells, knowing what the transport below says.
void TlsConnection::settle_error(std::error_code below) {
  if (failed() || aborted_) return;
  if (state_ == State::handshaking) {
    if (!below) below = std::make_error_code(std::errc::connection_reset);
  } else if (closing_ && engine_ && engine_->close_notify_sent() && !below_paused_) {
    // All that was to be said was said, and nothing more is waited for but the peer's goodbye. Many
    // just hang up.
    return;
  }
  if (!below) return;
  const Error& told = below_->error();
  set_error(below, told ? told.operation : "TLS handshake");
}

/// The handshake has failed: whoever waits for it is told.
void TlsConnection::handshake_failed() {
  if (why().code == errc::loop_closed) return;
  std::exception_ptr failure;
  try {
    const Error aborted{std::make_error_code(std::errc::connection_aborted), "TLS handshake",
                        peername()};
    failure = std::make_exception_ptr(IoError(failed() ? why() : aborted));
  } catch (const std::bad_alloc&) {
    failure = std::current_exception();
  }
  if (tell_failure(failure)) return;
  if (upgraded_.valid()) {
    if (!upgraded_.done()) upgraded_.set_exception(failure);
  } else if (failed() && (loop_->debug() || why().code == std::errc::not_enough_memory)) {
    // One bad connection in a busy server is no news, unless somebody is looking for it. That there
    // is no memory is.
    ExceptionContext context;
    context.message = report_text(
        [this] { return "a TLS handshake with " + peername().to_string() + " failed"; });
    context.error = why().code;
    context.exception = failure;
    context.transport = this;
    loop_->run_callback([&] { loop_->call_exception_handler(context); });
  }
}

// -- what is known about the connection

void TlsConnection::set_protocol(std::shared_ptr<Protocol> protocol) {
  if (state_ != State::lost) slot_.set(std::move(protocol));
}

const Error& TlsConnection::error() const noexcept {
  static const Error none;
  return state_ == State::lost ? why() : none;
}

const TlsFacts& TlsConnection::facts() const {
  static const TlsFacts none;
  if (!facts_ && state_ == State::open) facts_ = std::make_unique<TlsFacts>(engine_->facts());
  return facts_ ? *facts_ : none;
}

std::optional<TlsCertificate> TlsConnection::peer_certificate() const {
  X509* const certificate = facts().peer_certificate.get();
  if (!certificate) return std::nullopt;
  return describe_certificate(*certificate);
}

}  // namespace ferry
