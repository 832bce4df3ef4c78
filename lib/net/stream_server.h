#pragma once

#include "accept_loop.h"
#include "connection_set.h"
#include "listen_socket.h"
#include "server_base.h"

#include <memory>
#include <vector>

namespace ferry {

/// What a server does with its connections.
struct ServerSettings {
  ProtocolFactory factory;
  ProtocolWrap wrap;
  int backlog = 100;
  std::size_t max_connections = 0;
  std::shared_ptr<ConnectionGate> gate;  // null: all are admitted
};

/// The Server over stream sockets, TCP and unix alike. Once it is closed its connections own it,
/// through their ConnectionSet.
class StreamServer final : public ServerBase, public ConnectionSet, private AcceptLoop::Owner {
 public:
  static std::shared_ptr<StreamServer> make(EventLoop& loop, ServerSettings settings,
                                            std::vector<BoundSocket> sockets);
  StreamServer(EventLoop& loop, ServerSettings settings, std::vector<BoundSocket> sockets);

  void keep_socket_files() override;
  void close_clients() override { close_all(*this); }
  void abort_clients() override { abort_all(*this); }
  std::vector<Address> sockets() const override;
  std::vector<int> native_handles() const override;
  std::size_t connections() const noexcept override { return size(); }

 private:
  void open_sockets() override;
  void close_sockets() override;
  bool is_over() const noexcept override { return size() == 0; }
  void on_accepted(Socket socket, const Address& peer) override;
  bool has_room() const noexcept override;
  std::shared_ptr<void> keep_alive() override { return shared_from_this(); }
  void on_connection_left() override;

  ServerSettings settings_;
  std::vector<std::unique_ptr<AcceptLoop>> accept_loops_;  // kept, closed, after close
  std::vector<SocketFile> files_;
};

}  // namespace ferry
