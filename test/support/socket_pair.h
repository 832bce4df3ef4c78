#pragma once

#include <ferry/address.h>
#include <ferry/kernel.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace ferry::test {

/// Two connected, non-blocking stream sockets of `kernel`: TCP on loopback (AF_INET, AF_INET6) or
/// unix. Throws std::system_error.
std::pair<Socket, Socket> stream_pair(Kernel& kernel, int family = AF_INET);

/// A fresh unix socket address that nobody uses: abstract in both worlds.
Address unused_unix_address();

/// A port that is free on all local addresses of IPv4, and that no socket gets by chance.
std::uint16_t free_port(Kernel& kernel);

/// The far end of a connection in a test, by plain calls of the kernel: no watch, no waiting. Each
/// call does what can be done now; call it from LoopTest::run_until's condition to get further.
class RawPeer {
 public:
  RawPeer() = default;
  RawPeer(Kernel& kernel, Socket socket) : kernel_(&kernel), socket_(std::move(socket)) {}
  /// Begins to connect; `connected` tells when it is done.
  static RawPeer connect(Kernel& kernel, const Address& to);

  int fd() const noexcept { return socket_.get(); }
  explicit operator bool() const noexcept { return static_cast<bool>(socket_); }

  /// True once the connection is there; false while it is under way or failed (see `error`).
  bool connected();
  /// Reads what is there, `most` bytes at most; returns it and appends it to `received`.
  std::string read(std::size_t most = SIZE_MAX);
  /// Reads what is there and sends what `send_later` left; true if anything moved.
  bool pump();
  /// Sends what the kernel takes now; returns how much.
  std::size_t write(BytesView bytes);
  /// Queues for `pump`.
  void send_later(BytesView bytes) { unsent_.append(bytes.text()); }
  std::size_t unsent() const noexcept { return unsent_.size(); }

  /// FIN: no more writing, reading goes on.
  void shutdown_write();
  /// RST: SO_LINGER 0, then close.
  void reset();
  void close() { socket_.reset(); }
  /// The connected socket, for somebody else.
  Socket take() { return std::move(socket_); }

  /// All that was read so far.
  const std::string& received() const noexcept { return received_; }
  /// The peer sent FIN, and everything before it was read.
  bool eof() const noexcept { return eof_; }
  /// The first error of a call, but EAGAIN.
  std::error_code error() const noexcept { return error_; }
  Address local_address() const;

 private:
  void failed(const IoResult& result);

  Kernel* kernel_ = nullptr;
  Socket socket_;
  std::string received_;
  std::string unsent_;
  bool connected_ = false;
  bool eof_ = false;
  std::error_code error_;
};

/// A listening socket by plain calls of the kernel. Throws std::system_error if it cannot be bound.
class RawListener {
 public:
  explicit RawListener(Kernel& kernel, const Address& at = Address::loopback(0), int backlog = 16);

  /// With the port it got.
  const Address& address() const noexcept { return address_; }
  int fd() const noexcept { return socket_.get(); }
  /// The next connection, if there is one.
  std::optional<RawPeer> accept();
  void close() { socket_.reset(); }

 private:
  Kernel* kernel_;
  Socket socket_;
  Address address_;
};

}  // namespace ferry::test
