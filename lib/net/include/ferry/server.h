#pragma once

#include <ferry/event_loop.h>
#include <ferry/transport.h>

#include <concepts>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace ferry {

/// Makes the protocol of one new connection. An exception out of it ends that connection only.
using ProtocolFactory = Function<std::shared_ptr<Protocol>()>;
/// Takes the application's protocol and gives the one to attach to the socket: where TLS, PROXY
/// protocol, idle limits and logs are put in between. Called once a connection. Copies share the
/// callable, so that options can be copied and used again.
class ProtocolWrap {
 public:
  ProtocolWrap() noexcept = default;
  ProtocolWrap(std::nullptr_t) noexcept {}
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, ProtocolWrap> &&
           std::is_invocable_r_v<std::shared_ptr<Protocol>, F&, std::shared_ptr<Protocol>>)
      ProtocolWrap(F f)
      : call_(std::make_shared<Call>(std::move(f))) {}

  explicit operator bool() const noexcept { return call_ && *call_; }
  std::shared_ptr<Protocol> operator()(std::shared_ptr<Protocol> protocol) const {
    return (*call_)(std::move(protocol));
  }

 private:
  using Call = Function<std::shared_ptr<Protocol>(std::shared_ptr<Protocol>)>;
  std::shared_ptr<Call> call_;
};

/// What a ConnectionGate says to a new connection.
struct Admission {
  bool admitted = true;
  /// Let go of when the admitted connection is over: after connection_lost, or when it did not
  /// come about.
  std::shared_ptr<void> ticket{};
  /// For one that is not admitted: sent before the close, as far as the kernel takes it at once.
  std::string refusal{};
};

/// Decides about connections as they are accepted, before anything is made for them: a limit
/// (ferry/connection_limit.h), a list of addresses. With a LoopGroup it is asked on each of the
/// loops.
class ConnectionGate {
 public:
  virtual ~ConnectionGate() = default;
  /// `peer` is unnamed for most unix sockets. An exception refuses the connection.
  virtual Admission admit(const Address& peer) = 0;
};

/// What all listening sockets have in common.
struct ListenOptions {
  /// Numeric addresses or names; empty, or an empty name: all interfaces, IPv4 and IPv6.
  std::vector<std::string> hosts{};
  std::uint16_t port = 0;  ///< 0: any free port, one per socket.
  int family = 0;          ///< AF_UNSPEC, AF_INET, AF_INET6
  /// Of listen(2), and accepts per turn. Where more come at once, Linux may lose the first bytes of
  /// a connection (SYN cookies, see lib/README.md).
  int backlog = 100;
  bool reuse_address = true;
  bool reuse_port = false;
  bool keep_alive = false;
  bool start_serving = true;
  std::size_t max_connections = 0;  ///< Stop accepting while this many are open; 0: no limit.
  /// A bound stream socket to listen on instead of hosts and port; the server closes it.
  int socket = -1;
  /// Several such, or none (ferry/listeners.h).
  std::vector<int> sockets{};
  ProtocolWrap wrap{};
  std::shared_ptr<ConnectionGate> gate{};  ///< Null: all are admitted.
};

struct UnixListenOptions {
  std::string path{};  ///< A leading '@': an abstract name.
  int backlog = 100;
  bool start_serving = true;
  bool cleanup_socket = true;  ///< Unlink the path at close if it is still ours.
  std::size_t max_connections = 0;
  int socket = -1;  ///< A bound unix stream socket instead of `path`.
  ProtocolWrap wrap{};
  std::shared_ptr<ConnectionGate> gate{};  ///< Null: all are admitted.
};

/// Listening sockets and the connections that came from them. The loop keeps a server alive until
/// it is closed. https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.Server
class Server {
 public:
  virtual ~Server() = default;

  /// Listen, if created with `start_serving = false`. Idempotent.
  virtual void start_serving() = 0;
  /// Stops listening and closes the listening sockets; connections stay. Idempotent.
  virtual void close() = 0;
  /// `close`, and lets connections end by themselves until `deadline` from now, then aborts the
  /// rest. Done when none is left; gives the number aborted.
  virtual Future<std::size_t> drain(Duration deadline) = 0;
  /// From now on `close` leaves the files of unix sockets in place: another process listens there.
  virtual void keep_socket_files() {}
  /// Transport::close, or abort, on every connection of this server.
  virtual void close_clients() = 0;
  virtual void abort_clients() = 0;
  /// Done when the server is closed and its last connection is lost, whichever comes later.
  virtual Future<void> wait_closed() = 0;
  /// Serves until cancelled; then the server is closed. Throws std::logic_error if closed, or
  /// if it is called twice at once.
  virtual Future<void> serve_forever() = 0;

  virtual bool is_serving() const noexcept = 0;
  /// The addresses it listens on; empty after close.
  virtual std::vector<Address> sockets() const = 0;
  /// Its descriptors, in the same order.
  virtual std::vector<int> native_handles() const = 0;
  /// The port of the first socket; 0 if there is none.
  std::uint16_t port() const;
  virtual std::size_t connections() const noexcept = 0;
  virtual EventLoop& loop() const noexcept = 0;
};

/// Listens for TCP connections and makes a protocol for each. The future fails with IoError if no
/// address could be bound. Out of descriptors, a server reports it, rests a second, and goes on.
Future<std::shared_ptr<Server>> create_server(EventLoop& loop, ProtocolFactory factory,
                                              ListenOptions options = {});
/// The same on a unix stream socket. A stale socket file is replaced; any other file is EADDRINUSE.
Future<std::shared_ptr<Server>> create_unix_server(EventLoop& loop, ProtocolFactory factory,
                                                   UnixListenOptions options);

}  // namespace ferry
