#pragma once

#include "accept_loop.h"
#include "connection_set.h"
#include "listen_socket.h"

#include <ferry/server.h>

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

/// The Server over stream sockets, TCP and unix alike. It owns itself until it is closed; after
/// that its connections do, through their ConnectionSet.
class StreamServer final : public Server,
                           public ConnectionSet,
                           public std::enable_shared_from_this<StreamServer>,
                           private AcceptLoop::Owner,
                           private LoopResource {
 public:
  static std::shared_ptr<StreamServer> make(EventLoop& loop, ServerSettings settings,
                                            std::vector<BoundSocket> sockets);
  StreamServer(EventLoop& loop, ServerSettings settings, std::vector<BoundSocket> sockets);

  void start_serving() override;
  void close() override;
  Future<std::size_t> drain(Duration deadline) override;
  void close_clients() override;
  void abort_clients() override;
  Future<void> wait_closed() override;
  Future<void> serve_forever() override;
  bool is_serving() const noexcept override { return state_ == State::serving; }
  std::vector<Address> sockets() const override;
  std::vector<int> native_handles() const override;
  std::size_t connections() const noexcept override { return size(); }
  EventLoop& loop() const noexcept override { return loop_; }

 private:
  enum class State { created, serving, closed };
  /// One call of `drain`.
  struct Drain {
    explicit Drain(StreamServer& server);
    Future<std::size_t> future;
    std::size_t aborted = 0;
    Timer deadline;
  };

  void on_accepted(Socket socket, const Address& peer) override;
  void refuse(Socket socket, const std::string& words);
  bool has_room() const noexcept override;
  std::shared_ptr<void> keep_alive() override { return shared_from_this(); }
  void on_connection_left() override;
  void on_loop_close() override;
  /// The loop, or std::logic_error if it is gone.
  EventLoop& usable_loop() const { return lifeline_.get_loop(); }
  void check_open(const char* what) const;
  void finish_if_ended();

  EventLoop& loop_;
  ServerSettings settings_;
  std::vector<std::unique_ptr<AcceptLoop>> accept_loops_;  // kept, closed, after close
  std::vector<SocketFile> files_;
  State state_ = State::created;
  std::shared_ptr<StreamServer> self_;  // until closed
  Future<void> lifeline_;               // never done: knows whether the loop still exists
  std::vector<Future<void>> waiters_;
  std::vector<std::shared_ptr<Drain>> drains_;
  Future<void> forever_;
};

}  // namespace ferry
