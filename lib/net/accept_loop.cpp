#include "accept_loop.h"

#include <ferry/error.h>

#include <algorithm>
#include <cerrno>

namespace ferry {
namespace {

/// Errors of a connection that was gone before it was accepted: accept(2) passes on what is pending
/// on the new socket.
bool concerns_one_connection(int error) {
  switch (error) {
    case ECONNABORTED:
    case EPROTO:
    case ENOPROTOOPT:
    case EPERM:  // a firewall's word
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ETIMEDOUT:
    case ECONNRESET:
#ifdef ENONET
    case ENONET:
#endif
      return true;
    default:
      return false;
  }
}

}  // namespace

AcceptLoop::AcceptLoop(EventLoop& loop, Socket socket, Address address, int backlog, Owner& owner)
    : loop_(loop),
      owner_(owner),
      socket_(std::move(socket)),
      address_(std::move(address)),
      backlog_(std::max(backlog, 1)),
      rest_(loop, [this] { watch_->arm(Direction::read, FdWatch::Arm::if_ready); }) {}

void AcceptLoop::start() {
  const IoResult listening = loop_.kernel().listen(socket_.get(), backlog_);
  if (!listening.ok()) throw IoError({listening.code(), "listen", address_});
  std::error_code error;
  watch_ = loop_.kernel().watch(socket_.get(), *this, error);
  if (!watch_) throw IoError({error, "accept", address_});
  loop_.claim_descriptor(socket_.get());
  watch_->arm(Direction::read, FdWatch::Arm::if_ready);
}

void AcceptLoop::resume() {
  if (!waits_for_room_ || !watch_) return;
  waits_for_room_ = false;
  watch_->arm(Direction::read, FdWatch::Arm::if_ready);
}

void AcceptLoop::close() noexcept {
  release();
}

Socket AcceptLoop::release() noexcept {
  rest_.cancel();
  if (watch_) loop_.release_descriptor(socket_.get());
  watch_.reset();
  return std::move(socket_);
}

void AcceptLoop::on_readable(FdWatch::ReadEvent) {
  const std::shared_ptr<void> alive = owner_.keep_alive();
  loop_.run_callback([this] { accept_some(); });
}

void AcceptLoop::accept_some() {
  for (int left = backlog_; left > 0; --left) {
    if (!owner_.has_room()) {
      waits_for_room_ = true;
      return;
    }
    IoResult accepted;
    try {
      Address peer;
      accepted = loop_.kernel().accept(socket_.get(), peer);
      if (accepted.ok()) owner_.on_accepted(Socket(loop_.kernel(), accepted.fd()), peer);
    } catch (...) {
      // A LoopExit: the loop may run again. Or there was no memory.
      if (watch_) watch_->arm(Direction::read, FdWatch::Arm::if_ready);
      throw;
    }
    if (accepted.ok()) {
      if (!watch_) return;
    } else if (accepted.would_block()) {
      watch_->arm(Direction::read, FdWatch::Arm::after_would_block);
      return;
    } else if (accepted.error != EINTR && !concerns_one_connection(accepted.error)) {
      rest(accepted.error);
      return;
    }
  }
  watch_->arm(Direction::read, FdWatch::Arm::if_ready);
}

void AcceptLoop::rest(int error) {
  // Also after errors that no rest will mend: a socket that is no more good must not spin.
  rest_.set(kRest);
  ExceptionContext context;
  context.message = "accept on " + address_.to_string() + " failed; it rests for a second";
  context.error = system_error_code(error);
  context.exception = std::make_exception_ptr(IoError({context.error, "accept", address_}));
  loop_.call_exception_handler(context);
}

}  // namespace ferry
