#include <ferry/group_server.h>

#include "group_part.h"
#include "server_base.h"
#include "server_creation.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace ferry {

namespace {

/// The home loop's side of a server on many loops. With least_loaded it accepts; with reuse_port
/// the parts do.
class GroupServer final : public ServerBase, private AcceptLoop::Owner {
 public:
  static std::shared_ptr<Server> make(EventLoop& loop, GroupTraffic::Settings settings,
                                      std::vector<BoundSocket> sockets, Spread spread, bool start);
  GroupServer(EventLoop& loop, std::vector<BoundSocket> sockets, Spread spread);

  void keep_socket_files() override {
    for (SocketFile& file : files_) file.forget();
  }
  void close_clients() override { traffic_->tell_parts(GroupTraffic::Wish::close_all); }
  void abort_clients() override {
    if (is_closed()) traffic_->refuse();
    traffic_->tell_parts(GroupTraffic::Wish::abort_all);
  }
  std::vector<Address> sockets() const override;
  std::vector<int> native_handles() const override;
  std::size_t connections() const noexcept override { return traffic_->connections(); }

 private:
  /// Keeps a closed server until all is over, or its loop closes.
  class Afterlife final : private ferry::LoopResource {
   public:
    Afterlife(EventLoop& loop, std::shared_ptr<GroupServer> server)
        : ferry::LoopResource(loop, Kind::operation), server_(std::move(server)) {}

   private:
    void on_loop_close() override {
      const auto server = std::move(server_);
      server->afterlife_.reset();  // this
    }
    std::shared_ptr<GroupServer> server_;
  };

  void open_sockets() override;
  void close_sockets() override;
  bool is_over() const noexcept override {
    return traffic_->connections() == 0 && traffic_->listeners() == 0;
  }
  void on_accepted(Socket socket, const Address& peer) override {
    traffic_->hand_out(Fd(socket.release()), peer);
  }
  bool has_room() const noexcept override { return traffic_->has_room(); }
  std::shared_ptr<void> keep_alive() override { return shared_from_this(); }
  /// Something has gone, on one of the loops.
  void look();

