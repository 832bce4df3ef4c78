#include "connect_error.h"
#include "happy_eyeballs.h"
#include "listen_socket.h"
#include "look_ups.h"
#include "opening.h"
#include "stream_transport.h"

#include <ferry/protocol_layer.h>

#include <netdb.h>

#include <stdexcept>

namespace ferry {
namespace {

/// Everything a connect goes by, whatever it connects.
struct ConnectPlan {
  ProtocolFactory factory;
  ProtocolWrap wrap;
  /// The remote name, and behind it the local one, if there is one; or `address`; or `socket`.
  std::vector<ResolveQuery> queries;
  Address address;
  Socket socket;
  std::string host;  // as the caller named it
  std::optional<Duration> delay;
  std::size_t interleave = 0;
  bool all_errors = false;
  Duration timeout{};
};

class ConnectionOpening final : public Opening<Connection<>> {
 public:
  ConnectionOpening(EventLoop& loop, ConnectPlan plan)
      : Opening(loop), plan_(std::move(plan)), timeout_(loop, [this] { time_out(); }) {
    if (plan_.timeout > Duration::zero()) timeout_.set(plan_.timeout);
  }

 private:
  bool look_up() override {
    if (plan_.queries.empty()) return false;
    look_ups_.emplace(loop(), plan_.queries, [this](LookUps::Result found) {
      attempt([&] { resolved(std::move(found)); });
    });
    return true;
  }

  void start() override {
    if (!plan_.socket) return race({plan_.address}, {});
    const IoResult adopted = loop().kernel().adopt(plan_.socket.get());
    if (!adopted.ok()) return fail(IoError({adopted.code(), "fcntl", {}}));
    Address peer;
    const IoResult named = loop().kernel().peer_address(plan_.socket.get(), peer);
    if (!named.ok()) return fail(IoError({named.code(), "getpeername", {}}));
    establish(std::move(plan_.socket), peer);
  }

  void resolved(LookUps::Result found) {
    const auto alive = shared_from_this();
    if (found.error) return fail(found.error);
    std::vector<Address> locals;
    if (found.addresses.size() > 1) locals = std::move(found.addresses[1]);
    if (found.addresses[0].empty() || (found.addresses.size() > 1 && locals.empty())) {
      return fail(IoError({make_error_code(errc::no_address), "resolve", {}}));
    }
    race(interleave_families(std::move(found.addresses[0]), plan_.interleave), std::move(locals));
  }

  void race(std::vector<Address> remotes, std::vector<Address> locals) {
    race_.emplace(
        loop(), std::move(remotes), std::move(locals), plan_.delay,
        [this](ConnectRace::Outcome outcome) { attempt([&] { raced(std::move(outcome)); }); });
    race_->start();
  }

  void raced(ConnectRace::Outcome outcome) {
    const auto alive = shared_from_this();
    if (!outcome.socket) return fail(connect_failure(std::move(outcome.errors), plan_.all_errors));
    establish(std::move(outcome.socket), outcome.remote);
  }

  /// Makes the protocol and the transport.
  void establish(Socket socket, const Address& peer) {
    remote_ = peer;
    set_no_delay(loop().kernel(), socket.get(), peer);
    attempt([&] {
      pair_.protocol = plan_.factory();
      std::shared_ptr<Protocol> attached = pair_.protocol;
      if (attached && plan_.wrap) attached = plan_.wrap(std::move(attached));
      if (!attached) throw std::logic_error("the protocol factory gave no protocol");
      Function<void()> made = expect_made(*attached);
      if (!under_way()) return;  // cancelled by the factory
      pair_.transport =
          StreamTransport::start(loop(), {std::move(socket), std::move(attached), peer,
                                          /*clients=*/nullptr, std::move(made)});
    });
  }

  /// Has `made` called when the application's protocol has heard connection_made: by the layer
  /// between it and the transport, if there is one, else by what is returned, for the transport.
  Function<void()> expect_made(Protocol& attached) {
    ProtocolLayer* const layer = attached.as_layer();
    if (!layer) return when_made();
    layer->when_made(plan_.host,
                     [weak = weak_from_this(), this](std::exception_ptr failure,
                                                     std::shared_ptr<Transport> transport) {
                       const auto alive = weak.lock();
                       if (!alive || !under_way()) return;
                       if (failure) return fail(std::move(failure));
                       pair_.transport = std::move(transport);
                       made();
                     });
    return nullptr;
  }

