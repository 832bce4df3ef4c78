#pragma once

#include <ferry/error.h>
#include <ferry/event_loop.h>
#include <ferry/transport.h>
#include <ferry/typed_pair.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>

namespace ferry {

class DatagramTransport;

/// What happens on a datagram socket, as the application hears it. The order is
///
///     connection_made
///     ( datagram_received | error_received | pause_writing | resume_writing )*
///     connection_lost
///
/// with connection_made and connection_lost exactly once each. Every callback is on the loop's
/// thread and may close, abort, send or drop anything. An exception out of one goes to the loop's
/// exception handler, and the socket stays open.
/// https://docs.python.org/3/library/asyncio-protocol.html#datagram-protocols
class DatagramProtocol {
 public:
  virtual ~DatagramProtocol() = default;

  /// The socket is open. `transport` may be kept for ever.
  virtual void connection_made(std::shared_ptr<DatagramTransport> transport);
  /// One datagram, whole; perhaps of no bytes. `data` and `info` are valid during the call only.
  virtual void datagram_received(BytesView data, const DatagramInfo& info);
  /// A send or a receive failed: a refusal by an earlier datagram's receiver (ECONNREFUSED), a
  /// datagram too large to send or to receive (EMSGSIZE), no route, ... The socket can be used as
  /// before. Comes from the loop, or from inside `sendto` for what that very call sends.
  virtual void error_received(std::error_code error);
  /// The last callback. No error: this side closed or aborted.
  virtual void connection_lost(std::error_code error);
  /// More is queued than the high-water mark allows: stop sending if you can. From inside `sendto`.
  virtual void pause_writing();
  /// It is at or below the low-water mark again.
  virtual void resume_writing();
};

/// A datagram socket: UDP or unix. The loop owns it until connection_lost has returned; afterwards
/// every call is safe and does nothing. No call runs a callback from inside itself, but `sendto`
/// and its kin (pause_writing, error_received) and `set_write_buffer_limits` (pause_writing). For
/// the loop's thread only.
/// https://docs.python.org/3/library/asyncio-protocol.html#datagram-transports
class DatagramTransport {
 public:
  /// What a queued datagram counts beside its bytes, so that empty ones count too.
  static constexpr std::size_t kHeaderSize = 8;

  virtual ~DatagramTransport() = default;
  virtual EventLoop& loop() const noexcept = 0;

  // -- sending
  /// Sends one datagram, now or as soon as the kernel takes it, in order; what is not sent at once
  /// is copied. Inside a callback of this socket datagrams are gathered and sent when the batch of
  /// callbacks is over. After close or loss it is dropped. Throws std::invalid_argument if `to` is
  /// not of the socket's family, is empty and there is no remote address, or is another than
  /// the remote address.
  virtual void sendto(BytesView data, const Address& to) = 0;
  /// To the remote address the socket was made with.
  void sendto(BytesView data) { sendto(data, Address()); }
  /// To `how.peer`, as far as they are set from `how.local` (a port in it is ignored) and with
  /// `how.tos`.
  virtual void sendto(BytesView data, const DatagramInfo& how) = 0;
  /// The same as sending one after the other, in as few system calls as can be.
  virtual void send_each(std::span<const BytesView> datagrams, const Address& to = {}) = 0;

  // -- ending
  /// Stops reading, sends what is queued, then connection_lost without error, from the loop.
  virtual void close() = 0;
  /// Drops what is queued, then connection_lost without error, from the loop.
  virtual void abort() = 0;
  virtual bool is_closing() const noexcept = 0;

  // -- reading
  /// No datagram_received after this returns; what was read already waits. Idempotent.
  virtual void pause_reading() = 0;
  virtual void resume_reading() = 0;
  /// Not paused, not closing.
  virtual bool is_reading() const noexcept = 0;

  // -- flow control of sending; a datagram counts its bytes and kHeaderSize
  /// As Transport::set_write_buffer_limits.
  virtual void set_write_buffer_limits(std::optional<std::size_t> high = {},
                                       std::optional<std::size_t> low = {}) = 0;
  virtual WriteLimits get_write_buffer_limits() const noexcept = 0;
  virtual std::size_t get_write_buffer_size() const noexcept = 0;
  /// A datagram that would make the queue larger than this is dropped, and error_received is told
  /// errc::write_overflow; 0: no limit.
  virtual void set_write_hard_limit(std::size_t bytes) = 0;

