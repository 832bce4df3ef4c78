#include "synthetic_tcp.h"

#include <netinet/in.h>

#include <cstring>

namespace ferry {
namespace {

constexpr unsigned kTcp = 6;
/// With a scale of 8 the window is 16 MiB: no packet ever exceeds it.
constexpr unsigned kWindow = 0xffff;
constexpr unsigned char kWindowScale = 8;

/// Writes the headers' fields, most significant byte first.
class Writer {
 public:
  explicit Writer(unsigned char* at) : at_(at) {}
  Writer& u8(unsigned value) {
    *at_++ = static_cast<unsigned char>(value);
    return *this;
  }
  Writer& u16(unsigned value) { return u8(value >> 8).u8(value); }
  Writer& u32(std::uint32_t value) { return u16(value >> 16).u16(value & 0xffff); }
  Writer& bytes(const unsigned char* from, std::size_t size) {
    std::memcpy(at_, from, size);
    at_ += size;
    return *this;
  }

 private:
  unsigned char* at_;
};

/// The Internet checksum (RFC 1071) in the machine's own byte order, which it does not care about.
class Checksum {
 public:
  /// Each run but the last of an even size.
  void add(const void* from, std::size_t size) {
    const auto* at = static_cast<const unsigned char*>(from);
    for (; size >= 4; at += 4, size -= 4) {
      std::uint32_t word = 0;
      std::memcpy(&word, at, 4);
      sum_ += word;
    }
    std::uint32_t rest = 0;
    if (size > 0) std::memcpy(&rest, at, size);
    sum_ += rest;
  }
  void store(unsigned char* at) const {
    std::uint64_t sum = sum_;
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
    const auto checksum = static_cast<std::uint16_t>(~sum);
    std::memcpy(at, &checksum, 2);
  }

 private:
  std::uint64_t sum_ = 0;
};

}  // namespace

SyntheticTcp::SyntheticTcp(const Address& client, const Address& server, std::uint32_t number) {
  const std::array<Address, 2> addresses{client, server};
  invented_ = !client.is_ip() || client.family() != server.family();
  ipv6_ = !invented_ && client.family() == AF_INET6;
  for (std::size_t i = 0; i < 2; ++i) {
    if (invented_) {
      // 192.0.2.1 the client, 192.0.2.2 the server.
      const std::uint32_t port = i == 0 ? 1024 + number % 64'000 : 1;
      ends_[i].address = {192, 0, 2, static_cast<unsigned char>(1 + i)};
      ends_[i].port = static_cast<std::uint16_t>(port);
    } else {
      set_end(ends_[i], addresses[i]);
    }
    // Far from the last connection's, or a reader might take this one for its continuation.
    ends_[i].next_sequence = number * 16'000'057u + static_cast<std::uint32_t>(i) * 7'000'003u;
  }
}

void SyntheticTcp::set_end(End& end, const Address& address) {
  sockaddr_storage storage{};
  address.to_sockaddr(storage);
  if (ipv6_) {
    std::memcpy(end.address.data(), &reinterpret_cast<sockaddr_in6&>(storage).sin6_addr, 16);
  } else {
    std::memcpy(end.address.data(), &reinterpret_cast<sockaddr_in&>(storage).sin_addr, 4);
  }
  end.port = address.port();
}

std::size_t SyntheticTcp::next(Headers& headers, Side from, unsigned flags, BytesView payload) {
  End& source = ends_[static_cast<std::size_t>(from)];
  const End& target = ends_[static_cast<std::size_t>(other(from))];
  const std::size_t address_size = ipv6_ ? 16 : 4;
  const std::size_t ip_size = ipv6_ ? 40 : 20;
  const std::size_t tcp_size = flags & syn ? 28 : 20;
  const auto length = static_cast<unsigned>(tcp_size + payload.size());

  Writer ip(headers.data());
  if (ipv6_) {
    ip.u32(0x60000000).u16(length).u8(kTcp).u8(64);
  } else {
    ip.u8(0x45).u8(0).u16(length + 20).u16(0).u16(0x4000).u8(64).u8(kTcp).u16(0);
  }
  ip.bytes(source.address.data(), address_size).bytes(target.address.data(), address_size);
  if (!ipv6_) {
    Checksum checksum;
    checksum.add(headers.data(), ip_size);
    checksum.store(headers.data() + 10);
  }

  unsigned char* const start = headers.data() + ip_size;
  Writer tcp(start);
  tcp.u16(source.port).u16(target.port).u32(source.next_sequence);
  tcp.u32(flags & ack ? target.next_sequence : 0);
  tcp.u8(static_cast<unsigned>(tcp_size / 4) << 4).u8(flags).u16(kWindow).u16(0).u16(0);
  if (flags & syn) {
    tcp.u8(2).u8(4).u16(kMaxPayload);        // maximum segment size
    tcp.u8(1).u8(3).u8(3).u8(kWindowScale);  // padding, window scale (RFC 7323)
  }
  std::array<unsigned char, 40> pseudo{};
  Writer(pseudo.data())
      .bytes(source.address.data(), address_size)
      .bytes(target.address.data(), address_size)
      .u32(length)
      .u32(kTcp);
  Checksum checksum;
  checksum.add(pseudo.data(), 2 * address_size + 8);
  checksum.add(start, tcp_size);
  checksum.add(payload.data(), payload.size());
  checksum.store(start + 16);

  source.next_sequence += static_cast<std::uint32_t>(payload.size());
  if (flags & (syn | fin)) ++source.next_sequence;
  return ip_size + tcp_size;
}

}  // namespace ferry
