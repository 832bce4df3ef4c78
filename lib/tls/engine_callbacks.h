#pragma once

#include "openssl.h"

namespace ferry {

// What OpenSSL calls on behalf of one connection, whose TlsEngine is the SSL's app data. In
// engine_callbacks.cpp; set on the contexts that tls_state.cpp makes.

/// SSL_CTX_set_msg_callback: notices handshake messages without end.
void count_messages(int sent, int version, int content_type, const void* bytes, std::size_t size,
                    SSL* ssl, void* unused);
void log_keys(const SSL* ssl, const char* line);
int choose_alpn(SSL* ssl, const unsigned char** chosen, unsigned char* chosen_size,
                const unsigned char* offered, unsigned offered_size, void* unused);
/// The server name callback.
int choose_certificate(SSL* ssl, int* alert, void* unused);
int remember_session(SSL* ssl, SSL_SESSION* session);

}  // namespace ferry