  // -- multicast (ip(7), ipv6(7)); other options through native_handle
  /// Receives what is sent to `group` on the interface of that index (if_nametoindex(3)); 0: the
  /// system's choice. Throws IoError.
  virtual void join_group(const Address& group, unsigned interface = 0) = 0;
  virtual void leave_group(const Address& group, unsigned interface = 0) = 0;

  // -- what it is
  /// Replaces the protocol between two callbacks; connection_made is not called again.
  virtual void set_protocol(std::shared_ptr<DatagramProtocol> protocol) = 0;
  virtual std::shared_ptr<DatagramProtocol> get_protocol() const = 0;
  /// Stay known after the loss. The remote address is empty if the socket has none.
  virtual const Address& sockname() const noexcept = 0;
  virtual const Address& peername() const noexcept = 0;
  /// The descriptor, to set options on; -1 when closed.
  virtual int native_handle() const noexcept = 0;
};

using DatagramProtocolFactory = Function<std::shared_ptr<DatagramProtocol>()>;

/// Where a datagram socket is, and whom it talks to. Without any address it is made of `family`
/// alone, and gets a name when it first sends.
struct DatagramOptions {
  /// Bind to this name or numeric address, and port; 0 is any free one.
  std::string local_host{};
  std::uint16_t local_port = 0;
  /// Where datagrams go, and with `allow_broadcast = false` the only place they come from.
  std::string remote_host{};
  std::uint16_t remote_port = 0;
  /// Unix sockets instead; a leading '@' makes an abstract name. A stale socket file is replaced,
  /// and removed at the end.
  std::string local_path{};
  std::string remote_path{};
  int family = 0;    ///< AF_UNSPEC, AF_INET, AF_INET6, AF_UNIX
  int protocol = 0;  ///< IPPROTO_UDP, say.
  int flags = 0;     ///< AI_* for looking names up, as in getaddrinfo(3).
  bool reuse_port = false;
  /// SO_BROADCAST; a remote address is then where datagrams go by default, and no more.
  bool allow_broadcast = false;
  /// Fill in DatagramInfo's `local` and `tos`.
  bool receive_info = false;
  /// Neighbours of one size to one peer pass the kernel as one piece, where it can (UDP_SEGMENT and
  /// UDP_GRO, udp(7)). The datagrams on the wire are the same without.
  bool segmentation = true;
  /// A datagram socket to use instead; the transport closes it. With it only `receive_info` and
  /// `segmentation` may be set.
  int socket = -1;
};

/// What create_datagram_endpoint gives.
template <class P = DatagramProtocol>
struct DatagramEndpoint {
  std::shared_ptr<DatagramTransport> transport;
  std::shared_ptr<P> protocol;
};

/// Opens a datagram socket, calls `factory` once, then connection_made, then completes the future.
/// On failure the factory is not called and the future fails with IoError. Cancelling the future
/// closes the socket. Throws std::invalid_argument, and leaves `options.socket` alone, if the
/// options contradict each other.
/// https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.create_datagram_endpoint
Future<DatagramEndpoint<>> create_datagram_endpoint(EventLoop& loop,
                                                    DatagramProtocolFactory factory,
                                                    DatagramOptions options);

/// A factory of a protocol class of its own, std::shared_ptr<P>.
template <class F>
concept TypedDatagramFactory = requires(F& factory) {
  typename std::invoke_result_t<F&>::element_type;
  requires std::is_same_v<std::invoke_result_t<F&>,
                          std::shared_ptr<typename std::invoke_result_t<F&>::element_type>>;
  requires std::is_base_of_v<DatagramProtocol, typename std::invoke_result_t<F&>::element_type>;
  requires !std::is_same_v<DatagramProtocol, typename std::invoke_result_t<F&>::element_type>;
};

/// The same with the protocol's own type: a Future<DatagramEndpoint<MyProtocol>>.
template <TypedDatagramFactory F>
auto create_datagram_endpoint(EventLoop& loop, F factory, DatagramOptions options) {
  using P = typename std::invoke_result_t<F&>::element_type;
  return detail::typed_pair<DatagramEndpoint<P>>(
      loop, create_datagram_endpoint(loop, DatagramProtocolFactory(std::move(factory)),
                                     std::move(options)));
}

}  // namespace ferry
