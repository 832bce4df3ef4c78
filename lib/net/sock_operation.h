#pragma once

#include "io_failure.h"

#include <ferry/event_loop.h>

#include <memory>
#include <stdexcept>
#include <utility>

namespace ferry {

/// One sock_ call that has to wait. Owns itself until its future is done.
template <class T>
class SockOperation final : public std::enable_shared_from_this<SockOperation<T>>,
                            private LoopResource {
 public:
  /// Tries, on the descriptor it is given. True if the future is done now, false for EAGAIN.
  using Attempt = Function<bool(int, Future<T>&)>;

  /// The first attempt is made here, unless it has been made already.
  static Future<T> begin(EventLoop& loop, int fd, Direction direction, Attempt attempt,
                         bool tried = false) {
    check(loop, fd);
    Future<T> result(loop);
    if (!tried && attempt(fd, result)) return result;
    const auto operation =
        std::make_shared<SockOperation>(loop, direction, std::move(attempt), result);
    operation->wait(fd);
    return result;
  }

  SockOperation(EventLoop& loop, Direction direction, Attempt attempt, Future<T> result)
      : LoopResource(loop, Kind::operation),
        direction_(direction),
        attempt_(std::move(attempt)),
        result_(std::move(result)) {}

  /// Throws if `fd` is not fit for it.
  static void check(EventLoop& loop, int fd) {
    loop.check_descriptor("sock_ operation", fd);
    if (!loop.debug()) return;
    const IoResult blocking = loop.kernel().is_blocking(fd);
    if (blocking.ok() && blocking.value != 0) {
      throw std::invalid_argument("the socket must be non-blocking");
    }
  }

 private:
  void wait(int fd) {
    // A copy of the descriptor: if the caller closes his, this still waits for the same socket, and
    // not for what gets that number next.
    const IoResult copy = loop().kernel().duplicate(fd);
    if (copy.ok()) copy_ = Socket(loop().kernel(), copy.fd());
    waiting_ = copy.ok() ? copy.fd() : fd;
    const auto self = this->shared_from_this();
    const auto ready = [self] {
      const auto alive = self;  // the callback goes away in `finish`
      if (alive->attempt_(alive->waiting_, alive->result_)) alive->finish();
    };
    try {
      if (direction_ == Direction::read) {
        loop().add_reader(waiting_, ready);
      } else {
        loop().add_writer(waiting_, ready);
      }
    } catch (const std::system_error& error) {
      leave_loop();
      set_io_error(result_, error.code(), "watch");
      return;
    }
    result_.set_cancel_hook([weak = std::weak_ptr(self)] {
      if (const auto operation = weak.lock()) operation->finish();
    });
  }

  void finish() {
    const auto alive = this->shared_from_this();
    leave_loop();
    if (direction_ == Direction::read) {
      loop().remove_reader(waiting_);
    } else {
      loop().remove_writer(waiting_);
    }
    copy_.reset();
  }

  void on_loop_close() override { finish(); }

  Direction direction_;
  Attempt attempt_;
  Future<T> result_;
  Socket copy_;
  int waiting_ = -1;
};

}  // namespace ferry
