#pragma once

#include <ferry/coro.h>
#include <ferry/server.h>
#include <ferry/stream_protocol.h>

#include <cstdint>
#include <memory>
#include <string_view>

namespace ferry {

/// Listens on `host`, empty for all interfaces, and calls `handler` for each connection:
///
///     Coro<> greet(StreamReader reader, StreamWriter writer) {
///       std::string name = co_await reader.readline();
///       writer.write("hello " + name);
///       co_await writer.drain();
///       writer.close();
///       co_await writer.wait_closed();
///     }
///     ...
///     auto server = co_await start_server(greet, "127.0.0.1", 8888);
///
/// A handler's task is not cancelled when the server closes: Server::close_clients and drain end
/// its connection, which it hears from the reader. `limit` is the readers'. Throws as
/// create_server.
/// https://docs.python.org/3/library/asyncio-stream.html#asyncio.start_server
Coro<std::shared_ptr<Server>> start_server(StreamHandler handler, std::string_view host,
                                           std::uint16_t port,
                                           std::size_t limit = StreamReader::kDefaultLimit);
/// With all that create_server knows: `options.wrap = tls_server(context)` for TLS.
Coro<std::shared_ptr<Server>> start_server(StreamHandler handler, ListenOptions options,
                                           std::size_t limit = StreamReader::kDefaultLimit);
/// On a unix stream socket; a leading '@': an abstract name.
Coro<std::shared_ptr<Server>> start_unix_server(StreamHandler handler, std::string_view path,
                                                std::size_t limit = StreamReader::kDefaultLimit);
Coro<std::shared_ptr<Server>> start_unix_server(StreamHandler handler, UnixListenOptions options,
                                                std::size_t limit = StreamReader::kDefaultLimit);

}  // namespace ferry
