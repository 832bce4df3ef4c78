#pragma once

#include "openssl.h"
#include "tls_state.h"

#include <ferry/buffer.h>
#include <ferry/bytes.h>
#include <ferry/tls_transport.h>

#include <memory>
#include <optional>
#include <string>
#include <system_error>

namespace ferry {

/// Whom a client talks to.
struct TlsPeerName {
  /// To ask for and to check; a DNS name or an IP address. Empty: neither.
  std::string host;
  /// What sessions are remembered under, beside the host.
  std::string address;
};

/// What is to be known about a session when it is over.
struct TlsFacts {
  TlsVersion version = TlsVersion::tls1_3;
  std::string cipher;
  int cipher_bits = 0;
  std::string alpn;
  std::string server_name;
  bool resumed = false;
  X509Ptr peer_certificate;
};

/// One TLS session without any I/O: encrypted bytes in and out on one side, plain ones on the
/// other. OpenSSL reads straight from the input it is lent and appends to `output`.
class TlsEngine {
 public:
  /// How a call ended.
  enum class Status {
    done,         ///< What was asked for is done; for `read`: `into` is full.
    wants_input,  ///< The input is used up.
    closed,       ///< The peer sent close_notify; there is no more.
    failed,       ///< See `error`. For good.
  };

  /// Throws std::bad_alloc, and std::invalid_argument for an impossible name.
  TlsEngine(std::shared_ptr<const TlsState> state, const TlsPeerName& peer);
  TlsEngine(const TlsEngine&) = delete;
  TlsEngine& operator=(const TlsEngine&) = delete;
  ~TlsEngine();

  /// Lends the engine bytes to read, until they are all read or others are lent.
  void set_input(BytesView input) noexcept { input_ = input; }
  /// What was lent and not read.
  BytesView input() const noexcept { return input_; }
  /// Bytes for the peer. To be taken out by the owner.
  Buffer& output() noexcept { return output_; }

  Status handshake();
  bool established() const noexcept { return established_; }
  /// Decrypts as much as there is and fits; `size`: how much that is, whatever the status.
  Status read(MutableBytes into, std::size_t& size);
  /// False if `read` has nothing to work on.
  bool may_read() const noexcept;
  /// Encrypts all of it, or nothing if it is not `done`. `wants_input`: again after the next read.
  Status write(BytesView data);
  /// Once; no `write` afterwards.
  void send_close_notify();
  bool close_notify_sent() const noexcept { return close_sent_; }
  bool close_notify_received() const noexcept { return close_received_; }
  const std::error_code& error() const noexcept { return error_; }
  TlsFacts facts() const;

  // -- for the callbacks of OpenSSL
  static TlsEngine& of(const SSL* ssl);
  const TlsState& state() const noexcept { return *state_; }
  void count_message() noexcept;
  void remember(SessionPtr session);
  void take_input(char* into, std::size_t& size) noexcept;
  /// There was none for the output: for good, since part of it may be missing.
  void no_memory() noexcept;

 private:
  Status status_of(int result);
  Status fail(std::error_code error);
  void set_peer_name(const std::string& host);
  void drop_buffers() noexcept;

  std::shared_ptr<const TlsState> state_;
  SslPtr ssl_;
  BytesView input_;  // lent by whoever called set_input
  Buffer output_;
  std::string session_key_;
  std::error_code error_;
  int idle_messages_ = 0;  // handshake messages since the last data went either way
  bool established_ = false;
  bool buffers_left_ = false;  // by handshake messages after the handshake
  bool close_sent_ = false;
  bool close_received_ = false;
};

}  // namespace ferry
