#pragma once

#include "far_end.h"

#include <ferry/tls_context.h>

#include <functional>
#include <memory>
#include <string>

namespace ferry::test {

/// The far end of a TLS connection by plain OpenSSL, on a socket without a transport: it does what
/// the test says and nothing else. `pump` it in the condition of run_until.
class TlsPeer {
 public:
  enum class Side { client, server };

  /// A server has the shared certificate for localhost; a client verifies nothing.
  TlsPeer(RawPeer socket, Side side, TlsVersion most = TlsVersion::tls1_3);
  TlsPeer(TlsPeer&&) noexcept;
  ~TlsPeer();

  /// Reads what is there and sends what can be sent; goes on with the handshake.
  void pump();
  /// The same, but reads at most `most` bytes from the socket.
  void pump(std::size_t most);
  bool handshaken() const;
  /// Encrypts, for the next `pump`. Each call makes a record of its own.
  void write(BytesView data);
  void send_close_notify();
  /// Asks for new keys of both sides (TLS 1.3), with the next write.
  void update_keys();
  /// Bytes as they are, for the next `pump`.
  void send_raw(BytesView bytes);
  /// A KeyUpdate by itself, `times` over.
  void flood_key_updates(int times);
  /// TLS 1.3: what the keys of all it sends are made of, for those who make records by hand.
  const std::string& traffic_secret() const;
  /// Tries to negotiate anew (TLS 1.2).
  void renegotiate();

  /// What was decrypted.
  const std::string& data() const;
  bool got_close_notify() const;
  /// OpenSSL said no; its words.
  const std::string& failure() const;
  /// Bytes sent to the socket or waiting for it.
  std::size_t sent() const;
  /// Bytes the socket has taken.
  std::size_t taken() const;
  RawPeer& socket();
  /// Takes no more than so many bytes to the socket, in all, and then sends FIN.
  void cut_after(std::size_t bytes);
  /// FIN, once all that waits was sent.
  void finish();
  /// Sees all that is sent, before it is sent, and may change it; with the offset in the stream.
  void set_tamper(std::function<void(std::string& bytes, std::size_t offset)> tamper);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ferry::test
