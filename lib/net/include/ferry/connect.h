#pragma once

#include <ferry/server.h>
#include <ferry/typed_pair.h>

#include <optional>
#include <type_traits>

namespace ferry {

struct ConnectOptions {
  std::string host{};  ///< A name or a numeric address.
  std::uint16_t port = 0;
  int family = 0;  ///< AF_UNSPEC, AF_INET, AF_INET6
  /// Bind to this host and port first.
  std::string local_host{};
  std::uint16_t local_port = 0;
  /// Start the next address when this long passed without success (RFC 8305); absent: one after the
  /// other.
  std::optional<Duration> happy_eyeballs_delay{};
  /// Alternate address families, so many of the first before the first of the second; absent: 1
  /// with happy eyeballs, else 0 (resolver's order).
  std::optional<std::size_t> interleave{};
  /// Fail with AggregateError, which has every address's error, even if there is just one.
  bool all_errors = false;
  /// Limit for everything from look-up to connection_made; 0: none.
  Duration timeout = std::chrono::minutes(2);
  /// A connected stream socket to use instead of host and port; the transport closes it.
  int socket = -1;
  ProtocolWrap wrap{};
};

struct UnixConnectOptions {
  std::string path{};
  Duration timeout = std::chrono::minutes(2);
  int socket = -1;
  ProtocolWrap wrap{};
};

/// Several attempts failed, each in its own way.
class AggregateError : public IoError {
 public:
  explicit AggregateError(std::vector<Error> errors);
  const std::vector<Error>& errors() const noexcept { return errors_; }
  const char* what() const noexcept override { return what_.c_str(); }

 private:
  std::vector<Error> errors_;
  std::string what_;
};

/// What create_connection gives: both ends of the contract. With `wrap`, `protocol` is the
/// application's, and the transport the one it was given if the wrap is a ProtocolLayer (TLS),
/// else the socket's.
template <class P = Protocol>
struct Connection {
  std::shared_ptr<Transport> transport;
  std::shared_ptr<P> protocol;
};

/// Connects, then calls `factory` once, then connection_made, then completes the future. On failure
/// the factory is not called and the future fails with IoError, TimeoutError or AggregateError;
/// what the factory or `wrap` throws comes out of the future, too.
/// Cancelling the future gives the attempt up and closes its sockets. Addresses are tried in
/// the resolver's order, one after the other, or as `happy_eyeballs_delay` and `interleave` say.
/// Throws std::invalid_argument, and leaves `options.socket` alone, if the options contradict each
/// other.
Future<Connection<>> create_connection(EventLoop& loop, ProtocolFactory factory,
                                       ConnectOptions options);
/// The same to a unix stream socket. If the listener's backlog is full it tries again and again
/// until there is room or the time is up.
Future<Connection<>> create_unix_connection(EventLoop& loop, ProtocolFactory factory,
                                            UnixConnectOptions options);
/// The server side of a connection accepted elsewhere. Takes `fd`, which is closed also on failure.
Future<Connection<>> connect_accepted_socket(EventLoop& loop, ProtocolFactory factory, int fd,
                                             ProtocolWrap wrap = {});

/// A factory of a protocol class of its own, std::shared_ptr<P>: its connections are Connection<P>.
template <class F>
concept TypedProtocolFactory = requires(F& factory) {
  typename std::invoke_result_t<F&>::element_type;
  requires std::is_same_v<std::invoke_result_t<F&>,
                          std::shared_ptr<typename std::invoke_result_t<F&>::element_type>>;
  requires std::is_base_of_v<Protocol, typename std::invoke_result_t<F&>::element_type>;
  requires !std::is_same_v<Protocol, typename std::invoke_result_t<F&>::element_type>;
};
template <TypedProtocolFactory F>
using ConnectionOf = Connection<typename std::invoke_result_t<F&>::element_type>;

/// The three of them with the protocol's own type:
///
///     create_connection(loop, [] { return std::make_shared<MyProtocol>(); }, options)
///
/// is a Future<Connection<MyProtocol>>.
template <TypedProtocolFactory F>
Future<ConnectionOf<F>> create_connection(EventLoop& loop, F factory, ConnectOptions options) {
  return detail::typed_pair<ConnectionOf<F>>(
      loop, create_connection(loop, ProtocolFactory(std::move(factory)), std::move(options)));
}
template <TypedProtocolFactory F>
Future<ConnectionOf<F>> create_unix_connection(EventLoop& loop, F factory,
                                               UnixConnectOptions options) {
  return detail::typed_pair<ConnectionOf<F>>(
      loop, create_unix_connection(loop, ProtocolFactory(std::move(factory)), std::move(options)));
}
template <TypedProtocolFactory F>
Future<ConnectionOf<F>> connect_accepted_socket(EventLoop& loop, F factory, int fd,
                                                ProtocolWrap wrap = {}) {
  return detail::typed_pair<ConnectionOf<F>>(
      loop,
      connect_accepted_socket(loop, ProtocolFactory(std::move(factory)), fd, std::move(wrap)));
}

}  // namespace ferry
