#pragma once

#include "sim_socket.h"

#include <ferry/function.h>
#include <ferry/kernel.h>

#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

namespace ferry::testing {

/// Where an address leads in the simulation.
enum class SimPlace {
  here,     ///< loopback or a wildcard
  silence,  ///< a documentation network: nobody ever answers
  nowhere,  ///< no route
};
SimPlace place_of(const Address& address);
bool is_wildcard(const Address& address);
bool is_broadcast(const Address& address);
bool is_multicast(const Address& address);
/// 127.0.0.1 or ::1, with port 0.
Address loopback_of(int family);
/// The IPv4 address that an IPv6 socket sees as ::ffff:1.2.3.4 (RFC 4291, 2.5.5.2); others as they
/// are.
Address unmapped(const Address& address);
/// `address` as a socket of that family sees it.
Address seen_by(int family, const Address& address);
/// What an IP socket may not send or connect to (an errno value, or 0): one for IPv6 alone to an
/// IPv4 address, and one whose address is of the other kind. `to` is unmapped.
int out_of_reach(const SimSocket& socket, const Address& to);

/// Who has which address: what bind, listen and connect look at.
class SimNames {
 public:
  explicit SimNames(std::uint64_t seed) : seed_(seed) {}
  /// Gives `socket` the name; port 0 gets a free one. An errno value, or 0.
  int take(SimSocket& socket, Address name, TimePoint now);
  /// Gives a connecting socket a name of its own with a free port.
  int take_any(SimSocket& socket, const Address& host);
  /// An accepted socket has its name beside its listener, and holds it against others.
  void share(SimSocket& accepted);
  /// TIME_WAIT: the socket's name is held until then, though it is gone.
  void keep(const SimSocket& socket, TimePoint until);
  void release(SimSocket& socket) noexcept;
  /// An errno value if another socket listens there already.
  int may_listen(const SimSocket& socket) const;
  /// Who accepts connections of `from` to `address`; null if nobody does. Of sockets that share a
  /// port (SO_REUSEPORT) it is always the same one, as long as they stay the same; which one
  /// depends on the two addresses and the seed. Here and in `receiver` addresses are unmapped.
  SimSocket* listener(const Address& address, const Address& from) const;
  /// Who gets a datagram of `from`; null if nobody does. A socket connected to `from` comes first.
  SimSocket* receiver(const Address& address, const Address& from) const;
  /// True if the socket's name is that address or a wildcard for it; ports do not count.
  static bool is_for(const SimSocket& socket, const Address& address);
  /// The datagram sockets of that port.
  std::vector<SimSocket*> datagram_sockets(std::uint16_t port) const;
  /// The socket bound to a unix name, listening or not.
  SimSocket* find_unix(const Address& address) const;
  /// The errno value for a unix name that `find_unix` does not know.
  int absent(const Address& address) const;
  /// The number of a socket's file, there as long as nobody removes it; 0: it is none.
  std::uint64_t file(const Address& path) const;
  bool remove_file(const Address& path);
  /// Of sockets; files that were left do not count.
  std::size_t size() const noexcept;
  std::size_t files() const noexcept;

 private:
  static constexpr std::uint16_t kFirstPort = 32768;
  static constexpr std::uint16_t kLastPort = 60999;

  /// What decides whether two may have the same port.
  struct Claim {
    int type;
    Address local;  // unmapped
    bool v6_only;
    bool reuse_address;
    bool reuse_port;
    friend bool operator==(const Claim&, const Claim&) = default;
  };
  struct UnixName {
    SimSocket* socket;   // null: only its file is left
    std::uint64_t file;  // 0 of an abstract one
  };
  struct Kept {
    Claim claim;
    TimePoint until;
  };

  static Claim claim_of(const SimSocket& socket, const Address& local);
  static bool overlap(const Claim& a, const Claim& b);
  static bool in_the_way(const Claim& claim, const Claim& other, bool listening);
  bool conflicts(const Claim& claim, TimePoint now);
  bool accepted_has(std::uint16_t port) const;
  /// What of that port is kept now.
  const std::vector<Kept>& kept(std::uint16_t port, TimePoint now);
  std::uint16_t free_port(Function<bool(std::uint16_t)> fits);
  void enter(SimSocket& socket, const Address& name);
  SimSocket* closest(const Address& address, const Address& from,
                     Function<bool(const SimSocket&)> fits) const;

  // A multimap, so that the order within a port is the order of the binds.
  std::multimap<std::uint16_t, SimSocket*> ports_;
  std::map<Address, UnixName> unix_;
  std::uint64_t last_file_ = 0;
  std::set<std::pair<std::uint16_t, const SimSocket*>> accepted_;
  std::map<std::uint16_t, std::vector<Kept>> kept_;
  std::uint16_t next_port_ = kFirstPort;
  std::uint64_t seed_;
};

}  // namespace ferry::testing
