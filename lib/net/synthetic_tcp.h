#pragma once

#include <ferry/address.h>
#include <ferry/bytes.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace ferry {

/// A TCP connection as it would look on the wire: makes up the IP and TCP headers for bytes that
/// were read and written (RFC 791, RFC 8200, RFC 9293). Nothing is ever lost or late on it.
class SyntheticTcp {
 public:
  /// Who sends: the one that connected, or the one that accepted.
  enum class Side : std::uint8_t { client, server };
  enum Flag : std::uint8_t { fin = 1, syn = 2, rst = 4, push = 8, ack = 16 };
  /// So many bytes are carried by one packet at most.
  static constexpr std::size_t kMaxPayload = 32 * 1024;
  static constexpr std::size_t kMaxHeaders = 40 + 28;
  using Headers = std::array<unsigned char, kMaxHeaders>;

  /// `number` tells this connection from others of the same addresses. Addresses that are not both
  /// IP of one family are replaced by made-up ones (RFC 5737).
  SyntheticTcp(const Address& client, const Address& server, std::uint32_t number);

  /// The addresses are made up.
  bool invented() const noexcept { return invented_; }
  /// The headers of the next packet that `from` sends; returns their size. At most kMaxPayload
  /// bytes. The sequence numbers go on.
  std::size_t next(Headers& headers, Side from, unsigned flags, BytesView payload);

  static Side other(Side side) noexcept {
    return side == Side::client ? Side::server : Side::client;
  }

 private:
  struct End {
    std::array<unsigned char, 16> address{};
    std::uint16_t port = 0;
    std::uint32_t next_sequence = 0;
  };
  void set_end(End& end, const Address& address);

  bool ipv6_ = false;
  bool invented_ = false;
  std::array<End, 2> ends_;  // by Side
};

}  // namespace ferry
