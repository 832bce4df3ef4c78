#pragma once

#include <ferry/event_loop.h>

#include <span>
#include <utility>

namespace ferry {

/// One connect(2) to one address, without waiting. Destroying it gives up and closes the socket.
class ConnectAttempt final : private FdWatch::Listener {
 public:
  /// `done` is called at most once, from the loop, when what `start` left pending has connected or
  /// failed; it may destroy this.
  ConnectAttempt(EventLoop& loop, Address remote, Function<void(ConnectAttempt&)> done);
  ConnectAttempt(const ConnectAttempt&) = delete;
  ConnectAttempt& operator=(const ConnectAttempt&) = delete;

  enum class Status { pending, connected, failed };

  /// With `locals`, binds to the first of them that has the remote's family and lets itself be
  /// bound. A unix socket whose listener's backlog is full is tried again until there is
  /// room: the kernel does not tell when (connect(2), EAGAIN).
  Status start(std::span<const Address> locals);
  Status status() const noexcept { return status_; }
  /// At the end, and moved out: a copy may need memory.
  Address take_remote() noexcept { return std::move(remote_); }
  /// Why it failed; moved out too.
  Error take_error() noexcept { return std::move(error_); }
  /// The connected socket; nothing watches it.
  Socket take_socket();

 private:
  bool bind_one_of(std::span<const Address> locals);
  void try_connect();
  void on_readable(FdWatch::ReadEvent) override {}
  void on_writable() override;
  void fail(int error, const char* operation, const Address& address);
  void finish_from_loop();

  EventLoop& loop_;
  Address remote_;
  Function<void(ConnectAttempt&)> done_;
  Socket socket_;
  FdWatchPtr watch_;  // gone before the socket is
  Status status_ = Status::pending;
  Error error_;
  Timer retry_;
  Duration next_retry_ = std::chrono::milliseconds(1);
};

}  // namespace ferry
