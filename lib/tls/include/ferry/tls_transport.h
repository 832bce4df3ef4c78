#pragma once

#include <ferry/tls_context.h>
#include <ferry/transport.h>

#include <optional>
#include <string>
#include <vector>

namespace ferry {

/// What a certificate says.
struct TlsCertificate {
  std::string subject;  ///< "CN=example.com,O=Example" (RFC 2253).
  std::string issuer;
  std::vector<std::string> dns_names;     ///< Subject alternative names.
  std::vector<std::string> ip_addresses;  ///< The same, numeric.
  std::string not_before;                 ///< "Nov 22 12:00:00 2026 GMT"
  std::string not_after;
  std::string pem;
  std::string fingerprint;  ///< SHA-256 of the certificate, 64 lower-case hex digits.
};

/// A Transport whose bytes are encrypted on the wire. What differs from a plain one:
///
/// * `close` sends what is written, then close_notify, and waits for the peer's at most
///   TlsOptions::shutdown_timeout (without progress); what the peer still sends is discarded. A
///   timeout is connection_lost(tls_errc::shutdown_timed_out).
/// * There is no half-close unless TlsOptions::half_close is set: `can_write_eof` is false,
///   `write_eof` throws std::logic_error, and what eof_received returns is ignored (true is logged
///   as a warning): the connection ends.
/// * A stream that ends without the peer's close_notify is no end but an error,
///   connection_lost(tls_errc::truncated), without eof_received.
/// * The limits of the write buffer are 512 and 128 KiB, pause_writing comes at `high` exactly,
///   not above it. The buffer's size counts plain bytes that wait for encryption and encrypted
///   ones that wait for the kernel.
///
/// Get it in connection_made: `std::dynamic_pointer_cast<TlsTransport>(transport)`. What is known
/// about the session stays known after the loss.
class TlsTransport : public Transport {
 public:
  static constexpr WriteLimits kDefaultLimits{512 * 1024, 128 * 1024};

  virtual TlsVersion version() const = 0;
  /// As OpenSSL names it: "TLS_AES_256_GCM_SHA384".
  virtual std::string cipher() const = 0;
  virtual int cipher_bits() const = 0;
  /// The protocol that was agreed on; empty if none.
  virtual std::string alpn() const = 0;
  /// The name the client asked for (SNI); empty if none.
  virtual std::string server_name() const = 0;
  /// An earlier session was resumed: no certificates were exchanged.
  virtual bool resumed() const = 0;
  /// Absent if the peer presented none.
  virtual std::optional<TlsCertificate> peer_certificate() const = 0;
};

}  // namespace ferry
