#include "engine_callbacks.h"

#include "engine.h"

namespace ferry {

void count_messages(int sent, int, int content_type, const void*, std::size_t, SSL* ssl, void*) {
  if (!sent && content_type == SSL3_RT_HANDSHAKE) TlsEngine::of(ssl).count_message();
}

void log_keys(const SSL* ssl, const char* line) {
  try {
    if (KeyLog* log = TlsEngine::of(ssl).state().key_log.get()) log->write(line);
  } catch (...) {  // no exception may pass through OpenSSL
  }
}

int choose_alpn(SSL* ssl, const unsigned char** chosen, unsigned char* chosen_size,
                const unsigned char* offered, unsigned offered_size, void*) {
  const TlsState& state = TlsEngine::of(ssl).state();
  unsigned char* found = nullptr;
  const int result = SSL_select_next_proto(
      &found, chosen_size, reinterpret_cast<const unsigned char*>(state.alpn.data()),
      static_cast<unsigned>(state.alpn.size()), offered, offered_size);
  if (result == OPENSSL_NPN_NEGOTIATED) {
    *chosen = found;
    return SSL_TLSEXT_ERR_OK;
  }
  return state.require_alpn ? SSL_TLSEXT_ERR_ALERT_FATAL : SSL_TLSEXT_ERR_NOACK;
}

int choose_certificate(SSL* ssl, int*, void*) {
  const char* const name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (!name) return SSL_TLSEXT_ERR_NOACK;
  try {
    SSL_CTX* const context = TlsEngine::of(ssl).state().find(name);
    if (context && !SSL_set_SSL_CTX(ssl, context)) return SSL_TLSEXT_ERR_ALERT_FATAL;
  } catch (...) {  // no exception may pass through OpenSSL
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  return SSL_TLSEXT_ERR_OK;
}

int remember_session(SSL* ssl, SSL_SESSION* session) {
  try {
    SSL_SESSION_up_ref(session);
    TlsEngine::of(ssl).remember(SessionPtr(session));
  } catch (...) {  // no exception may pass through OpenSSL
  }
  return 0;
}

}  // namespace ferry
