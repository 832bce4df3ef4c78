#include "datagram_socket.h"
#include "look_ups.h"
#include "opening.h"

#include <netdb.h>
#include <sys/socket.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace ferry {
namespace {

void check(bool good, const char* complaint) {
  if (!good) throw std::invalid_argument(std::string("create_datagram_endpoint: ") + complaint);
}

class DatagramOpening final : public Opening<DatagramEndpoint<>> {
 public:
  DatagramOpening(EventLoop& loop, DatagramProtocolFactory factory, DatagramOptions options,
                  Socket socket)
      : Opening(loop),
        factory_(std::move(factory)),
        options_(std::move(options)),
        socket_(std::move(socket)) {}

 private:
  bool has_local() const {
    return !options_.local_host.empty() || options_.local_port != 0 || !options_.local_path.empty();
  }
  bool has_remote() const {
    return !options_.remote_host.empty() || options_.remote_port != 0 ||
           !options_.remote_path.empty();
  }

  /// What one try to open the socket goes by; empty addresses are left out.
  struct Names {
    int family = AF_UNSPEC;
    Address local{};
    Address remote{};
  };

  bool look_up() override {
    std::vector<ResolveQuery> queries;
    if (options_.family != AF_UNIX && !socket_) {
      if (has_local()) queries.push_back(query(options_.local_host, options_.local_port, true));
      if (has_remote()) queries.push_back(query(options_.remote_host, options_.remote_port, false));
    }
    if (queries.empty()) return false;
    look_ups_.emplace(loop(), queries, [this](LookUps::Result found) {
      attempt([&] { resolved(std::move(found)); });
    });
    return true;
  }

  ResolveQuery query(const std::string& host, std::uint16_t port, bool local) const {
    ResolveQuery query;
    query.host = host;
    query.service = std::to_string(port);
    query.family = options_.family;
    query.type = SOCK_DGRAM;
    query.protocol = options_.protocol;
    query.flags = options_.flags | (local ? AI_PASSIVE : 0);
    return query;
  }

  void start() override {
    if (socket_) return take_socket();
    Names names;
    names.family = options_.family;
    if (options_.family == AF_UNIX) {
      if (has_local()) names.local = Address::unix_path(options_.local_path);
      if (has_remote()) names.remote = Address::unix_path(options_.remote_path);
    }
    open({names});
  }

  void take_socket() {
    Kernel& kernel = loop().kernel();
    if (const IoResult r = kernel.adopt(socket_.get()); !r.ok()) {
      return fail(std::make_exception_ptr(IoError({r.code(), "fcntl", {}})));
    }
    Address remote;
    kernel.peer_address(socket_.get(), remote);
    const bool connected = !remote.empty();
    establish(std::move(socket_), std::move(remote), connected, {});
  }

  void resolved(LookUps::Result found) {
    const auto alive = shared_from_this();
    if (found.error) return fail(found.error);
    std::vector<Names> tries;
    const std::vector<Address> none(1);
    const auto& locals = has_local() ? found.addresses.front() : none;
    const auto& remotes = has_remote() ? found.addresses.back() : none;
    for (const Address& remote : remotes) {
      for (const Address& local : locals) {
        const bool fits = local.empty() || remote.empty() || local.family() == remote.family();
        if (fits) tries.push_back({(local.empty() ? remote : local).family(), local, remote});
      }
    }
    if (tries.empty()) {
      return fail(
          std::make_exception_ptr(IoError({make_error_code(errc::no_address), "resolve", {}})));
    }
    open(tries);
  }

  /// The first that works; if none does, the last one's error.
  void open(const std::vector<Names>& tries) {
    const auto alive = shared_from_this();
    Error error;
    for (const Names& names : tries) {
      SocketFile file;
      Socket socket = open(names, file, error);
      if (!socket) continue;
      const bool connected = !names.remote.empty() && !options_.allow_broadcast;
      return establish(std::move(socket), names.remote, connected, std::move(file));
    }
    fail(std::make_exception_ptr(IoError(error)));
  }

