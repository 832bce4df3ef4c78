#include "tls_state.h"

#include "engine_callbacks.h"
#include "identity.h"

#include <ferry/bytes.h>

#include <algorithm>
#include <array>
#include <new>
#include <stdexcept>

namespace ferry {
namespace {

std::string lower_case(std::string name) {
  for (char& c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return name;
}

/// Each name with its length before it (RFC 7301, 3.1).
std::string alpn_in_wire_format(const std::vector<std::string>& names) {
  std::string wire;
  for (const std::string& name : names) {
    if (name.empty() || name.size() > 255) {
      throw std::invalid_argument("TLS: an ALPN name must have 1 to 255 bytes");
    }
    wire += static_cast<char>(name.size());
    wire += name;
  }
  if (wire.size() > 65535) throw std::invalid_argument("TLS: too many ALPN names");
  return wire;
}

int openssl_version(TlsVersion version) {
  return version == TlsVersion::tls1_2 ? TLS1_2_VERSION : TLS1_3_VERSION;
}

SslContextPtr make_context(const TlsCommonOptions& options, bool server) {
  if (options.min_version > options.max_version) {
    throw std::invalid_argument("TLS: min_version is above max_version");
  }
  SslContextPtr context(SSL_CTX_new(server ? TLS_server_method() : TLS_client_method()));
  if (!context) throw std::bad_alloc();
  SSL_CTX* const c = context.get();
  SSL_CTX_set_min_proto_version(c, openssl_version(options.min_version));
  SSL_CTX_set_max_proto_version(c, openssl_version(options.max_version));
  SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  if (server) SSL_CTX_set_options(c, SSL_OP_CIPHER_SERVER_PREFERENCE);
  // An idle connection holds no record buffers. A write that had to wait comes from elsewhere.
  SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(c, 0);
  if (!options.ciphers.empty() && SSL_CTX_set_cipher_list(c, options.ciphers.c_str()) != 1) {
    throw_openssl_error("TLS: ciphers " + options.ciphers);
  }
  if (!options.cipher_suites.empty() &&
      SSL_CTX_set_ciphersuites(c, options.cipher_suites.c_str()) != 1) {
    throw_openssl_error("TLS: cipher suites " + options.cipher_suites);
  }
  SSL_CTX_set_msg_callback(c, count_messages);
  if (!options.key_log_file.empty()) SSL_CTX_set_keylog_callback(c, log_keys);
  return context;
}

std::shared_ptr<TlsState> make_state(const TlsCommonOptions& options) {
  auto state = std::make_shared<TlsState>();
  state->alpn = alpn_in_wire_format(options.alpn);
  if (!options.key_log_file.empty()) {
    state->key_log = std::make_unique<KeyLog>(options.key_log_file);
  }
  return state;
}

SslContextPtr make_server_context(const TlsServerOptions& options, const TlsIdentity& identity,
                                  SSL_CTX* keys_from) {
  SslContextPtr context = make_context(options, /*server=*/true);
  SSL_CTX* const c = context.get();
  use_identity(c, identity);
  if (options.client_certificates != ClientCertificates::none) {
    use_trust(c, options.trust);
    announce_trust(c, options.trust);
    SSL_CTX_set_verify(c,
                       options.client_certificates == ClientCertificates::required
                           ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                           : SSL_VERIFY_PEER,
                       nullptr);
  }
  if (!options.alpn.empty()) SSL_CTX_set_alpn_select_cb(c, choose_alpn, nullptr);
  SSL_CTX_set_tlsext_servername_callback(c, choose_certificate);
  // Sessions live in the client's tickets, not in this process.
  SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
  const std::string_view session_context = "ferry";
  SSL_CTX_set_session_id_context(c, reinterpret_cast<const unsigned char*>(session_context.data()),
                                 static_cast<unsigned>(session_context.size()));
  if (!options.session_tickets) {
    SSL_CTX_set_options(c, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(c, 0);
  } else if (keys_from) {
    std::array<unsigned char, 80> keys;
    if (SSL_CTX_get_tlsext_ticket_keys(keys_from, keys.data(), keys.size()) == 1) {
      SSL_CTX_set_tlsext_ticket_keys(c, keys.data(), keys.size());
    }
    OPENSSL_cleanse(keys.data(), keys.size());
  }
  return context;
}

}  // namespace

SSL_CTX* TlsState::find(std::string name) const {
  name = lower_case(std::move(name));
  if (!name.empty() && name.back() == '.') name.pop_back();
  auto found = by_name.find(name);
  if (found == by_name.end()) {
    const std::size_t dot = name.find('.');
    if (dot == std::string::npos) return nullptr;
    std::string wildcard(1, '*');
    wildcard.append(name, dot);
    found = by_name.find(wildcard);
  }
  return found == by_name.end() ? nullptr : found->second.get();
}

std::shared_ptr<const TlsState> make_client_state(const TlsClientOptions& options) {
  auto state = make_state(options);
  state->verify = options.verify;
  state->check_hostname = options.verify && options.check_hostname;
  state->context = make_context(options, /*server=*/false);
  SSL_CTX* const c = state->context.get();
  if (options.verify) use_trust(c, options.trust);
  SSL_CTX_set_verify(c, options.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (!options.identity.empty()) use_identity(c, options.identity);
  // 0 is its success.
  if (!state->alpn.empty() &&
      SSL_CTX_set_alpn_protos(c, reinterpret_cast<const unsigned char*>(state->alpn.data()),
                              static_cast<unsigned>(state->alpn.size())) != 0) {
    throw std::bad_alloc();
  }
  if (options.session_cache > 0) {
    state->sessions = std::make_unique<SessionCache>(options.session_cache);
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(c, remember_session);
  } else {
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
  }
  return state;
}

std::shared_ptr<const TlsState> make_server_state(const TlsServerOptions& options,
                                                  const TlsState* before) {
  if (options.identity.empty()) throw std::invalid_argument("TLS: a server needs a certificate");
  if (options.client_certificates != ClientCertificates::none && options.trust.empty()) {
    throw std::invalid_argument("TLS: client certificates are asked for, but nobody is trusted");
  }
  auto state = make_state(options);
  state->is_server = true;
  state->require_alpn = options.require_alpn;
  state->asks_certificates = options.client_certificates != ClientCertificates::none;
  // A ticket stands for a check of the client's certificate that was made by the rules of its day.
  const bool keep_tickets = before && !before->asks_certificates && !state->asks_certificates;
  state->context = make_server_context(options, options.identity,
                                       keep_tickets ? before->context.get() : nullptr);
  for (const auto& [name, identity] : options.identities) {
    state->by_name[lower_case(name)] = make_server_context(options, identity, state->context.get());
  }
  return state;
}

}  // namespace ferry
