#include "tls_peer.h"

#include "test_certificates.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace ferry::test {
namespace {

struct Free {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(BIO* bio) const { BIO_free_all(bio); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(X509* certificate) const { X509_free(certificate); }
};

std::unique_ptr<BIO, Free> reader(const std::string& pem) {
  return std::unique_ptr<BIO, Free>(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

}  // namespace

struct TlsPeer::State {
  RawPeer socket;
  std::unique_ptr<SSL_CTX, Free> context;
  std::unique_ptr<SSL, Free> ssl;
  BIO* in = nullptr;  // the SSL owns both
  BIO* out = nullptr;
  std::string data;
  std::string failure;
  std::string traffic_secret;
  std::string outbox;
  std::size_t produced = 0;
  std::size_t limit = SIZE_MAX;
  std::size_t sent = 0;
  bool got_close_notify = false;
  bool finish = false;
  bool finished = false;  // FIN was sent
  std::function<void(std::string&, std::size_t)> tamper;

  void took(int result) {
    if (result > 0) return;
    switch (SSL_get_error(ssl.get(), result)) {
      case SSL_ERROR_WANT_READ:
      case SSL_ERROR_WANT_WRITE:
        break;
      case SSL_ERROR_ZERO_RETURN:
        got_close_notify = true;
        break;
      default:
        if (failure.empty()) {
          const char* reason = ERR_reason_error_string(ERR_peek_error());
          failure = reason ? reason : "unknown";
        }
    }
    ERR_clear_error();
  }

  void collect() {
    char* bytes = nullptr;
    const long size = BIO_get_mem_data(out, &bytes);
    if (size <= 0) return;
    std::string fresh(bytes, static_cast<std::size_t>(size));
    static_cast<void>(BIO_reset(out));
    const std::size_t offset = std::exchange(produced, produced + fresh.size());
    if (tamper) tamper(fresh, offset);
    outbox += fresh;
  }

  void send() {
    collect();
    while (!outbox.empty() && sent < limit && !socket.error()) {
      const std::size_t most = std::min(outbox.size(), limit - sent);
      const std::size_t count = socket.write(BytesView(outbox).first(most));
      if (count == 0) return;
      sent += count;
      outbox.erase(0, count);
    }
    const bool over = sent >= limit || (finish && outbox.empty());
    if (over && !std::exchange(finished, true)) socket.shutdown_write();
  }
};

namespace {

std::string from_hex(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  }
  return bytes;
}

/// Of a line "CLIENT_TRAFFIC_SECRET_0 <random> <secret>", the server's likewise.
void note_secret(const SSL* ssl, const char* line) {
  const std::string_view text = line;
  if (text.starts_with(SSL_is_server(ssl) ? "SERVER_TRAFFIC_SECRET_0 "
                                          : "CLIENT_TRAFFIC_SECRET_0 ")) {
    *static_cast<std::string*>(SSL_get_app_data(ssl)) = from_hex(text.substr(text.rfind(' ') + 1));
  }
}

}  // namespace

TlsPeer::TlsPeer(RawPeer socket, Side side, TlsVersion most) : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.socket = std::move(socket);
  s.context.reset(SSL_CTX_new(TLS_method()));
  SSL_CTX_set_max_proto_version(s.context.get(),
                                most == TlsVersion::tls1_2 ? TLS1_2_VERSION : TLS1_3_VERSION);
  if (side == Side::server) {
    const TlsIdentity& identity = TestCa::localhost();
    const std::unique_ptr<X509, Free> certificate(
        PEM_read_bio_X509(reader(identity.certificate_pem).get(), nullptr, nullptr, nullptr));
    const std::unique_ptr<EVP_PKEY, Free> key(
        PEM_read_bio_PrivateKey(reader(identity.key_pem).get(), nullptr, nullptr, nullptr));
    if (SSL_CTX_use_certificate(s.context.get(), certificate.get()) != 1 ||
        SSL_CTX_use_PrivateKey(s.context.get(), key.get()) != 1) {
      throw std::runtime_error("the test certificate cannot be used");
    }
  }
  SSL_CTX_set_keylog_callback(s.context.get(), note_secret);
  s.ssl.reset(SSL_new(s.context.get()));
  SSL_set_app_data(s.ssl.get(), &s.traffic_secret);
  s.in = BIO_new(BIO_s_mem());
  s.out = BIO_new(BIO_s_mem());
  BIO_set_mem_eof_return(s.in, -1);
  SSL_set_bio(s.ssl.get(), s.in, s.out);
  side == Side::server ? SSL_set_accept_state(s.ssl.get()) : SSL_set_connect_state(s.ssl.get());
}

TlsPeer::TlsPeer(TlsPeer&&) noexcept = default;
TlsPeer::~TlsPeer() = default;

void TlsPeer::pump() {
  pump(SIZE_MAX);
}

void TlsPeer::pump(std::size_t most) {
  State& s = *state_;
  if (!s.socket.eof() && !s.socket.error()) {
    const std::string fresh = s.socket.read(most);
    if (!fresh.empty()) BIO_write(s.in, fresh.data(), static_cast<int>(fresh.size()));
  }
  if (s.failure.empty()) {
    if (!SSL_is_init_finished(s.ssl.get())) s.took(SSL_do_handshake(s.ssl.get()));
    char buffer[16384];
    while (SSL_is_init_finished(s.ssl.get()) && s.failure.empty() && !s.got_close_notify) {
      const int size = SSL_read(s.ssl.get(), buffer, sizeof(buffer));
      s.took(size);
      if (size <= 0) break;
      s.data.append(buffer, static_cast<std::size_t>(size));
    }
  }
  s.send();
}

bool TlsPeer::handshaken() const {
  return SSL_is_init_finished(state_->ssl.get()) == 1;
}

void TlsPeer::write(BytesView data) {
  state_->took(SSL_write(state_->ssl.get(), data.data(), static_cast<int>(data.size())));
  state_->collect();
}

void TlsPeer::send_close_notify() {
  SSL_shutdown(state_->ssl.get());
  ERR_clear_error();
  state_->collect();
}

void TlsPeer::update_keys() {
  SSL_key_update(state_->ssl.get(), SSL_KEY_UPDATE_REQUESTED);
}

void TlsPeer::flood_key_updates(int times) {
  for (int i = 0; i < times; ++i) {
    SSL_key_update(state_->ssl.get(), SSL_KEY_UPDATE_REQUESTED);
    state_->took(SSL_do_handshake(state_->ssl.get()));
  }
  state_->collect();
}

void TlsPeer::renegotiate() {
  SSL_renegotiate(state_->ssl.get());
  state_->took(SSL_do_handshake(state_->ssl.get()));
  state_->collect();
}

void TlsPeer::send_raw(BytesView bytes) {
  state_->collect();
  state_->outbox.append(bytes.text());
}

const std::string& TlsPeer::data() const {
  return state_->data;
}
const std::string& TlsPeer::traffic_secret() const {
  return state_->traffic_secret;
}
bool TlsPeer::got_close_notify() const {
  return state_->got_close_notify;
}
const std::string& TlsPeer::failure() const {
  return state_->failure;
}
std::size_t TlsPeer::sent() const {
  return state_->produced;
}
std::size_t TlsPeer::taken() const {
  return state_->sent;
}
RawPeer& TlsPeer::socket() {
  return state_->socket;
}
void TlsPeer::cut_after(std::size_t bytes) {
  state_->limit = bytes;
}
void TlsPeer::finish() {
  state_->finish = true;
}
void TlsPeer::set_tamper(std::function<void(std::string&, std::size_t)> tamper) {
  state_->tamper = std::move(tamper);
}

}  // namespace ferry::test
