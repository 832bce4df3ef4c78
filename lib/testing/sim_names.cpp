#include "sim_names.h"

#include <ferry/testing/seed.h>

#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

namespace ferry::testing {
namespace {

bool same_host(const Address& a, const Address& b) {
  return a.with_port(0) == b.with_port(0);
}

bool v6_only(const SimSocket& socket) {
  return socket.option(IPPROTO_IPV6, IPV6_V6ONLY);
}

constexpr std::size_t kNoMatch = 3;

/// How well the socket's name fits, the less the better: this very address, the family's wildcard,
/// IPv6's for IPv4.
std::size_t closeness(const SimSocket& socket, const Address& address) {
  const Address local = unmapped(socket.local);
  if (local.family() == address.family()) {
    return same_host(local, address) ? 0 : is_wildcard(local) ? 1 : kNoMatch;
  }
  return local.family() == AF_INET6 && is_wildcard(local) && !v6_only(socket) ? 2 : kNoMatch;
}

/// Of an accepted one: false once its end is over, also if the descriptor is still open.
bool holds_port(const SimSocket& socket) {
  const bool over = socket.shut_write && socket.fin_received && !socket.closed_first;
  return socket.state == SimSocket::State::connected && !over;
}

}  // namespace

bool is_wildcard(const Address& address) {
  static const Address v4 = *Address::ip("0.0.0.0", 0);
  static const Address v6 = *Address::ip("::", 0);
  return address.is_ip() && same_host(address, address.family() == AF_INET ? v4 : v6);
}

bool is_broadcast(const Address& address) {
  static const Address everybody = *Address::ip("255.255.255.255", 0);
  static const Address here = *Address::ip("127.255.255.255", 0);
  const Address host = address.with_port(0);
  return host == everybody || host == here;
}

bool is_multicast(const Address& address) {
  sockaddr_storage storage;
  address.to_sockaddr(storage);
  if (address.family() == AF_INET6) {
    return IN6_IS_ADDR_MULTICAST(&reinterpret_cast<sockaddr_in6&>(storage).sin6_addr);
  }
  return address.is_ip() &&
         IN_MULTICAST(ntohl(reinterpret_cast<sockaddr_in&>(storage).sin_addr.s_addr));
}

Address loopback_of(int family) {
  static const Address v4 = *Address::ip("127.0.0.1", 0);
  static const Address v6 = *Address::ip("::1", 0);
  return family == AF_INET ? v4 : v6;
}

Address unmapped(const Address& address) {
  if (address.family() != AF_INET6) return address;
  sockaddr_storage storage;
  address.to_sockaddr(storage);
  const in6_addr& v6 = reinterpret_cast<sockaddr_in6&>(storage).sin6_addr;
  if (!IN6_IS_ADDR_V4MAPPED(&v6)) return address;
  return *Address::ip(address.host().substr(std::strlen("::ffff:")), address.port());
}

Address seen_by(int family, const Address& address) {
  if (family == AF_INET) return unmapped(address);
  if (family != AF_INET6 || address.family() != AF_INET) return address;
  std::string host = "::ffff:";
  host += address.host();
  return *Address::ip(host, address.port());
}

int out_of_reach(const SimSocket& socket, const Address& to) {
  if (socket.family == AF_INET) return 0;
  const Address local = unmapped(socket.local);
  const bool other = local.is_ip() && !is_wildcard(local) && local.family() != to.family();
  if (to.family() == AF_INET) return other || v6_only(socket) ? ENETUNREACH : 0;
  return other ? EAFNOSUPPORT : 0;
}

SimPlace place_of(const Address& address) {
  if (address.is_unix() || is_wildcard(address)) return SimPlace::here;
  if (!address.is_ip()) return SimPlace::nowhere;
  sockaddr_storage storage;
  address.to_sockaddr(storage);
  if (address.family() == AF_INET) {
    const std::uint32_t v4 = ntohl(reinterpret_cast<sockaddr_in&>(storage).sin_addr.s_addr);
    if (v4 >> 24 == 127) return SimPlace::here;
    for (const std::uint32_t network : {0xc0000200U, 0xc6336400U, 0xcb007100U}) {
      if ((v4 & 0xffffff00U) == network) return SimPlace::silence;  // RFC 5737
    }
    return SimPlace::nowhere;
  }
  const in6_addr& v6 = reinterpret_cast<sockaddr_in6&>(storage).sin6_addr;
  if (IN6_IS_ADDR_LOOPBACK(&v6)) return SimPlace::here;
  constexpr unsigned char kDocumentation[] = {0x20, 0x01, 0x0d, 0xb8};  // RFC 3849
  return std::memcmp(&v6, kDocumentation, sizeof kDocumentation) == 0 ? SimPlace::silence
                                                                      : SimPlace::nowhere;
}

void SimNames::enter(SimSocket& socket, const Address& name) {
  socket.local = name;
  socket.named = true;
  if (socket.is_unix()) {
    const bool path = !name.is_abstract() && !name.path().empty();
    unix_.emplace(name, UnixName{&socket, path ? ++last_file_ : 0});
  } else {
    ports_.emplace(name.port(), &socket);
  }
}

// -- who may have which

SimNames::Claim SimNames::claim_of(const SimSocket& socket, const Address& local) {
  return {socket.type, unmapped(local), v6_only(socket), socket.option(SOL_SOCKET, SO_REUSEADDR),
          socket.option(SOL_SOCKET, SO_REUSEPORT)};
}

/// True if a connection to one address could be meant for the other socket: then both cannot have
/// the same port.
bool SimNames::overlap(const Claim& a, const Claim& b) {
  if (a.type != b.type) return false;
  const bool any = is_wildcard(a.local) || is_wildcard(b.local);
  if (a.local.family() == b.local.family()) return any || same_host(a.local, b.local);
  const Claim& six = a.local.family() == AF_INET6 ? a : b;
  return is_wildcard(six.local) && !six.v6_only;
}

bool SimNames::in_the_way(const Claim& claim, const Claim& other, bool listening) {
  const bool shared = (claim.reuse_port && other.reuse_port) ||
                      (claim.reuse_address && other.reuse_address && !listening);
  return !shared && overlap(claim, other);
}

bool SimNames::conflicts(const Claim& claim, TimePoint now) {
  const std::uint16_t port = claim.local.port();
  const auto [first, last] = ports_.equal_range(port);
  for (auto it = first; it != last; ++it) {
    const SimSocket& other = *it->second;
    const bool listening = other.state == SimSocket::State::listening;
    if (in_the_way(claim, claim_of(other, other.local), listening)) return true;
  }
  for (auto it = accepted_.lower_bound({port, nullptr}); it != accepted_.end() && it->first == port;
       ++it) {
    const SimSocket& other = *it->second;
    if (holds_port(other) && in_the_way(claim, claim_of(other, other.local), false)) return true;
  }
  const auto& waiting = kept(port, now);
  return std::any_of(waiting.begin(), waiting.end(),
                     [&](const Kept& each) { return in_the_way(claim, each.claim, false); });
}

bool SimNames::accepted_has(std::uint16_t port) const {
  const auto found = accepted_.lower_bound({port, nullptr});
  return found != accepted_.end() && found->first == port;
}

const std::vector<SimNames::Kept>& SimNames::kept(std::uint16_t port, TimePoint now) {
  static const std::vector<Kept> none;
  const auto found = kept_.find(port);
  if (found == kept_.end()) return none;
  std::erase_if(found->second, [now](const Kept& each) { return each.until <= now; });
  return found->second;
}

void SimNames::share(SimSocket& accepted) {
  accepted_.emplace(accepted.local.port(), &accepted);
  accepted.shares_name = true;
}

void SimNames::keep(const SimSocket& socket, TimePoint until) {
  const Claim claim = claim_of(socket, socket.local);
  std::vector<Kept>& all = kept_[socket.local.port()];
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&claim](const Kept& each) { return each.claim == claim; });
  if (found != all.end()) {
    found->until = until;
  } else {
    all.push_back({claim, until});
  }
}

