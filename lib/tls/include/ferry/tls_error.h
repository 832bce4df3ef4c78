#pragma once

#include <system_error>

namespace ferry {

/// What can go wrong in TLS, as classes of error codes: compare a std::error_code with one of
/// these. The code itself holds more, for its message: which check of the certificate failed, which
/// alert the peer sent, what the engine complained about.
enum class tls_errc {
  truncated = 1,        ///< The stream ended without close_notify: bytes may be missing.
  handshake_timed_out,  ///< TlsOptions::handshake_timeout; equal to std::errc::timed_out, too.
  shutdown_timed_out,   ///< TlsOptions::shutdown_timeout; equal to std::errc::timed_out, too.
  certificate_verify_failed,
  peer_alert,           ///< The peer ended the connection with an alert (RFC 8446, 6.2).
  protocol_error,       ///< What the peer sent is not TLS, or was tampered with.
  too_many_handshakes,  ///< TlsOptions::max_handshakes was reached.
  flood,                ///< Handshake messages (KeyUpdate, tickets, ...) without end and no data.
};

/// Named "tls". Codes of this category come from this library and from OpenSSL.
const std::error_category& tls_category() noexcept;
std::error_condition make_error_condition(tls_errc e) noexcept;

}  // namespace ferry

template <>
struct std::is_error_condition_enum<ferry::tls_errc> : std::true_type {};
