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

/// What clients' connections may do, and who looks on.
struct ClientLimits {
  std::size_t bytes_per_second = 0;  ///< Of each connection, each way; 0: no limit.
  std::size_t per_address = 0;       ///< Connections at a time from one address; 0: no limit.
  std::string traffic_log;           ///< A pcapng file of what they carry; empty: none.
};

/// What the command line says.
struct ProxyOptions {
  Endpoint listen;
  Endpoint to;
  TlsSettings tls;
  std::size_t loops = 1;  ///< Threads for connections; 0: one for each core.
  Duration drain_timeout = std::chrono::seconds(30);
  // -- of connections
  ClientLimits clients;
  Duration connect_timeout = std::chrono::seconds(10);
  RelayOptions relay;
  std::size_t max_connections = 0;  ///< 0: no limit.
  // -- of datagrams
  std::size_t max_sessions = 10'000;
  Duration session_idle = std::chrono::minutes(2);  ///< At least what RFC 4787 (REQ-5) wants.
};

}  // namespace ferry::proxy
