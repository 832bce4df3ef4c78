#include "look_ups.h"
#include "server_creation.h"
#include "stream_server.h"

#include <netdb.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>

namespace ferry {
namespace {

/// A future that is done already: with the server over the sockets that `open_sockets(error)`
/// gives, or with why there is none. What it throws comes before that.
template <class Open>
Future<std::shared_ptr<Server>> server_over(EventLoop& loop, Open open_sockets, ServerMaker make) {
  Future<std::shared_ptr<Server>> future(loop);
  try {
    Error error;
    std::vector<BoundSocket> sockets = open_sockets(error);
    if (error) throw IoError(error);
    future.set_result(make(std::move(sockets)));
  } catch (const std::system_error&) {
    future.set_exception(std::current_exception());
  } catch (const std::bad_alloc&) {
    future.set_exception(std::current_exception());
  }
  return future;
}

/// create_server while names are being looked up. Owns itself until it is done.
class ServerCreation final : public std::enable_shared_from_this<ServerCreation>,
                             private LoopResource {
 public:
  ServerCreation(EventLoop& loop, ListenOptions options, ServerMaker make)
      : LoopResource(loop, Kind::operation),
        options_(std::move(options)),
        make_(std::move(make)),
        result_(loop) {}

  static Future<std::shared_ptr<Server>> begin(EventLoop& loop, ListenOptions options,
                                               ServerMaker make) {
    const auto creation =
        std::make_shared<ServerCreation>(loop, std::move(options), std::move(make));
    creation->look_up();
    return creation->result_;
  }

 private:
  void look_up() {
    if (options_.hosts.empty()) options_.hosts.emplace_back();
    std::vector<ResolveQuery> queries;
    for (const std::string& host : options_.hosts) {
      ResolveQuery query;
      query.host = host;
      query.service = std::to_string(options_.port);
      query.family = options_.family;
      query.type = SOCK_STREAM;
      query.flags = AI_PASSIVE;
      queries.push_back(std::move(query));
    }
    look_ups_.emplace(loop(), queries, [this](LookUps::Result found) { bind(std::move(found)); });
    self_ = shared_from_this();
    result_.set_cancel_hook([weak = weak_from_this()] {
      if (const auto creation = weak.lock()) creation->release();
    });
  }

  void bind(LookUps::Result found) {
    const auto alive = shared_from_this();
    release();
    if (found.error) return result_.set_exception(found.error);
    try {
      result_.set_result(make_(bind_all(found.addresses)));
    } catch (const LoopExit&) {
      result_.set_exception(std::current_exception());
      throw;
    } catch (...) {
      result_.set_exception(std::current_exception());
    }
  }

  /// All that can be bound; throws IoError if one address is refused, or all are unavailable.
  std::vector<BoundSocket> bind_all(const std::vector<std::vector<Address>>& found) {
    std::vector<Address> seen;
    std::vector<BoundSocket> sockets;
    Error unavailable{make_error_code(errc::no_address), "resolve", {}};
    for (const auto& addresses : found) {
      for (const Address& address : addresses) {
        if (std::find(seen.begin(), seen.end(), address) != seen.end()) continue;
        seen.push_back(address);
        Error error;
        BoundSocket bound = bind_tcp(loop().kernel(), address, options_, error);
        if (bound.socket) {
          sockets.push_back(std::move(bound));
        } else if (is_unavailable(error.code)) {
          unavailable = std::move(error);
        } else {
          throw IoError(std::move(error));
        }
      }
    }
    if (sockets.empty()) throw IoError(std::move(unavailable));
    return sockets;
  }

  /// The address is not this machine's, or it does not speak that family at all.
  static bool is_unavailable(const std::error_code& code) {
    return code == std::errc::address_not_available ||
           code == std::errc::address_family_not_supported ||
           code == std::errc::protocol_not_supported;
  }

  void on_loop_close() override { release(); }
  void release() {
    leave_loop();
    look_ups_.reset();
    self_.reset();
  }

  ListenOptions options_;
  ServerMaker make_;
  Future<std::shared_ptr<Server>> result_;
  std::optional<LookUps> look_ups_;
  std::shared_ptr<ServerCreation> self_;
};

}  // namespace

std::uint16_t Server::port() const {
  const std::vector<Address> addresses = sockets();
  return addresses.empty() ? std::uint16_t{0} : addresses.front().port();
}

void check_listening(bool factory, int backlog, const char* what) {
  if (!factory) throw std::invalid_argument(std::string(what) + ": the protocol factory is empty");
  if (backlog < 0) throw std::invalid_argument(std::string(what) + ": the backlog is negative");
}

Future<std::shared_ptr<Server>> bind_server(EventLoop& loop, ListenOptions options,
                                            ServerMaker make) {
  if (options.family != AF_UNSPEC && options.family != AF_INET && options.family != AF_INET6) {
    throw std::invalid_argument("create_server: the family is none of IP");
  }
  std::vector<int> given = options.sockets;
  if (options.socket >= 0) given.insert(given.begin(), options.socket);
  if (given.empty()) return ServerCreation::begin(loop, std::move(options), std::move(make));
  if (!options.hosts.empty() || options.port != 0) {
    throw std::invalid_argument("create_server: a socket, and hosts or a port as well");
  }
  for (const int fd : given) check_stream_type(loop.kernel(), fd);
  std::vector<BoundSocket> sockets;
  sockets.reserve(given.size());
  const auto adopt = [&](Error& error) {
    // All are ours now, and those that are refused closed.
    for (const int fd : given) {
      Error refused;
      sockets.push_back(adopt_bound(loop.kernel(), fd, refused));
      if (refused && !error) error = refused;
      if (!refused && options.keep_alive) {
        loop.kernel().set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
      }
    }
    return std::move(sockets);
  };
  return server_over(loop, adopt, std::move(make));
}

Future<std::shared_ptr<Server>> bind_unix_server(EventLoop& loop, const UnixListenOptions& options,
                                                 ServerMaker make) {
  if (options.path.empty() == (options.socket < 0)) {
    throw std::invalid_argument("create_unix_server: either a path or a socket is needed");
  }
  Address address;
  if (options.socket < 0) {
    address = Address::unix_path(options.path);
  } else {
    check_stream_type(loop.kernel(), options.socket);
    if (loop.kernel().local_address(options.socket, address).ok() && !address.is_unix()) {
      throw std::invalid_argument("create_unix_server: the socket is not of the unix family");
    }
  }
  std::vector<BoundSocket> sockets(1);
  const auto open_it = [&](Error& error) {
    BoundSocket& bound = sockets.front();
    if (options.socket < 0) {
      bound = bind_unix(loop.kernel(), address, options.cleanup_socket, error);
    } else {
      bound = adopt_bound(loop.kernel(), options.socket, error);
      if (bound.socket && options.cleanup_socket && !address.is_abstract()) {
        bound.file = SocketFile(loop.kernel(), address);
      }
    }
    return std::move(sockets);
  };
  return server_over(loop, open_it, std::move(make));
}

namespace {

template <class Options>
ServerMaker maker(EventLoop& loop, ProtocolFactory factory, const Options& options) {
  return [&loop, start = options.start_serving,
          settings = ServerSettings{std::move(factory), options.wrap, options.backlog,
                                    options.max_connections, options.gate}](
             std::vector<BoundSocket> sockets) mutable -> std::shared_ptr<Server> {
    auto server = StreamServer::make(loop, std::move(settings), std::move(sockets));
    if (start) server->start_serving();
    return server;
  };
}

}  // namespace

Future<std::shared_ptr<Server>> create_server(EventLoop& loop, ProtocolFactory factory,
                                              ListenOptions options) {
  check_listening(static_cast<bool>(factory), options.backlog, "create_server");
  ServerMaker make = maker(loop, std::move(factory), options);
  return bind_server(loop, std::move(options), std::move(make));
}

Future<std::shared_ptr<Server>> create_unix_server(EventLoop& loop, ProtocolFactory factory,
                                                   UnixListenOptions options) {
  check_listening(static_cast<bool>(factory), options.backlog, "create_unix_server");
  ServerMaker make = maker(loop, std::move(factory), options);
  return bind_unix_server(loop, options, std::move(make));
}

}  // namespace ferry
