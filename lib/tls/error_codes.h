#pragma once

#include <ferry/tls_error.h>

#include <system_error>

namespace ferry {

/// A code of that class with nothing more to say.
std::error_code tls_code(tls_errc e) noexcept;
/// certificate_verify_failed, for the reason X509_V_ERR_*.
std::error_code verify_code(long reason) noexcept;
/// Takes the oldest error out of this thread's queue of OpenSSL's, and empties the queue.
/// protocol_error if there is none.
std::error_code take_openssl_error() noexcept;

}  // namespace ferry
