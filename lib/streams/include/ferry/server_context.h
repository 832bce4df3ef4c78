#pragma once

#include <ferry/async_context.h>
#include <ferry/await_future.h>
#include <ferry/server.h>

#include <exception>
#include <memory>
#include <utility>

namespace ferry {

/// A server as a context: the way out closes it and waits until its last connection is over.
class ServerContext {
 public:
  explicit ServerContext(std::shared_ptr<Server> server) noexcept : server_(std::move(server)) {}

  Coro<std::shared_ptr<Server>> enter() const { co_return server_; }
  Coro<bool> leave(std::exception_ptr) const {
    server_->close();
    co_await server_->wait_closed();
    co_return false;
  }

 private:
  std::shared_ptr<Server> server_;
};

/// `co_await with(server, body, arguments...)`: asyncio's `async with server`. Runs
/// `body(server, arguments...)`, a coroutine, and however that ends closes the server and waits
/// until its last connection is over; where they do not end by themselves the body is to call
/// Server::close_clients.
template <class Body, class... Args>
auto with(std::shared_ptr<Server> server, Body body, Args... args) {
  return with(ServerContext(std::move(server)), std::move(body), std::move(args)...);
}

}  // namespace ferry