  void time_out() {
    std::exception_ptr late;
    try {
      const Address address = race_ && remote_.empty() ? race_->latest() : remote_;
      late = std::make_exception_ptr(
          TimeoutError(look_ups_ && !race_ ? "resolve" : "connect", address));
    } catch (const std::bad_alloc&) {
      late = std::current_exception();
    }
    give_up(std::move(late));
  }

  template <class E>
  void fail(const E& error) {
    fail(std::make_exception_ptr(error));
  }
  using Opening::fail;

  void let_go() override {
    timeout_.cancel();
    look_ups_.reset();
    race_.reset();
    plan_.socket.reset();
  }

  ConnectPlan plan_;
  Timer timeout_;
  std::optional<LookUps> look_ups_;
  std::optional<ConnectRace> race_;
  Address remote_;
};

/// Throws std::invalid_argument if `good` is not true.
void check(bool good, const char* function, const char* complaint) {
  if (!good) throw std::invalid_argument(std::string(function) + ": " + complaint);
}

ResolveQuery query_for(const std::string& host, std::uint16_t port, int family, int flags) {
  ResolveQuery query;
  query.host = host;
  query.service = std::to_string(port);
  query.family = family;
  query.type = SOCK_STREAM;
  query.flags = flags;
  return query;
}

}  // namespace

Future<Connection<>> create_connection(EventLoop& loop, ProtocolFactory factory,
                                       ConnectOptions options) {
  const char* const name = "create_connection";
  const bool has_remote = !options.host.empty() || options.port != 0;
  const bool has_local = !options.local_host.empty() || options.local_port != 0;
  check(static_cast<bool>(factory), name, "the protocol factory is empty");
  check(has_remote || options.socket >= 0, name, "neither a host nor a socket");
  check(options.socket < 0 || !(has_remote || has_local), name,
        "a socket, and a host or port as well");
  check(options.family == AF_UNSPEC || options.family == AF_INET || options.family == AF_INET6,
        name, "the family is none of IP");
  check(options.timeout >= Duration::zero(), name, "the timeout is negative");
  check(!options.happy_eyeballs_delay || *options.happy_eyeballs_delay >= Duration::zero(), name,
        "the happy eyeballs delay is negative");

  ConnectPlan plan;
  plan.factory = std::move(factory);
  plan.wrap = std::move(options.wrap);
  plan.delay = options.happy_eyeballs_delay;
  plan.interleave = options.interleave.value_or(options.happy_eyeballs_delay ? 1 : 0);
  plan.all_errors = options.all_errors;
  plan.timeout = options.timeout;
  if (options.socket >= 0) {
    check_stream_type(loop.kernel(), options.socket);
    plan.socket = Socket(loop.kernel(), options.socket);
  } else {
    plan.host = options.host;
    plan.queries.push_back(query_for(options.host, options.port, options.family, 0));
    if (has_local) {
      plan.queries.push_back(
          query_for(options.local_host, options.local_port, options.family, AI_PASSIVE));
    }
  }
  return std::make_shared<ConnectionOpening>(loop, std::move(plan))->begin();
}

Future<Connection<>> create_unix_connection(EventLoop& loop, ProtocolFactory factory,
                                            UnixConnectOptions options) {
  const char* const name = "create_unix_connection";
  check(static_cast<bool>(factory), name, "the protocol factory is empty");
  check(options.path.empty() != (options.socket < 0), name, "either a path or a socket is needed");
  check(options.timeout >= Duration::zero(), name, "the timeout is negative");

  ConnectPlan plan;
  plan.factory = std::move(factory);
  plan.wrap = std::move(options.wrap);
  plan.timeout = options.timeout;
  if (options.socket >= 0) {
    check_stream_type(loop.kernel(), options.socket);
    Address local;
    check(!loop.kernel().local_address(options.socket, local).ok() || local.is_unix(), name,
          "the socket is not of the unix family");
    plan.socket = Socket(loop.kernel(), options.socket);
  } else {
    plan.address = Address::unix_path(options.path);
  }
  return std::make_shared<ConnectionOpening>(loop, std::move(plan))->begin();
}

Future<Connection<>> connect_accepted_socket(EventLoop& loop, ProtocolFactory factory, int fd,
                                             ProtocolWrap wrap) {
  const char* const name = "connect_accepted_socket";
  check(fd >= 0, name, "the descriptor is negative");
  ConnectPlan plan;
  plan.socket = Socket(loop.kernel(), fd);
  check(static_cast<bool>(factory), name, "the protocol factory is empty");
  check_stream_type(loop.kernel(), fd);
  plan.factory = std::move(factory);
  plan.wrap = std::move(wrap);
  return std::make_shared<ConnectionOpening>(loop, std::move(plan))->begin();
}

}  // namespace ferry