std::uint16_t SimNames::free_port(Function<bool(std::uint16_t)> fits) {
  for (int tried = kFirstPort; tried <= kLastPort; ++tried) {
    const std::uint16_t port = next_port_;
    next_port_ = port == kLastPort ? kFirstPort : static_cast<std::uint16_t>(port + 1);
    if (!ports_.contains(port) && !accepted_has(port) && (!fits || fits(port))) return port;
  }
  return 0;
}

int SimNames::take(SimSocket& socket, Address name, TimePoint now) {
  if (socket.is_unix()) {
    if (unix_.contains(name)) return EADDRINUSE;
    enter(socket, name);
    return 0;
  }
  if (name.family() == AF_INET6 && v6_only(socket) && unmapped(name) != name) return EINVAL;
  const bool group = socket.is_datagram() && is_multicast(name);
  if (!group && place_of(unmapped(name)) != SimPlace::here) return EADDRNOTAVAIL;
  if (name.port() == 0) {
    const std::uint16_t port = free_port([&](std::uint16_t p) { return kept(p, now).empty(); });
    if (port == 0) return EADDRINUSE;
    name = name.with_port(port);
  }
  if (conflicts(claim_of(socket, name), now)) return EADDRINUSE;
  enter(socket, name);
  return 0;
}

