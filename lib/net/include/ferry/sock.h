#pragma once

#include <ferry/buffer.h>
#include <ferry/event_loop.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

// Single operations on a socket that the caller owns, for what transports do not fit. Each tries
// its system call at once, and waits only if that says EAGAIN: a future that is done already costs
// no turn. Cancelling a future ends its operation before `cancel` returns, and leaves the socket as
// it is. Closing a socket does not end an operation that waits for it. The socket must be
// non-blocking (in debug mode std::invalid_argument is thrown if it is not), and no transport
// may use it (std::logic_error). Failures are IoError.
// https://docs.python.org/3/library/asyncio-eventloop.html#working-with-socket-objects-directly

namespace ferry {

/// At most `most` bytes; none at the end of the stream.
Future<Buffer> sock_recv(EventLoop& loop, int fd, std::size_t most);
/// The same into memory of the caller's, which must stay until the future is done or cancelled.
Future<std::size_t> sock_recv_into(EventLoop& loop, int fd, MutableBytes into);
/// Done when all of `data` is sent. What is not sent at once is copied. How much of it was
/// sent is not known if it fails or is cancelled.
Future<void> sock_sendall(EventLoop& loop, int fd, BytesView data);
Future<void> sock_connect(EventLoop& loop, int fd, const Address& address);
/// The same by name, looked up for the family, type and protocol of the socket; the first address
/// counts.
Future<void> sock_connect(EventLoop& loop, int fd, std::string host, std::uint16_t port);

struct AcceptedSocket {
  Socket socket;  ///< Non-blocking.
  Address peer;
};
/// The next connection of a listening socket.
Future<AcceptedSocket> sock_accept(EventLoop& loop, int fd);

struct ReceivedDatagram {
  Buffer data;
  Address peer;
};
/// One datagram, cut off after `most` bytes.
Future<ReceivedDatagram> sock_recvfrom(EventLoop& loop, int fd, std::size_t most);
/// The same into the caller's memory; who sent it goes to `peer`, which must stay as long.
Future<std::size_t> sock_recvfrom_into(EventLoop& loop, int fd, MutableBytes into, Address& peer);
Future<std::size_t> sock_sendto(EventLoop& loop, int fd, BytesView data, const Address& to);

/// Sends a part of a file by sendfile(2), or by reading and sending what the kernel does not do
/// that way: from `offset`, `count` bytes or up to the file's end. Gives the number sent; the
/// file's position is behind the last byte sent, also when it fails. Throws std::invalid_argument
/// for a count of 0, an impossible offset and a socket that is no stream socket. With `fallback =
/// false` the future fails with EOPNOTSUPP instead of reading.
Future<std::uint64_t> sock_sendfile(EventLoop& loop, int fd, int file, std::uint64_t offset = 0,
                                    std::optional<std::uint64_t> count = {}, bool fallback = true);

}  // namespace ferry
