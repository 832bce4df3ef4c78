#pragma once

#include <sys/socket.h>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ferry {

/// A socket address as a value: IPv4, IPv6 (with scope id), or unix (a path, or an abstract name).
/// 32 bytes; a unix name lives on the heap. Default-constructed it is empty: family AF_UNSPEC.
/// An unnamed unix address (a socketpair's, an unbound client's) has family AF_UNIX and no path.
class Address {
 public:
  Address() noexcept;
  /// From what the kernel filled in (accept(2), getsockname(2)); an unknown family gives an empty
  /// one.
  Address(const sockaddr* address, socklen_t length);
  Address(const Address& other);
  Address(Address&& other) noexcept;
  Address& operator=(const Address& other);
  Address& operator=(Address&& other) noexcept;
  ~Address();

  /// `host` must be a numeric address: "127.0.0.1", "::1", "fe80::1%2" (scope as number or
  /// interface name); "[::1]" is taken too. `port` is in host order.
  static std::optional<Address> ip(std::string_view host, std::uint16_t port);
  /// "127.0.0.1:80", "[::1]:80", "unix:/run/x.sock", "unix:@abstract".
  static std::optional<Address> parse(std::string_view text);
  /// `path` as in the file system; a leading '@' makes an abstract name (unix(7), Linux only).
  /// Empty text makes the unnamed address. Throws std::invalid_argument if the path is longer than
  /// sun_path holds (107 bytes and a NUL on Linux; an abstract name 107 after the '@'), or has a
  /// NUL.
  static Address unix_path(std::string_view path);
  /// 127.0.0.1.
  static Address loopback(std::uint16_t port);

  int family() const noexcept { return family_; }
  bool empty() const noexcept { return family_ == AF_UNSPEC; }
  bool is_ip() const noexcept { return family_ == AF_INET || family_ == AF_INET6; }
  bool is_unix() const noexcept { return family_ == AF_UNIX; }
  /// Numeric host without brackets, with %scope if set; empty for other families.
  std::string host() const;
  /// Host order; 0 for other families.
  std::uint16_t port() const noexcept;
  /// The same address with another port; std::logic_error unless it is an IP address.
  Address with_port(std::uint16_t port) const;
  /// The unix path, abstract names with their leading '@'; empty for other families. A relative
  /// path that itself begins with '@' reads "./@...".
  std::string path() const;
  bool is_abstract() const noexcept;
  /// The inverse of `parse`; "-" if empty, "unix:" if unnamed.
  std::string to_string() const;

  /// Writes the address in the kernel's form; returns its length, 0 if it is empty.
  socklen_t to_sockaddr(sockaddr_storage& storage) const noexcept;

  friend bool operator==(const Address& a, const Address& b) noexcept { return (a <=> b) == 0; }
  /// A total order: by family, then by address (with its scope), then by port.
  friend std::strong_ordering operator<=>(const Address& a, const Address& b) noexcept;
  std::size_t hash() const noexcept;

 private:
  struct Ip {
    std::uint16_t port;  // host order
    std::uint32_t scope;
    unsigned char bytes[16];
  };
  union {
    Ip ip_;
    std::string* name_;  // sun_path's bytes: a leading NUL marks an abstract name
  };
  std::uint16_t family_ = AF_UNSPEC;
};

}  // namespace ferry

template <>
struct std::hash<ferry::Address> {
  std::size_t operator()(const ferry::Address& address) const noexcept { return address.hash(); }
};
