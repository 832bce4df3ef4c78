#include "sim_names.h"

#include <netinet/in.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <vector>

namespace ferry::testing {
namespace {

/// True if a connection to one address could be meant for the other socket: then both cannot have
/// the same port.
bool overlap(const SimSocket& a, const SimSocket& b) {
  if (a.type != b.type) return false;
  const bool a_any = is_wildcard(a.local);
  const bool b_any = is_wildcard(b.local);
  if (a.family == b.family) return a_any || b_any || a.local.host() == b.local.host();
  const SimSocket& six = a.family == AF_INET6 ? a : b;
  return is_wildcard(six.local) && !six.option(IPPROTO_IPV6, IPV6_V6ONLY);
}

bool both(const SimSocket& a, const SimSocket& b, int name) {
  return a.option(SOL_SOCKET, name) && b.option(SOL_SOCKET, name);
}

}  // namespace

bool is_wildcard(const Address& address) {
  const std::string host = address.host();
  return host == "0.0.0.0" || host == "::";
}

Address mapped_to_v6(const Address& address) {
  return *Address::ip("::ffff:" + address.host(), address.port());
}

SimPlace place_of(const Address& address) {
  if (address.is_unix() || is_wildcard(address)) return SimPlace::here;
  const std::string host = address.host();
  if (host == "::1" || host.starts_with("127.")) return SimPlace::here;
  for (const std::string_view network : {"192.0.2.", "198.51.100.", "203.0.113.", "2001:db8:"}) {
    if (host.starts_with(network)) return SimPlace::silence;  // RFC 5737, RFC 3849
  }
  return SimPlace::nowhere;
}

void SimNames::enter(SimSocket& socket, const Address& name) {
  socket.local = name;
  socket.named = true;
  if (socket.is_unix()) {
    unix_.emplace(name, &socket);
  } else {
    ports_.emplace(name.port(), &socket);
  }
}

std::uint16_t SimNames::free_port() {
  for (int tried = kFirstPort; tried <= kLastPort; ++tried) {
    const std::uint16_t port = next_port_;
    next_port_ = port == kLastPort ? kFirstPort : static_cast<std::uint16_t>(port + 1);
    if (!ports_.contains(port)) return port;
  }
  return 0;
}

int SimNames::take(SimSocket& socket, Address name) {
  if (socket.is_unix()) {
    if (unix_.contains(name)) return EADDRINUSE;
    enter(socket, name);
    return 0;
  }
  if (place_of(name) != SimPlace::here) return EADDRNOTAVAIL;
  if (name.port() == 0) {
    const std::uint16_t port = free_port();
    if (port == 0) return EADDRINUSE;
    name = name.with_port(port);
  }
  const Address before = std::exchange(socket.local, name);
  const auto [first, last] = ports_.equal_range(name.port());
  for (auto it = first; it != last; ++it) {
    const SimSocket& other = *it->second;
    const bool shared =
        both(socket, other, SO_REUSEPORT) ||
        (both(socket, other, SO_REUSEADDR) && other.state != SimSocket::State::listening);
    if (overlap(socket, other) && !shared) {
      socket.local = before;
      return EADDRINUSE;
    }
  }
  enter(socket, name);
  return 0;
}

int SimNames::take_any(SimSocket& socket, const Address& host) {
  const std::uint16_t port = free_port();
  if (port == 0) return EADDRNOTAVAIL;
  enter(socket, host.with_port(port));
  return 0;
}

void SimNames::release(SimSocket& socket) noexcept {
  if (!std::exchange(socket.named, false)) return;
  if (socket.is_unix()) {
    unix_.erase(socket.local);
    return;
  }
  const auto [first, last] = ports_.equal_range(socket.local.port());
  for (auto it = first; it != last; ++it) {
    if (it->second == &socket) {
      ports_.erase(it);
      return;
    }
  }
}

int SimNames::may_listen(const SimSocket& socket) const {
  if (socket.is_unix()) return 0;
  const auto [first, last] = ports_.equal_range(socket.local.port());
  for (auto it = first; it != last; ++it) {
    const SimSocket& other = *it->second;
    if (&other != &socket && other.state == SimSocket::State::listening && overlap(socket, other) &&
        !both(socket, other, SO_REUSEPORT)) {
      return EADDRINUSE;
    }
  }
  return 0;
}

SimSocket* SimNames::listener(const Address& address) {
  if (address.is_unix()) {
    SimSocket* socket = find_unix(address);
    return socket && socket->state == SimSocket::State::listening ? socket : nullptr;
  }
  return closest(
      address, [](const SimSocket& socket) { return socket.state == SimSocket::State::listening; });
}

SimSocket* SimNames::receiver(const Address& address, const Address& from) {
  SimSocket* connected = closest(address, [&from](const SimSocket& socket) {
    return socket.is_datagram() && socket.state == SimSocket::State::connected &&
           (socket.remote == from ||
            (from.family() == AF_INET && socket.remote == mapped_to_v6(from)));
  });
  if (connected) return connected;
  return closest(address, [](const SimSocket& socket) {
    return socket.is_datagram() && socket.state == SimSocket::State::fresh;
  });
}

std::vector<SimSocket*> SimNames::datagram_sockets(std::uint16_t port) const {
  std::vector<SimSocket*> found;
  const auto [first, last] = ports_.equal_range(port);
  for (auto it = first; it != last; ++it) {
    if (it->second->is_datagram()) found.push_back(it->second);
  }
  return found;
}

/// The closest match wins: this very address, the family's wildcard, IPv6's for IPv4.
SimSocket* SimNames::closest(const Address& address, Function<bool(const SimSocket&)> fits) {
  std::vector<SimSocket*> matches[3];
  const std::string host = address.host();
  const auto [first, last] = ports_.equal_range(address.port());
  for (auto it = first; it != last; ++it) {
    SimSocket& socket = *it->second;
    if (!fits(socket)) continue;
    if (socket.family == address.family()) {
      if (socket.local.host() == host) {
        matches[0].push_back(&socket);
      } else if (is_wildcard(socket.local)) {
        matches[1].push_back(&socket);
      }
    } else if (socket.family == AF_INET6 && is_wildcard(socket.local) &&
               !socket.option(IPPROTO_IPV6, IPV6_V6ONLY)) {
      matches[2].push_back(&socket);
    }
  }
  for (const auto& found : matches) {
    if (!found.empty()) return found[turn_++ % found.size()];
  }
  return nullptr;
}

SimSocket* SimNames::find_unix(const Address& address) const {
  const auto found = unix_.find(address);
  return found == unix_.end() ? nullptr : found->second;
}

}  // namespace ferry::testing
