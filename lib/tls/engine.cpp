#include "engine.h"

#include "engine_bio.h"
#include "error_codes.h"

#include <ferry/address.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <cstring>
#include <new>
#include <stdexcept>

namespace ferry {
namespace {

/// Handshake messages after the handshake, with no data in between, before it is a flood: OpenSSL's
/// own limit for empty records.
constexpr int kIdleMessages = 32;

/// A name as TLS wants it: without the dot of the DNS root, an IP address without its scope.
std::string normal_name(std::string host) {
  if (host.find(':') != std::string::npos) return host.substr(0, host.find('%'));
  if (!host.empty() && host.back() == '.') host.pop_back();
  return host;
}

/// What others left in this thread's queue of errors would be taken for the next call's. Clearing
/// it costs as much as encrypting a kilobyte, even if it is empty; a look does not.
void forget_errors() noexcept {
  if (ERR_peek_error() != 0) ERR_clear_error();
}

}  // namespace

TlsEngine::TlsEngine(std::shared_ptr<const TlsState> state, const TlsPeerName& peer)
    : state_(std::move(state)), ssl_(SSL_new(state_->context.get())) {
  BIO* const bio = ssl_ ? make_engine_bio(*this) : nullptr;
  if (!bio) {
    ERR_clear_error();
    throw std::bad_alloc();
  }
  SSL_set_bio(ssl_.get(), bio, bio);
  if (SSL_set_app_data(ssl_.get(), this) != 1) {  // OpenSSL's callbacks find this by it
    ERR_clear_error();
    throw std::bad_alloc();
  }
  if (state_->is_server) {
    SSL_set_accept_state(ssl_.get());
    return;
  }
  SSL_set_connect_state(ssl_.get());
  if (!peer.host.empty()) set_peer_name(normal_name(peer.host));
  if (!state_->sessions) return;
  session_key_ = peer.host + '\n' + peer.address;
  if (const SessionPtr session = state_->sessions->take(session_key_)) {
    SSL_set_session(ssl_.get(), session.get());
  }
}

TlsEngine::~TlsEngine() = default;

void TlsEngine::set_peer_name(const std::string& host) {
  X509_VERIFY_PARAM* const checks = SSL_get0_param(ssl_.get());
  bool good = true;
  if (Address::ip(host, 0)) {
    // RFC 6066: an address is no server name.
    if (state_->check_hostname) good = X509_VERIFY_PARAM_set1_ip_asc(checks, host.c_str()) == 1;
  } else {
    good = SSL_set_tlsext_host_name(ssl_.get(), host.c_str()) == 1;
    if (good && state_->check_hostname) {
      X509_VERIFY_PARAM_set_hostflags(checks, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
      good = X509_VERIFY_PARAM_set1_host(checks, host.data(), host.size()) == 1;
    }
  }
  if (!good) {
    ERR_clear_error();
    throw std::invalid_argument("TLS: no good server_hostname: " + host);
  }
}

TlsEngine& TlsEngine::of(const SSL* ssl) {
  return *static_cast<TlsEngine*>(SSL_get_app_data(ssl));
}

TlsEngine::Status TlsEngine::handshake() {
  ERR_clear_error();
  const Status status = status_of(SSL_do_handshake(ssl_.get()));
  if (status != Status::done) return status;
  established_ = true;
  drop_buffers();
  if (state_->sessions && SSL_session_reused(ssl_.get()) &&
      SSL_version(ssl_.get()) < TLS1_3_VERSION) {
    // TLS 1.2 may go on with the same ticket; then nobody tells of a new one.
    remember(SessionPtr(SSL_get1_session(ssl_.get())));
  }
  return status;
}

TlsEngine::Status TlsEngine::read(MutableBytes into, std::size_t& size) {
  size = 0;
  if (error_) return Status::failed;
  while (size < into.size()) {
    // Not only to be told that nothing is left.
    if (size > 0 && !may_read()) {
      if (buffers_left_) drop_buffers();
      return Status::wants_input;
    }
    forget_errors();
    std::size_t got = 0;
    const int result = SSL_read_ex(ssl_.get(), into.data() + size, into.size() - size, &got);
    if (result != 1) {
      const Status status = status_of(result);
      if (buffers_left_ && status == Status::wants_input) drop_buffers();
      return status;
    }
    size += got;
    idle_messages_ = 0;
  }
  return Status::done;
}

bool TlsEngine::may_read() const noexcept {
  return !input_.empty() || SSL_pending(ssl_.get()) > 0;
}

TlsEngine::Status TlsEngine::write(BytesView data) {
  if (error_) return Status::failed;
  forget_errors();
  std::size_t written = 0;
  const int result = SSL_write_ex(ssl_.get(), data.data(), data.size(), &written);
  if (result != 1) return status_of(result);
  idle_messages_ = 0;
  return Status::done;
}

void TlsEngine::send_close_notify() {
  if (close_sent_) return;
  close_sent_ = true;
  ERR_clear_error();
  if (established_ && !error_) SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

/// What a call of OpenSSL's meant that returned `result`.
TlsEngine::Status TlsEngine::status_of(int result) {
  if (error_) {  // a flood or want of memory, found meanwhile
    ERR_clear_error();
    return Status::failed;
  }
  if (result == 1) return Status::done;
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return Status::wants_input;
    case SSL_ERROR_ZERO_RETURN:
      close_received_ = true;
      return Status::closed;
    default:
      break;
  }
  const unsigned long oldest = ERR_peek_error();
  if (ERR_GET_LIB(oldest) == ERR_LIB_SSL &&
      ERR_GET_REASON(oldest) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
    const long reason = SSL_get_verify_result(ssl_.get());
    ERR_clear_error();
    return fail(verify_code(reason));
  }
  return fail(take_openssl_error());
}

TlsEngine::Status TlsEngine::fail(std::error_code error) {
  error_ = error;
  return Status::failed;
}

void TlsEngine::count_message() noexcept {
  if (!established_) return;
  buffers_left_ = true;
  if (++idle_messages_ > kIdleMessages) fail(tls_code(tls_errc::flood));
}

/// A handshake message makes OpenSSL allocate its record buffers, which SSL_MODE_RELEASE_BUFFERS
/// gives back only after data: an idle client would hold one since the session tickets.
void TlsEngine::drop_buffers() noexcept {
  // Not within a record: releases before 3.0.14 would forget its header (CVE-2024-4741).
  if (std::strcmp(SSL_rstate_string(ssl_.get()), "RH") != 0) return;
  if (SSL_free_buffers(ssl_.get()) == 1) buffers_left_ = false;
}

/// For the BIO: the next bytes of the input. After a flood there are none, so that OpenSSL returns.
void TlsEngine::take_input(char* into, std::size_t& size) noexcept {
  if (error_) size = 0;
  const BytesView taken = input_.first(size);
  size = taken.size();
  if (size > 0) std::memcpy(into, taken.data(), size);
  input_ = input_.drop(size);
}

void TlsEngine::no_memory() noexcept {
  fail(std::make_error_code(std::errc::not_enough_memory));
}

void TlsEngine::remember(SessionPtr session) {
  if (state_->sessions && session && SSL_SESSION_is_resumable(session.get())) {
    state_->sessions->put(session_key_, std::move(session));
  }
}

TlsFacts TlsEngine::facts() const {
  const SSL* const ssl = ssl_.get();
  TlsFacts facts;
  facts.version = SSL_version(ssl) >= TLS1_3_VERSION ? TlsVersion::tls1_3 : TlsVersion::tls1_2;
  if (const SSL_CIPHER* cipher = SSL_get_current_cipher(ssl)) {
    facts.cipher = SSL_CIPHER_get_name(cipher);
    facts.cipher_bits = SSL_CIPHER_get_bits(cipher, nullptr);
  }
  const unsigned char* alpn = nullptr;
  unsigned alpn_size = 0;
  SSL_get0_alpn_selected(ssl, &alpn, &alpn_size);
  if (alpn_size > 0) facts.alpn.assign(reinterpret_cast<const char*>(alpn), alpn_size);
  if (const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)) {
    facts.server_name = name;
  }
  facts.resumed = SSL_session_reused(ssl) == 1;
  facts.peer_certificate.reset(SSL_get1_peer_certificate(ssl));
  return facts;
}

}  // namespace ferry
