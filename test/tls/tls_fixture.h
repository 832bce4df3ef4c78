#pragma once

#include "net_fixture.h"
#include "test_certificates.h"
#include "tls_peer.h"

#include <ferry/tls.h>

#include <memory>
#include <string>

namespace ferry::test {

/// A recording protocol of each side.
struct TlsCouple {
  std::shared_ptr<RecordingProtocol> client;
  std::shared_ptr<RecordingProtocol> server;
};

/// A protocol over TLS, and the far end that a test moves by hand.
struct TlsLink {
  std::shared_ptr<RecordingProtocol> near;
  std::shared_ptr<TlsPeer> far;
};

/// The TlsTransport of a record.
TlsTransport& tls_of(const ConnectionRecord& record);
/// A protocol for everybody: gives `protocol` to the one connection there will be.
ProtocolFactory giving(std::shared_ptr<Protocol> protocol);

/// NetTest with TLS on both sides, or on one with a TlsPeer opposite. The client trusts the shared
/// CA and checks no name unless `client_options` says so.
class TlsTest : public NetTest {
 protected:
  /// Who connects how; changed by tests before they connect.
  TlsOptions client_options{.server_hostname = ""};
  TlsOptions server_options{};
  std::shared_ptr<TlsContext> client = client_context();
  std::shared_ptr<TlsContext> server = server_context();

  std::shared_ptr<Server> serve_tls(ProtocolFactory factory);
  Future<Connection<>> dial_tls(const Address& to, std::shared_ptr<Protocol> protocol);
  /// Both sides connected, connection_made having returned.
  TlsCouple couple(std::shared_ptr<RecordingProtocol> client_side = nullptr,
                   std::shared_ptr<RecordingProtocol> server_side = nullptr);
  /// What a client's connect fails with, the server being as set up.
  IoError connect_failure();

  /// `near` connects (or is connected to) and the peer is the other side, not yet moved. The
  /// future is the near side's, both ends of which are connected sockets.
  std::pair<Future<Connection<>>, std::shared_ptr<TlsPeer>> begin_link(
      std::shared_ptr<Protocol> near, TlsPeer::Side far, TlsVersion most = TlsVersion::tls1_3);
  TlsLink link(TlsPeer::Side far, std::shared_ptr<RecordingProtocol> near = nullptr,
               TlsVersion most = TlsVersion::tls1_3);
  /// Moves `peer` until `condition` holds.
  void pump_until(TlsPeer& peer, Function<bool()> condition, Duration limit = 30s);
};

}  // namespace ferry::test
