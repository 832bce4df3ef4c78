#include "bsd_sockets.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace ferry {

namespace {

IoResult result(std::ptrdiff_t value) noexcept {
  return value < 0 ? IoResult{-1, errno} : IoResult{value, 0};
}

/// Repeats a call that a signal interrupted.
template <class Call>
IoResult uninterrupted(Call call) {
  for (;;) {
    const IoResult r = result(call());
    if (r.error != EINTR) return r;
  }
}

template <class Call>
IoResult address_call(Call call, Address& address) {
  sockaddr_storage storage;
  socklen_t length = sizeof storage;
  const IoResult r = result(call(reinterpret_cast<sockaddr*>(&storage), &length));
  if (r.ok()) address = Address(reinterpret_cast<sockaddr*>(&storage), length);
  return r;
}

}  // namespace

bool IoResult::would_block() const noexcept {
  return error == EAGAIN || (EWOULDBLOCK != EAGAIN && error == EWOULDBLOCK);
}

std::chrono::system_clock::time_point Kernel::wall_clock() {
  using std::chrono::system_clock;
  return system_clock::time_point(
      std::chrono::duration_cast<system_clock::duration>(now().time_since_epoch()));
}

IoResult Kernel::read(int, MutableBytes) {
  return {-1, EOPNOTSUPP};
}

IoResult Kernel::write_pieces(int, std::span<const BytesView>) {
  return {-1, EOPNOTSUPP};
}

IoResult Kernel::file_type(int) {
  return {-1, EOPNOTSUPP};
}

IoResult Kernel::pipe(int&, int&) {
  return {-1, EOPNOTSUPP};
}

IoResult Kernel::set_pipe_size(int, std::size_t) {
  return {-1, ENOSYS};
}

IoResult Kernel::splice_in(int, int, std::size_t) {
  return {-1, ENOSYS};
}

IoResult Kernel::splice_out(int, int, std::size_t) {
  return {-1, ENOSYS};
}

IoResult Kernel::is_blocking(int) {
  return {-1, EOPNOTSUPP};
}

IoResult Kernel::duplicate(int) {
  return {-1, EOPNOTSUPP};
}

IoResult Kernel::send_file(int, int, std::uint64_t, std::size_t) {
  return {-1, EOPNOTSUPP};
}

IoResult Kernel::read_at(int, std::uint64_t, MutableBytes) {
  return {-1, EOPNOTSUPP};
}

IoResult Kernel::seek(int, std::uint64_t) {
  return {-1, EOPNOTSUPP};
}

IoResult Kernel::spawn(const SpawnRequest&, int&) {
  return {-1, EOPNOTSUPP};
}

IoResult Kernel::reap(int, bool, int&) {
  return {-1, EOPNOTSUPP};
}

IoResult Kernel::signal_process(int, int) {
  return {-1, EOPNOTSUPP};
}

IoResult Kernel::set_blocking(int) {
  return {-1, EOPNOTSUPP};
}

IoResult Kernel::recv_datagrams(int, std::span<IncomingDatagram>) {
  return {-1, EOPNOTSUPP};
}

IoResult Kernel::send_datagrams(int, std::span<const OutgoingDatagram>) {
  return {-1, EOPNOTSUPP};
}

IoResult Kernel::set_membership(int, const Address&, unsigned, bool) {
  return {-1, EOPNOTSUPP};
}

IoResult BsdSockets::socket(int family, int type, int protocol) {
  return result(::socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
}

IoResult BsdSockets::bind(int fd, const Address& address) {
  sockaddr_storage storage;
  const socklen_t length = address.to_sockaddr(storage);
  return result(::bind(fd, reinterpret_cast<sockaddr*>(&storage), length));
}

IoResult BsdSockets::listen(int fd, int backlog) {
  return result(::listen(fd, backlog));
}

IoResult BsdSockets::accept(int fd, Address& peer) {
  int accepted = -1;
  try {
    return address_call(
        [&](sockaddr* address, socklen_t* length) {
          return accepted = ::accept4(fd, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
        },
        peer);
  } catch (...) {  // no memory for the name of a Unix socket
    ::close(accepted);
    throw;
  }
}

IoResult BsdSockets::connect(int fd, const Address& address) {
  sockaddr_storage storage;
  const socklen_t length = address.to_sockaddr(storage);
  return result(::connect(fd, reinterpret_cast<sockaddr*>(&storage), length));
}

IoResult BsdSockets::recv(int fd, MutableBytes into) {
  return uninterrupted([&] { return ::recv(fd, into.data(), into.size(), 0); });
}

IoResult BsdSockets::send(int fd, BytesView bytes) {
  return uninterrupted([&] { return ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL); });
}

IoResult BsdSockets::send_pieces(int fd, std::span<const BytesView> pieces) {
  iovec vectors[kMaxPieces];
  const std::size_t count = std::min(pieces.size(), kMaxPieces);
  for (std::size_t i = 0; i < count; ++i) {
    vectors[i] = {const_cast<std::byte*>(pieces[i].data()), pieces[i].size()};
  }
  msghdr message{};
  message.msg_iov = vectors;
  message.msg_iovlen = count;
  return uninterrupted([&] { return ::sendmsg(fd, &message, MSG_NOSIGNAL); });
}

IoResult BsdSockets::shutdown(int fd, int how) {
  return result(::shutdown(fd, how));
}

// Not repeated on EINTR: on Linux the descriptor is gone all the same (close(2)).
IoResult BsdSockets::close(int fd) noexcept {
  if (!waiters_.empty()) [[unlikely]]
    waiters_.forget(fd);
  return result(::close(fd));
}

IoResult BsdSockets::local_address(int fd, Address& address) {
  return address_call([fd](sockaddr* a, socklen_t* n) { return ::getsockname(fd, a, n); }, address);
}

IoResult BsdSockets::peer_address(int fd, Address& address) {
  return address_call([fd](sockaddr* a, socklen_t* n) { return ::getpeername(fd, a, n); }, address);
}

IoResult BsdSockets::set_option(int fd, int level, int name, int value) {
  if (level == SOL_SOCKET && name == SO_LINGER) {
    const linger how{value >= 0, std::max(value, 0)};
    return result(::setsockopt(fd, level, name, &how, sizeof how));
  }
  return result(::setsockopt(fd, level, name, &value, sizeof value));
}

IoResult BsdSockets::get_option(int fd, int level, int name, int& value) {
  socklen_t length = sizeof value;
  return result(::getsockopt(fd, level, name, &value, &length));
}

IoResult BsdSockets::adopt(int fd) {
  const IoResult status = result(::fcntl(fd, F_GETFL));
  if (!status.ok()) return status;
  const IoResult blocking = result(::fcntl(fd, F_SETFL, status.fd() | O_NONBLOCK));
  if (!blocking.ok()) return blocking;
  return result(::fcntl(fd, F_SETFD, FD_CLOEXEC));
}

}  // namespace ferry
