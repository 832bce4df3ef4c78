#pragma once

#include <ferry/connect.h>
#include <ferry/coro.h>
#include <ferry/stream_writer.h>

#include <cstdint>
#include <string_view>
#include <utility>

namespace ferry {

/// Both directions of a connection.
struct Stream {
  // No aggregate: g++ 12 destroys one twice that is made in braces inside a co_await expression.
  Stream(StreamReader from, StreamWriter to) noexcept
      : reader(std::move(from)), writer(std::move(to)) {}

  StreamReader reader;
  StreamWriter writer;
};

/// Connects to `host`, a name or a numeric address: `Stream stream = co_await
/// open_connection("example.org", 80)`. `limit` is the reader's. Throws as create_connection.
/// Cancelling gives the attempt up and closes what is open.
/// https://docs.python.org/3/library/asyncio-stream.html#asyncio.open_connection
Coro<Stream> open_connection(std::string_view host, std::uint16_t port,
                             std::size_t limit = StreamReader::kDefaultLimit);
/// With all that create_connection knows: `options.wrap = tls_client(context)` for TLS.
Coro<Stream> open_connection(ConnectOptions options,
                             std::size_t limit = StreamReader::kDefaultLimit);
/// To a unix stream socket; a leading '@': an abstract name.
Coro<Stream> open_unix_connection(std::string_view path,
                                  std::size_t limit = StreamReader::kDefaultLimit);
Coro<Stream> open_unix_connection(UnixConnectOptions options,
                                  std::size_t limit = StreamReader::kDefaultLimit);

}  // namespace ferry
