#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ferry::proxy {

/// One side of the proxy as the command line names it: "host:port", "[::1]:port" or "unix:path", or
/// for datagrams "udp:host:port"; to listen on, an empty host means all interfaces (of IPv4 only if
/// it is for datagrams).
struct Endpoint {
  std::string host;
  std::uint16_t port = 0;
  std::string path;  ///< Of a unix socket; then host and port mean nothing.

  bool is_udp = false;  ///< Datagrams to host and port.

  bool is_unix() const noexcept { return !path.empty(); }
  static std::optional<Endpoint> parse(std::string_view text);
};

}  // namespace ferry::proxy
