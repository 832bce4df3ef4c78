#pragma once

#include <ferry/connect.h>

namespace ferry {

/// Reads from one end of a pipe: `fd` is a pipe or FIFO, a stream socket, or a character device
/// such as a terminal; it is made non-blocking, for everybody who shares it, and the transport
/// closes it. Then connection_made, data, eof_received (whose answer does not matter) and
/// connection_lost as with any stream. Writing to it throws std::logic_error. Throws
/// std::invalid_argument, and leaves `fd` alone, if it is anything else, such as a regular file.
/// The future fails with IoError if it cannot be watched; then `fd` is closed.
Future<Connection<>> connect_read_pipe(EventLoop& loop, ProtocolFactory factory, int fd);

/// Writes to the other end. When nobody reads from the pipe any more connection_lost comes: without
/// error if all was written, else EPIPE. `write_eof` is `close`.
Future<Connection<>> connect_write_pipe(EventLoop& loop, ProtocolFactory factory, int fd);

/// The same with the protocol's own type.
template <TypedProtocolFactory F>
Future<ConnectionOf<F>> connect_read_pipe(EventLoop& loop, F factory, int fd) {
  return detail::typed_pair<ConnectionOf<F>>(
      loop, connect_read_pipe(loop, ProtocolFactory(std::move(factory)), fd));
}
template <TypedProtocolFactory F>
Future<ConnectionOf<F>> connect_write_pipe(EventLoop& loop, F factory, int fd) {
  return detail::typed_pair<ConnectionOf<F>>(
      loop, connect_write_pipe(loop, ProtocolFactory(std::move(factory)), fd));
}

}  // namespace ferry
