#pragma once

#include <ferry/connect.h>
#include <ferry/server.h>
#include <ferry/tls_context.h>
#include <ferry/tls_error.h>
#include <ferry/tls_transport.h>

namespace ferry {

/// Of one connection, or of all that come out of one tls_client or tls_server.
struct TlsOptions {
  /// The name to ask for (SNI) and to find in the server's certificate; an IP address is found
  /// there, too. Absent: the host that is connected to. Empty: no name, no check. For clients.
  std::optional<std::string> server_hostname{};
  /// From the connection to the end of the handshake.
  Duration handshake_timeout = std::chrono::seconds(60);
  /// How long `close` waits for the peer, without any progress.
  Duration shutdown_timeout = std::chrono::seconds(30);
  /// Handshakes under way at once; a connection beyond is aborted. 0: no limit. For servers.
  std::size_t max_handshakes = 10'000;
  /// close_notify ends one direction only, as TLS 1.3 has it (RFC 8446, 6.1): see TlsTransport.
  /// asyncio has nothing like it, and a peer of TLS 1.2 may answer by closing.
  bool half_close = false;
};

/// TLS for ConnectOptions::wrap. connection_made comes after the handshake, with a TlsTransport,
/// which is also the one in the Connection; if the handshake fails nothing is called and the future
/// fails with IoError (tls_category). Works over any Transport, another TLS's too.
/// Throws std::invalid_argument for a server's context, a null one, or a timeout that is not
/// positive. Without a host, server_hostname must be set: else the future fails with
/// std::invalid_argument.
ProtocolWrap tls_client(std::shared_ptr<TlsContext> context, TlsOptions options = {});
/// TLS for ListenOptions::wrap. A connection whose handshake fails leaves no trace, but in debug
/// mode a word to the exception handler.
ProtocolWrap tls_server(std::shared_ptr<TlsContext> context, TlsOptions options = {});

/// Turns a connection in use into a TLS one, as client or server by the kind of `context`. From
/// the call on, everything read goes to TLS and nothing more to the protocol, and `transport` must
/// not be used any more; what was written to it goes out first. Done after the handshake, with
/// the transport to use from now on, of which reading is on; connection_made is not called again,
/// and the protocol hears its first data after the future's callbacks have run.
/// `received`: bytes that the protocol has got already, beyond the last it understood; they are
/// the beginning of TLS, never to be taken as what they were before.
/// On failure the protocol hears connection_lost with the error, and the future fails with it.
/// Cancelling the future aborts the connection. A client that verifies must set server_hostname.
/// Throws std::invalid_argument as tls_client, std::logic_error if the transport is closing.
Future<std::shared_ptr<TlsTransport>> start_tls(std::shared_ptr<Transport> transport,
                                                std::shared_ptr<TlsContext> context,
                                                TlsOptions options = {}, BytesView received = {});

}  // namespace ferry
