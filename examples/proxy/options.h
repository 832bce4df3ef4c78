#pragma once

#include "endpoint.h"

#include <ferry/relay.h>

#include <cstddef>
#include <string>

namespace ferry::proxy {

/// TLS of either side; without files and `to_upstream` there is none.
struct TlsSettings {
  std::string certificate;  ///< PEM file, with its chain; empty: clients connect without TLS.
  std::string key;
  bool to_upstream = false;
  std::string ca;    ///< PEM file of whom to trust upstream; empty: the system's authorities.
  std::string name;  ///< To ask upstream for and to find in its certificate; empty: its host.
  Duration handshake_timeout = std::chrono::seconds(10);
  std::size_t max_handshakes = 10'000;  ///< Clients' under way at once.
};

/// What the command line says.
struct ProxyOptions {
  Endpoint listen;
  Endpoint to;
  TlsSettings tls;
  Duration drain_timeout = std::chrono::seconds(30);
  // -- of connections
  Duration connect_timeout = std::chrono::seconds(10);
  RelayOptions relay;
  std::size_t max_connections = 0;  ///< 0: no limit.
  // -- of datagrams
  std::size_t max_sessions = 10'000;
  Duration session_idle = std::chrono::minutes(2);  ///< At least what RFC 4787 (REQ-5) wants.
};

}  // namespace ferry::proxy
