#pragma once

#include "openssl.h"

#include <ferry/tls_context.h>

#include <string>

namespace ferry {

/// Throws std::system_error with OpenSSL's latest error, or errno if it has none.
[[noreturn]] void throw_openssl_error(const std::string& what);

/// Each throws std::system_error, naming the file, if something cannot be used.
void use_identity(SSL_CTX* context, const TlsIdentity& identity);
void use_trust(SSL_CTX* context, const TlsTrust& trust);
/// Names the trusted authorities to clients that are asked for a certificate.
void announce_trust(SSL_CTX* context, const TlsTrust& trust);

}  // namespace ferry
