#include <ferry/open_connection.h>

#include <ferry/await_future.h>
#include <ferry/stream_protocol.h>

#include <utility>

namespace ferry {

namespace {

/// `connect` begins only once there is a frame that will end what it has begun.
template <class Connect>
Coro<Stream> stream_of(Connect connect) {
  const Future<Connection<StreamReaderProtocol>> connecting = connect();
  try {
    co_await connecting;
    const StreamReaderProtocol& protocol = *connecting.result().protocol;
    co_return Stream{protocol.reader(), protocol.writer()};
  } catch (...) {
    // Cancelled in the very turn in which it succeeded, or no memory for the stream: nobody else
    // would close it.
    if (connecting.done() && !connecting.cancelled() && !connecting.exception()) {
      connecting.result().transport->abort();
    }
    throw;
  }
}

auto factory(std::size_t limit) {
  return [limit] { return std::make_shared<StreamReaderProtocol>(limit); };
}

}  // namespace

Coro<Stream> open_connection(ConnectOptions options, std::size_t limit) {
  return stream_of([options = std::move(options), limit]() mutable {
    return create_connection(get_running_loop(), factory(limit), std::move(options));
  });
}

Coro<Stream> open_unix_connection(UnixConnectOptions options, std::size_t limit) {
  return stream_of([options = std::move(options), limit]() mutable {
    return create_unix_connection(get_running_loop(), factory(limit), std::move(options));
  });
}

// The name is copied at the call; nothing else happens before the coroutine is awaited.

Coro<Stream> open_connection(std::string_view host, std::uint16_t port, std::size_t limit) {
  ConnectOptions options;
  options.host = host;
  options.port = port;
  return open_connection(std::move(options), limit);
}

Coro<Stream> open_unix_connection(std::string_view path, std::size_t limit) {
  UnixConnectOptions options;
  options.path = path;
  return open_unix_connection(std::move(options), limit);
}

}  // namespace ferry
