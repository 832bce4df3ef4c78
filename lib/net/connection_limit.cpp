#include <ferry/connection_limit.h>

#include <netinet/in.h>

#include <array>
#include <cstring>
#include <map>
#include <mutex>
#include <stdexcept>
#include <utility>

namespace ferry {
namespace {

/// What counts as one peer: the family, then the bits of the address that count.
using PeerKey = std::array<unsigned char, 17>;

PeerKey peer_key(const Address& peer, unsigned ipv6_prefix) {
  PeerKey key{};
  sockaddr_storage storage{};
  peer.to_sockaddr(storage);
  if (peer.family() == AF_INET) {
    key[0] = 4;
    std::memcpy(&key[1], &reinterpret_cast<const sockaddr_in&>(storage).sin_addr, 4);
  } else if (peer.family() == AF_INET6) {
    const in6_addr& address = reinterpret_cast<const sockaddr_in6&>(storage).sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(&address)) {
      key[0] = 4;
      std::memcpy(&key[1], address.s6_addr + 12, 4);
    } else {
      key[0] = 6;
      std::memcpy(&key[1], address.s6_addr, 16);
      for (unsigned bit = ipv6_prefix; bit < 128; ++bit) {
        key[1 + bit / 8] &= static_cast<unsigned char>(~(0x80u >> bit % 8));
      }
    }
  }
  return key;
}

}  // namespace

struct ConnectionLimit::State {
  const ConnectionLimits limits;
  mutable std::mutex mutex;  // of what follows
  std::size_t total = 0;
  std::map<PeerKey, std::size_t> by_peer;
  std::uint64_t refused = 0;

  void release(const PeerKey& key) noexcept {
    const std::lock_guard lock(mutex);
    --total;
    const auto found = by_peer.find(key);
    if (--found->second == 0) by_peer.erase(found);
  }
};

ConnectionLimit::ConnectionLimit(ConnectionLimits limits) {
  if (limits.ipv6_prefix > 128) {
    throw std::invalid_argument("ConnectionLimit: ipv6_prefix is above 128");
  }
  state_ = std::shared_ptr<State>(new State{std::move(limits), {}, 0, {}, 0});
}

ConnectionLimit::~ConnectionLimit() = default;

Admission ConnectionLimit::admit(const Address& peer) {
  /// Counts one connection for as long as it exists.
  struct Ticket {
    Ticket(std::shared_ptr<State> s, const PeerKey& k) : state(std::move(s)), key(k) {}
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;
    ~Ticket() {
      if (counted) state->release(key);
    }
    std::shared_ptr<State> state;
    PeerKey key;
    bool counted = false;
  };
  State& state = *state_;
  const auto ticket = std::make_shared<Ticket>(state_, peer_key(peer, state.limits.ipv6_prefix));
  const std::lock_guard lock(state.mutex);
  const auto found = state.by_peer.try_emplace(ticket->key, 0).first;
  const bool full = (state.limits.total != 0 && state.total >= state.limits.total) ||
                    (state.limits.per_peer != 0 && found->second >= state.limits.per_peer);
  if (full) {
    ++state.refused;
    if (found->second == 0) state.by_peer.erase(found);
    return {false, nullptr, state.limits.refusal};
  }
  ++found->second;
  ++state.total;
  ticket->counted = true;
  return {true, ticket, {}};
}

std::size_t ConnectionLimit::connections() const {
  const std::lock_guard lock(state_->mutex);
  return state_->total;
}

std::size_t ConnectionLimit::connections_from(const Address& peer) const {
  const PeerKey key = peer_key(peer, state_->limits.ipv6_prefix);
  const std::lock_guard lock(state_->mutex);
  const auto found = state_->by_peer.find(key);
  return found == state_->by_peer.end() ? 0 : found->second;
}

std::uint64_t ConnectionLimit::refused() const {
  const std::lock_guard lock(state_->mutex);
  return state_->refused;
}

}  // namespace ferry