int SimNames::take_any(SimSocket& socket, const Address& host) {
  // One that is kept will do: tcp_tw_reuse is on for loopback.
  const std::uint16_t port = free_port(nullptr);
  if (port == 0) return EADDRNOTAVAIL;
  enter(socket, host.with_port(port));
  return 0;
}

void SimNames::release(SimSocket& socket) noexcept {
  if (std::exchange(socket.shares_name, false)) {
    accepted_.erase({socket.local.port(), &socket});
  }
  if (!std::exchange(socket.named, false)) return;
  if (socket.is_unix()) {
    const auto found = unix_.find(socket.local);
    // Its file may have been removed, and the path another one's now.
    if (found == unix_.end() || found->second.socket != &socket) return;
    found->second.socket = nullptr;
    if (found->second.file == 0) unix_.erase(found);
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
  const Claim claim = claim_of(socket, socket.local);
  const auto [first, last] = ports_.equal_range(socket.local.port());
  for (auto it = first; it != last; ++it) {
    const SimSocket& other = *it->second;
    if (&other != &socket && other.state == SimSocket::State::listening &&
        in_the_way(claim, claim_of(other, other.local), true)) {
      return EADDRINUSE;
    }
  }
  return 0;
}

SimSocket* SimNames::listener(const Address& address, const Address& from) const {
  if (address.is_unix()) {
    SimSocket* socket = find_unix(address);
    return socket && socket->state == SimSocket::State::listening ? socket : nullptr;
  }
  return closest(address, from, [](const SimSocket& socket) {
    return socket.state == SimSocket::State::listening;
  });
}

SimSocket* SimNames::receiver(const Address& address, const Address& from) const {
  SimSocket* connected = closest(address, from, [&from](const SimSocket& socket) {
    return socket.is_datagram() && socket.state == SimSocket::State::connected &&
           unmapped(socket.remote) == from;
  });
  if (connected) return connected;
  return closest(address, from, [](const SimSocket& socket) {
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

bool SimNames::is_for(const SimSocket& socket, const Address& address) {
  return closeness(socket, address) < kNoMatch;
}

/// The closest match wins; of several the one that belongs to this flow.
SimSocket* SimNames::closest(const Address& address, const Address& from,
                             Function<bool(const SimSocket&)> fits) const {
  std::vector<SimSocket*> matches[kNoMatch];
  const auto [first, last] = ports_.equal_range(address.port());
  for (auto it = first; it != last; ++it) {
    SimSocket& socket = *it->second;
    if (!fits(socket)) continue;
    const std::size_t match = closeness(socket, address);
    if (match < kNoMatch) matches[match].push_back(&socket);
  }
  for (const auto& found : matches) {
    if (found.empty()) continue;
    if (found.size() == 1) return found.front();
    return found[Seed(seed_, from.to_string() + ' ' + address.to_string()).below(found.size())];
  }
  return nullptr;
}

SimSocket* SimNames::find_unix(const Address& address) const {
  const auto found = unix_.find(address);
  return found == unix_.end() ? nullptr : found->second.socket;
}

int SimNames::absent(const Address& address) const {
  return address.is_abstract() || unix_.contains(address) ? ECONNREFUSED : ENOENT;
}

std::uint64_t SimNames::file(const Address& path) const {
  const auto found = unix_.find(path);
  return found == unix_.end() ? 0 : found->second.file;
}

bool SimNames::remove_file(const Address& path) {
  return file(path) != 0 && unix_.erase(path) > 0;
}

std::size_t SimNames::files() const noexcept {
  return static_cast<std::size_t>(std::count_if(
      unix_.begin(), unix_.end(), [](const auto& each) { return each.second.file != 0; }));
}

std::size_t SimNames::size() const noexcept {
  const auto left = std::count_if(unix_.begin(), unix_.end(),
                                  [](const auto& each) { return !each.second.socket; });
  return ports_.size() + unix_.size() - static_cast<std::size_t>(left);
}

}  // namespace ferry::testing
