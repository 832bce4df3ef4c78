// Readiness by Asio's public async_wait: for reactors other than epoll, and for IOCP, where a wait
// on a stream socket is a zero-byte overlapped read.

#include "asio_kernel.h"
#include "fd_watch_choice.h"

#if !FERRY_WATCH_REACTOR

#include <asio/posix/stream_descriptor.hpp>

#include <sys/stat.h>

#include <memory>
#include <utility>

namespace ferry {

namespace {

/// Held by its owner (through `self_`) and by every handler that Asio keeps, run or not.
class AsyncWaitWatch final : public FdWatch, public std::enable_shared_from_this<AsyncWaitWatch> {
 public:
  AsyncWaitWatch(asio::io_context& io, Listener& listener) : descriptor_(io), listener_(listener) {}

  std::error_code start(int fd) {
    // Asio takes a file that epoll refuses, and its waits then fail one after the other.
    struct stat status {};
    if (::fstat(fd, &status) == 0 && (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode))) {
      return {EPERM, std::system_category()};
    }
    asio::error_code error;
    descriptor_.assign(fd, error);  // may throw: then nobody owns this yet
    if (!error) self_ = shared_from_this();
    return {error.value(), std::system_category()};
  }

  // Each wait asks the reactor anew, so both ways of arming are the same here, and a short read
  // that left a FIN behind is followed by another event: ReadEvent::drain is never needed.
  void arm(Direction direction, Arm) override {
    Side& s = side(direction);
    s.wanted = true;
    if (s.waiting) return;
    s.waiting = true;
    const auto what = direction == Direction::read ? asio::posix::descriptor_base::wait_read
                                                   : asio::posix::descriptor_base::wait_write;
    descriptor_.async_wait(what,
                           placed(s.memory, [self = self_, direction](const asio::error_code&) {
                             self->on_ready(direction);
                           }));
  }

  void disarm(Direction direction) override { side(direction).wanted = false; }

  void close() noexcept override {
    if (descriptor_.is_open()) static_cast<void>(descriptor_.release());
    const auto last = std::move(self_);
  }

 private:
  struct Side {
    HandlerMemory memory;
    bool waiting = false;
    bool wanted = false;
  };

  Side& side(Direction direction) noexcept { return direction == Direction::read ? read_ : write_; }

  void on_ready(Direction direction) {
    Side& s = side(direction);
    s.waiting = false;
    if (!self_ || !std::exchange(s.wanted, false)) return;
    if (direction == Direction::read) {
      listener_.on_readable({});
    } else {
      listener_.on_writable();
    }
  }

  asio::posix::stream_descriptor descriptor_;
  Listener& listener_;
  Side read_;
  Side write_;
  std::shared_ptr<AsyncWaitWatch> self_;  // null: closed
};

}  // namespace

FdWatchPtr make_fd_watch(asio::io_context& io, int fd, FdWatch::Listener& listener,
                         std::error_code& error) {
  const auto watch = std::make_shared<AsyncWaitWatch>(io, listener);
  error = watch->start(fd);
  FdWatchPtr owner(watch.get());
  if (error) owner.reset();
  return owner;
}

}  // namespace ferry

#endif
