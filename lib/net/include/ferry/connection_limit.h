#pragma once

#include <ferry/server.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace ferry {

struct ConnectionLimits {
  std::size_t total = 0;     ///< Open at once; 0: no limit.
  std::size_t per_peer = 0;  ///< Open at once from one address; 0: no limit.
  /// IPv6 peers that have so many leading bits in common are one (0 to 128): whoever has one
  /// address has a whole network of them.
  unsigned ipv6_prefix = 64;
  /// Sent before the close of a connection too many: "ERR too many connections\r\n". Plain bytes,
  /// also where a wrap speaks TLS. Empty: it is closed at once.
  std::string refusal{};
};

/// A limit of the connections that are open at once, in all and from one address. One too many is
/// closed right after it was accepted, before a protocol is made for it. (ListenOptions has a
/// max_connections, too: there, connections wait in the backlog until there is room.)
///
///     auto limit = std::make_shared<ConnectionLimit>(ConnectionLimits{.per_peer = 10});
///     options.gate = limit;
///
/// The counts are exact, however a connection ends; one is counted until its connection_lost has
/// returned. Unix peers count as one; an IPv4 address counts as itself in its IPv6 form, too. May
/// be shared by servers, also of several loops: all its functions may be called from any thread.
class ConnectionLimit final : public ConnectionGate {
 public:
  /// Throws std::invalid_argument if ipv6_prefix is above 128.
  explicit ConnectionLimit(ConnectionLimits limits);
  ~ConnectionLimit() override;

  Admission admit(const Address& peer) override;

  std::size_t connections() const;
  /// Those that count as one with `peer`.
  std::size_t connections_from(const Address& peer) const;
  /// Refused so far.
  std::uint64_t refused() const;

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared with the tickets, which may outlive this
};

}  // namespace ferry
