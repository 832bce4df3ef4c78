#include <ferry/start_server.h>

#include <ferry/await_future.h>

#include <utility>

namespace ferry {

namespace {

ProtocolFactory factory(StreamHandler handler, std::size_t limit) {
  return [handler = std::move(handler), limit] {
    return std::make_shared<StreamReaderProtocol>(limit, handler);
  };
}

/// `start` begins only once there is a frame that will end what it has begun.
template <class Start>
Coro<std::shared_ptr<Server>> server_of(Start start) {
  const Future<std::shared_ptr<Server>> starting = start();
  try {
    co_await starting;
  } catch (...) {
    // Cancelled in the very turn in which it succeeded: nobody else would close it.
    if (starting.done() && !starting.cancelled() && !starting.exception()) {
      starting.result()->close();
    }
    throw;
  }
  co_return starting.result();
}

}  // namespace

Coro<std::shared_ptr<Server>> start_server(StreamHandler handler, ListenOptions options,
                                           std::size_t limit) {
  return server_of([handler = std::move(handler), options = std::move(options), limit]() mutable {
    return create_server(get_running_loop(), factory(std::move(handler), limit),
                         std::move(options));
  });
}

Coro<std::shared_ptr<Server>> start_unix_server(StreamHandler handler, UnixListenOptions options,
                                                std::size_t limit) {
  return server_of([handler = std::move(handler), options = std::move(options), limit]() mutable {
    return create_unix_server(get_running_loop(), factory(std::move(handler), limit),
                              std::move(options));
  });
}

Coro<std::shared_ptr<Server>> start_server(StreamHandler handler, std::string_view host,
                                           std::uint16_t port, std::size_t limit) {
  ListenOptions options;
  options.hosts.emplace_back(host);
  options.port = port;
  return start_server(std::move(handler), std::move(options), limit);
}

Coro<std::shared_ptr<Server>> start_unix_server(StreamHandler handler, std::string_view path,
                                                std::size_t limit) {
  UnixListenOptions options;
  options.path = path;
  return start_unix_server(std::move(handler), std::move(options), limit);
}

}  // namespace ferry