  std::shared_ptr<GroupTraffic> traffic_;
  Spread spread_;
  std::vector<BoundSocket> waiting_;  // for start_serving
  std::vector<SocketFile> files_;
  std::vector<Address> addresses_;
  std::vector<int> handles_;
  std::vector<std::unique_ptr<AcceptLoop>> accept_loops_;  // least_loaded
  std::optional<Afterlife> afterlife_;                     // in place: closing needs no memory
};

std::shared_ptr<Server> GroupServer::make(EventLoop& loop, GroupTraffic::Settings settings,
                                          std::vector<BoundSocket> sockets, Spread spread,
                                          bool start) {
  auto server = std::make_shared<GroupServer>(loop, std::move(sockets), spread);
  server->traffic_ = std::make_shared<GroupTraffic>(std::move(settings), loop.mailbox(),
                                                    [weak = std::weak_ptr(server)] {
                                                      if (const auto alive = weak.lock())
                                                        alive->look();
                                                    });
  server->begin();
  if (start) server->start_serving();
  return server;
}

GroupServer::GroupServer(EventLoop& loop, std::vector<BoundSocket> sockets, Spread spread)
    : ServerBase(loop), spread_(spread), waiting_(std::move(sockets)) {
  for (BoundSocket& bound : waiting_) {
    files_.push_back(std::move(bound.file));
    handles_.push_back(bound.socket.get());
    addresses_.push_back(bound.address);
  }
}

void GroupServer::open_sockets() {
  std::vector<BoundSocket> opening = std::exchange(waiting_, {});
  const int backlog = traffic_->settings().backlog;
  if (spread_ == Spread::least_loaded) {
    for (BoundSocket& bound : opening) {
      accept_loops_.push_back(std::make_unique<AcceptLoop>(loop(), std::move(bound.socket),
                                                           std::move(bound.address), backlog,
                                                           static_cast<AcceptLoop::Owner&>(*this)));
      accept_loops_.back()->start();
    }
    return;
  }
  // All listen before one accepts: what fails, fails here.
  for (const BoundSocket& bound : opening) {
    const IoResult listening = loop().kernel().listen(bound.socket.get(), backlog);
    if (!listening.ok()) throw IoError({listening.code(), "listen", bound.address});
  }
  std::size_t index = 0;
  for (BoundSocket& bound : opening) {
    traffic_->add_listener(index, Fd(bound.socket.release()), std::move(bound.address));
    index = (index + 1) % traffic_->crew().size();
  }
}

void GroupServer::close_sockets() {
  traffic_->wait_for_end();
  traffic_->close();
  for (auto& accept_loop : accept_loops_) accept_loop->close();
  waiting_.clear();
  files_.clear();
  traffic_->tell_parts(GroupTraffic::Wish::close);
  if (is_over()) return;
  afterlife_.emplace(loop(), std::static_pointer_cast<GroupServer>(shared_from_this()));
}

void GroupServer::look() {
  if (is_serving() && traffic_->has_room()) {
    for (auto& accept_loop : accept_loops_) accept_loop->resume();
    if (spread_ == Spread::reuse_port) traffic_->tell_parts(GroupTraffic::Wish::resume);
  }
  finish_if_over();
  if (is_closed() && is_over()) afterlife_.reset();
}

std::vector<Address> GroupServer::sockets() const {
  std::vector<Address> different;
  if (is_closed()) return different;
  for (const Address& address : addresses_) {
    // With SO_REUSEPORT there is one for each loop.
    if (std::find(different.begin(), different.end(), address) == different.end()) {
      different.push_back(address);
    }
  }
  return different;
}

std::vector<int> GroupServer::native_handles() const {
  if (is_closed()) return {};
  // Those that are with the loops may go with them.
  if (spread_ == Spread::reuse_port && is_serving()) return traffic_->listening();
  return handles_;
}

/// For each address as many sockets as there are loops.
void bind_siblings(Kernel& kernel, std::vector<BoundSocket>& sockets, std::size_t loops,
                   const ListenOptions& options) {
  const std::size_t addresses = sockets.size();
  std::vector<BoundSocket> all;
  for (std::size_t i = 0; i < addresses; ++i) {
    const Address address = sockets[i].address;
    all.push_back(std::move(sockets[i]));
    for (std::size_t sibling = 1; sibling < loops; ++sibling) {
      Error error;
      all.push_back(bind_tcp(kernel, address, options, error));
      if (error) throw IoError(std::move(error));
    }
  }
  sockets = std::move(all);
}

template <class Options>
GroupTraffic::Settings settings_of(LoopGroup& group, GroupProtocolFactory factory,
                                   const Options& options) {
  return {group.crew(),    std::move(factory),      options.wrap,
          options.backlog, options.max_connections, options.gate};
}

}  // namespace

Future<std::shared_ptr<Server>> create_server(EventLoop& loop, LoopGroup& group,
                                              GroupProtocolFactory factory, ListenOptions options,
                                              Spread spread) {
  check_listening(static_cast<bool>(factory), options.backlog, "create_server");
  if (spread == Spread::reuse_port) options.reuse_port = true;
  ServerMaker make = [&loop, spread, settings = settings_of(group, std::move(factory), options),
                      options](std::vector<BoundSocket> sockets) mutable {
    const bool given = options.socket >= 0 || !options.sockets.empty();
    if (spread == Spread::reuse_port && !given) {
      bind_siblings(loop.kernel(), sockets, settings.crew->size(), options);
    }
    return GroupServer::make(loop, std::move(settings), std::move(sockets), spread,
                             options.start_serving);
  };
  return bind_server(loop, std::move(options), std::move(make));
}

Future<std::shared_ptr<Server>> create_unix_server(EventLoop& loop, LoopGroup& group,
                                                   GroupProtocolFactory factory,
                                                   UnixListenOptions options) {
  check_listening(static_cast<bool>(factory), options.backlog, "create_unix_server");
  ServerMaker make = [&loop, settings = settings_of(group, std::move(factory), options),
                      start = options.start_serving](std::vector<BoundSocket> sockets) mutable {
    return GroupServer::make(loop, std::move(settings), std::move(sockets), Spread::least_loaded,
                             start);
  };
  return bind_unix_server(loop, options, std::move(make));
}

}  // namespace ferry
