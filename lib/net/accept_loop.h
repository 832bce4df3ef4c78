#pragma once

#include <ferry/event_loop.h>

#include <memory>
#include <system_error>

namespace ferry {

/// One listening socket: takes its connections as they come, at most `backlog` of them a turn
/// so that others get theirs. Errors that concern one connection skip it; when the system is out of
/// descriptors or memory, the exception handler is told and the socket rests for `kRest`.
class AcceptLoop final : private FdWatch::Listener {
 public:
  /// Who gets the connections.
  class Owner {
   public:
    /// May close the AcceptLoop, but not destroy it. Throws nothing but LoopExit.
    virtual void on_accepted(Socket socket, const Address& peer) = 0;
    /// False: connections wait in the backlog until `AcceptLoop::resume`.
    virtual bool has_room() const noexcept = 0;
    /// What to hold so that the owner lives through a turn.
    virtual std::shared_ptr<void> keep_alive() = 0;

   protected:
    ~Owner() = default;
  };

  static constexpr Duration kRest = std::chrono::seconds(1);

  /// `socket` is bound to `address`.
  AcceptLoop(EventLoop& loop, Socket socket, Address address, int backlog, Owner& owner);
  AcceptLoop(const AcceptLoop&) = delete;
  AcceptLoop& operator=(const AcceptLoop&) = delete;
  ~AcceptLoop() { close(); }

  /// listen(2), and from now on connections. Throws IoError.
  void start();
  /// There is room again.
  void resume();
  /// Closes the socket: no call of the owner any more.
  void close() noexcept;
  /// As `close`, but gives the socket away.
  Socket release() noexcept;

  const Address& address() const noexcept { return address_; }
  int native_handle() const noexcept { return socket_.get(); }

 private:
  void on_readable(FdWatch::ReadEvent event) override;
  void on_writable() override {}
  void accept_some();
  void rest(int error);

  EventLoop& loop_;
  Owner& owner_;
  Socket socket_;
  FdWatchPtr watch_;  // gone before the socket is
  Address address_;
  int backlog_;
  bool waits_for_room_ = false;
  Timer rest_;
};

}  // namespace ferry
