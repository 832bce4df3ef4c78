#include "connect_attempt.h"

#include <ferry/error.h>

#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <new>

namespace ferry {
namespace {

constexpr Duration kLongestRetry = std::chrono::milliseconds(100);

}  // namespace

ConnectAttempt::ConnectAttempt(EventLoop& loop, Address remote,
                               Function<void(ConnectAttempt&)> done)
    : loop_(loop), remote_(std::move(remote)), done_(std::move(done)), retry_(loop, [this] {
        try_connect();
        finish_from_loop();
      }) {}

ConnectAttempt::Status ConnectAttempt::start(std::span<const Address> locals) {
  const IoResult opened = loop_.kernel().socket(remote_.family(), SOCK_STREAM, 0);
  if (!opened.ok()) {
    fail(opened.error, "connect", remote_);
    return status_;
  }
  socket_ = Socket(loop_.kernel(), opened.fd());
  if (locals.empty() || bind_one_of(locals)) try_connect();
  return status_;
}

Socket ConnectAttempt::take_socket() {
  watch_.reset();
  return std::move(socket_);
}

bool ConnectAttempt::bind_one_of(std::span<const Address> locals) {
  fail(EAFNOSUPPORT, "connect (no local address of this family)", remote_);
  for (const Address& local : locals) {
    if (local.family() != remote_.family()) continue;
#ifdef IP_BIND_ADDRESS_NO_PORT
    // The port is chosen by connect, which can use one port for many remotes. Older kernels refuse.
    if (local.port() == 0) {
      loop_.kernel().set_option(socket_.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    }
#endif
    const IoResult bound = loop_.kernel().bind(socket_.get(), local);
    if (bound.ok()) {
      status_ = Status::pending;
      error_ = {};
      return true;
    }
    fail(bound.error, "bind", local);
  }
  socket_.reset();
  return false;
}

void ConnectAttempt::try_connect() {
  const IoResult result = loop_.kernel().connect(socket_.get(), remote_);
  if (result.ok()) {
    status_ = Status::connected;
  } else if (result.error == EAGAIN && remote_.is_unix()) {
    retry_.set(next_retry_);
    next_retry_ = std::min(2 * next_retry_, kLongestRetry);
  } else if (result.error == EINPROGRESS || result.error == EINTR) {
    // Watched only now: a socket that has not begun to connect counts as hung up.
    std::error_code error;
    watch_ = loop_.kernel().watch(socket_.get(), *this, error);
    try {
      if (watch_) return watch_->arm(Direction::write, FdWatch::Arm::if_ready);
    } catch (const std::bad_alloc&) {
      error = std::make_error_code(std::errc::not_enough_memory);
    }
    fail(error.value(), "connect", remote_);
  } else {
    fail(result.error, "connect", remote_);
  }
}

void ConnectAttempt::on_writable() {
  Kernel& kernel = loop_.kernel();
  int error = 0;
  const IoResult asked = kernel.get_option(socket_.get(), SOL_SOCKET, SO_ERROR, error);
  if (!asked.ok()) error = asked.error;
  Address peer;
  if (error != 0) {
    fail(error, "connect", remote_);
  } else if (kernel.peer_address(socket_.get(), peer).error == ENOTCONN) {
    // The wake-up was for nothing.
    watch_->arm(Direction::write, FdWatch::Arm::after_would_block);
  } else {
    status_ = Status::connected;
  }
  finish_from_loop();
}

void ConnectAttempt::fail(int error, const char* operation, const Address& address) {
  status_ = Status::failed;
  error_ = {system_error_code(error), operation, {}};
  try {
    error_.address = address;
  } catch (const std::bad_alloc&) {
    // The name of a unix socket: then without.
  }
}

void ConnectAttempt::finish_from_loop() {
  if (status_ == Status::pending) return;
  loop_.run_callback([this] { std::exchange(done_, nullptr)(*this); });
}

}  // namespace ferry