  Socket open(const Names& names, SocketFile& file, Error& error) {
    Kernel& kernel = loop().kernel();
    const Address& named = names.local.empty() ? names.remote : names.local;
    IoResult r = kernel.socket(names.family, SOCK_DGRAM, options_.protocol);
    Socket socket = r.ok() ? Socket(kernel, r.fd()) : Socket();
    const auto failed = [&](const char* operation, const Address& address) {
      if (r.ok()) return false;
      error = {r.code(), operation, address};
      return true;
    };
    if (failed("socket", named)) return {};
    if (options_.reuse_port) r = kernel.set_option(socket.get(), SOL_SOCKET, SO_REUSEPORT, 1);
    if (r.ok() && options_.allow_broadcast) {
      r = kernel.set_option(socket.get(), SOL_SOCKET, SO_BROADCAST, 1);
    }
    if (failed("setsockopt", named)) return {};
    if (!names.local.empty()) {
      const bool path = names.local.is_unix() && !names.local.is_abstract();
      if (path) remove_stale_file(kernel, names.local);
      r = kernel.bind(socket.get(), names.local);
      if (failed("bind", names.local)) return {};
      if (path) file = SocketFile(kernel, names.local);
    }
    if (!names.remote.empty() && !options_.allow_broadcast) {
      r = kernel.connect(socket.get(), names.remote);
      if (failed("connect", names.remote)) return {};
    }
    return socket;
  }

  /// Makes the protocol and the transport.
  void establish(Socket socket, Address remote, bool connected, SocketFile file) {
    attempt([&] {
      pair_.protocol = factory_();
      if (!pair_.protocol) throw std::logic_error("the protocol factory gave no protocol");
      if (!under_way()) return;  // cancelled by the factory
      DatagramStart start;
      start.socket = std::move(socket);
      start.protocol = pair_.protocol;
      start.remote = std::move(remote);
      start.connected = connected;
      start.receive_info = options_.receive_info;
      start.segmentation = options_.segmentation;
      start.file = std::move(file);
      start.made = when_made();
      pair_.transport = DatagramSocket::start(loop(), std::move(start));
    });
  }

  void let_go() override {
    look_ups_.reset();
    socket_.reset();
  }

  DatagramProtocolFactory factory_;
  DatagramOptions options_;
  Socket socket_;
  std::optional<LookUps> look_ups_;
};

void check_socket(EventLoop& loop, const DatagramOptions& o, bool named) {
  check(!named && o.family == AF_UNSPEC && o.protocol == 0 && o.flags == 0 && !o.reuse_port &&
            !o.allow_broadcast,
        "a socket, and other options as well");
  int type = 0;
  // A descriptor that is no socket at all shows in the next call on it.
  check(!loop.kernel().get_option(o.socket, SOL_SOCKET, SO_TYPE, type).ok() || type == SOCK_DGRAM,
        "the socket is no datagram socket");
}

}  // namespace

Future<DatagramEndpoint<>> create_datagram_endpoint(EventLoop& loop,
                                                    DatagramProtocolFactory factory,
                                                    DatagramOptions options) {
  DatagramOptions& o = options;
  const bool ip =
      !o.local_host.empty() || o.local_port != 0 || !o.remote_host.empty() || o.remote_port != 0;
  const bool paths = !o.local_path.empty() || !o.remote_path.empty();
  check(static_cast<bool>(factory), "the protocol factory is empty");
  check(!(ip && paths), "hosts or ports, and paths as well");
  if (o.socket >= 0) {
    check_socket(loop, o, ip || paths);
    return std::make_shared<DatagramOpening>(loop, std::move(factory), std::move(options),
                                             Socket(loop.kernel(), o.socket))
        ->begin();
  }
  if (paths && o.family == AF_UNSPEC) o.family = AF_UNIX;
  check(!paths || o.family == AF_UNIX, "paths, and the family is not of unix sockets");
  check(!ip || o.family != AF_UNIX, "hosts or ports, and the family is of unix sockets");
  check(ip || o.family != AF_UNSPEC, "neither an address nor a family");
  check(o.family == AF_UNSPEC || o.family == AF_INET || o.family == AF_INET6 || o.family == AF_UNIX,
        "an unknown family");
  return std::make_shared<DatagramOpening>(loop, std::move(factory), std::move(options), Socket())
      ->begin();
}

}  // namespace ferry
