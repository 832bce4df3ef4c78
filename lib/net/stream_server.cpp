#include "stream_server.h"

#include "accepted.h"

#include <utility>

namespace ferry {

std::shared_ptr<StreamServer> StreamServer::make(EventLoop& loop, ServerSettings settings,
                                                 std::vector<BoundSocket> sockets) {
  auto server = std::make_shared<StreamServer>(loop, std::move(settings), std::move(sockets));
  server->begin();
  return server;
}

StreamServer::StreamServer(EventLoop& loop, ServerSettings settings,
                           std::vector<BoundSocket> sockets)
    : ServerBase(loop), settings_(std::move(settings)) {
  for (BoundSocket& bound : sockets) {
    accept_loops_.push_back(
        std::make_unique<AcceptLoop>(loop, std::move(bound.socket), std::move(bound.address),
                                     settings_.backlog, static_cast<AcceptLoop::Owner&>(*this)));
    files_.push_back(std::move(bound.file));
  }
}

void StreamServer::open_sockets() {
  for (auto& accept_loop : accept_loops_) accept_loop->start();
}

void StreamServer::close_sockets() {
  for (auto& accept_loop : accept_loops_) accept_loop->close();
  files_.clear();
}

void StreamServer::keep_socket_files() {
  for (SocketFile& file : files_) file.forget();
}

std::vector<Address> StreamServer::sockets() const {
  std::vector<Address> addresses;
  if (is_closed()) return addresses;
  for (const auto& accept_loop : accept_loops_) addresses.push_back(accept_loop->address());
  return addresses;
}

std::vector<int> StreamServer::native_handles() const {
  std::vector<int> handles;
  if (is_closed()) return handles;
  for (const auto& accept_loop : accept_loops_) handles.push_back(accept_loop->native_handle());
  return handles;
}

void StreamServer::on_accepted(Socket socket, const Address& peer) {
  start_accepted(
      loop(), std::move(socket), peer, std::static_pointer_cast<StreamServer>(shared_from_this()),
      [this] { return settings_.factory(); }, settings_.wrap, settings_.gate.get());
}

bool StreamServer::has_room() const noexcept {
  return settings_.max_connections == 0 || size() < settings_.max_connections;
}

void StreamServer::on_connection_left() {
  const auto alive = shared_from_this();
  if (is_serving() && has_room()) {
    for (auto& accept_loop : accept_loops_) accept_loop->resume();
  }
  finish_if_over();
}

}  // namespace ferry
