#include "listen_socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <cerrno>
#include <stdexcept>
#include <utility>

namespace ferry {
namespace {

/// Sets SOL_SOCKET's and its kin's switches, one after the other, until one fails.
class OptionSetter {
 public:
  OptionSetter(Kernel& kernel, int fd) : kernel_(kernel), fd_(fd) {}
  void on(int level, int name) {
    if (result_.ok()) result_ = kernel_.set_option(fd_, level, name, 1);
  }
  const IoResult& result() const noexcept { return result_; }

 private:
  Kernel& kernel_;
  int fd_;
  IoResult result_;
};

BoundSocket failed(Error& error, const IoResult& result, const char* operation,
                   const Address& address) {
  error = {result.code(), operation, address};
  return {};
}

/// Binds and asks for the address that came of it.
BoundSocket bind_to(Kernel& kernel, Socket socket, const Address& address, Error& error) {
  const IoResult bound = kernel.bind(socket.get(), address);
  if (!bound.ok()) return failed(error, bound, "bind", address);
  Address actual;
  const IoResult named = kernel.local_address(socket.get(), actual);
  if (!named.ok()) return failed(error, named, "getsockname", address);
  return {std::move(socket), std::move(actual), {}};
}

}  // namespace

SocketFile::SocketFile(Kernel& kernel, Address path) : kernel_(&kernel) {
  if (kernel.find_socket_file(path, file_).ok()) path_ = std::move(path);
}

SocketFile::SocketFile(SocketFile&& other) noexcept
    : kernel_(other.kernel_), path_(std::exchange(other.path_, {})), file_(other.file_) {}

SocketFile& SocketFile::operator=(SocketFile&& other) noexcept {
  if (this == &other) return *this;
  remove();
  kernel_ = other.kernel_;
  path_ = std::exchange(other.path_, {});
  file_ = other.file_;
  return *this;
}

void SocketFile::remove() noexcept {
  if (path_.empty()) return;
  FileId now;
  if (kernel_->find_socket_file(path_, now).ok() && now == file_) kernel_->remove_file(path_);
  path_ = {};
}

void remove_stale_file(Kernel& kernel, const Address& path) {
  FileId stale;
  // If that fails, bind says why.
  if (kernel.find_socket_file(path, stale).ok()) kernel.remove_file(path);
}

BoundSocket bind_tcp(Kernel& kernel, const Address& address, const ListenOptions& options,
                     Error& error) {
  const IoResult opened = kernel.socket(address.family(), SOCK_STREAM, 0);
  if (!opened.ok()) return failed(error, opened, "socket", address);
  Socket socket(kernel, opened.fd());
  OptionSetter set(kernel, socket.get());
  if (options.reuse_address) set.on(SOL_SOCKET, SO_REUSEADDR);
  if (options.reuse_port) set.on(SOL_SOCKET, SO_REUSEPORT);
  if (options.keep_alive) set.on(SOL_SOCKET, SO_KEEPALIVE);
  if (address.family() == AF_INET6) set.on(IPPROTO_IPV6, IPV6_V6ONLY);
  if (!set.result().ok()) return failed(error, set.result(), "setsockopt", address);
  set_no_delay(kernel, socket.get(), address);
  return bind_to(kernel, std::move(socket), address, error);
}

BoundSocket bind_unix(Kernel& kernel, const Address& address, bool cleanup, Error& error) {
  const IoResult opened = kernel.socket(AF_UNIX, SOCK_STREAM, 0);
  if (!opened.ok()) return failed(error, opened, "socket", address);
  Socket socket(kernel, opened.fd());
  if (!address.is_abstract()) remove_stale_file(kernel, address);
  BoundSocket bound = bind_to(kernel, std::move(socket), address, error);
  if (bound.socket && cleanup && !address.is_abstract()) bound.file = SocketFile(kernel, address);
  return bound;
}

BoundSocket adopt_bound(Kernel& kernel, int fd, Error& error) {
  Socket socket(kernel, fd);
  Address address;
  const IoResult adopted = kernel.adopt(fd);
  if (!adopted.ok()) return failed(error, adopted, "fcntl", {});
  const IoResult named = kernel.local_address(fd, address);
  if (!named.ok()) return failed(error, named, "getsockname", {});
  set_no_delay(kernel, fd, address);
  return {std::move(socket), std::move(address), {}};
}

void check_stream_type(Kernel& kernel, int fd) {
  int type = 0;
  // A descriptor that is no socket at all shows in the next call on it.
  if (kernel.get_option(fd, SOL_SOCKET, SO_TYPE, type).ok() && type != SOCK_STREAM) {
    throw std::invalid_argument("a stream socket is needed, and descriptor " + std::to_string(fd) +
                                " is of another type");
  }
}

void set_no_delay(Kernel& kernel, int fd, const Address& address) {
  // Accepted sockets have it from the listening one (Linux, BSD). Not all that is IP is TCP (MPTCP,
  // SCTP): a refusal is no reason to go without a connection.
  if (address.is_ip()) kernel.set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

}  // namespace ferry
