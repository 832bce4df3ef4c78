#include "socket_pair.h"

#include <ferry/testing/sim_kernel.h>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <stdexcept>
#include <system_error>

namespace ferry::test {
namespace {

IoResult require(IoResult result, const char* what) {
  if (!result.ok()) throw std::system_error(result.code(), what);
  return result;
}

Address unused_address(int family) {
  if (family == AF_UNIX) return unused_unix_address();
  return *Address::ip(family == AF_INET ? "127.0.0.1" : "::1", 0);
}

/// Returns when a real descriptor is ready: the handshake on loopback is under way.
void await(int fd, short events) {
  pollfd entry{fd, events, 0};
  if (::poll(&entry, 1, 10'000) != 1) {
    throw std::system_error(ETIMEDOUT, std::system_category(), "poll");
  }
}

}  // namespace

Address unused_unix_address() {
  static std::atomic<int> next{0};
  return Address::unix_path("@ferry-test-" + std::to_string(::getpid()) + "-" +
                            std::to_string(next++));
}

// Below the range that connecting sockets get theirs from (ip_local_port_range), or one of another
// test's thousands might take it before it is used.
std::uint16_t free_port(Kernel& kernel) {
  static auto next = static_cast<std::uint16_t>(12000 + ::getpid() % 18000);
  for (int attempt = 0; attempt < 20000; ++attempt) {
    const std::uint16_t port = next == 32000 ? next = 12000 : next++;
    const Socket probe(kernel, kernel.socket(AF_INET, SOCK_STREAM, 0).fd());
    if (kernel.bind(probe.get(), *Address::ip("0.0.0.0", port)).ok()) return port;
  }
  throw std::runtime_error("no port is free");
}

std::pair<Socket, Socket> stream_pair(Kernel& kernel, int family) {
  if (auto* sim = dynamic_cast<testing::SimKernel*>(&kernel)) {
    const auto [first, second] = sim->connected_pair(family);
    return {Socket(kernel, first), Socket(kernel, second)};
  }
  RawListener listener(kernel, unused_address(family));
  RawPeer client = RawPeer::connect(kernel, listener.address());
  await(listener.fd(), POLLIN);
  std::optional<RawPeer> server = listener.accept();
  await(client.fd(), POLLOUT);
  if (!server || !client.connected()) {
    throw std::system_error(ENOTCONN, std::system_category(), "stream_pair");
  }
  return {client.take(), server->take()};
}

// -- RawPeer

RawPeer RawPeer::connect(Kernel& kernel, const Address& to) {
  const IoResult made = require(kernel.socket(to.family(), SOCK_STREAM, 0), "socket");
  RawPeer peer(kernel, Socket(kernel, made.fd()));
  const IoResult result = kernel.connect(made.fd(), to);
  if (!result.ok() && result.error != EINPROGRESS) peer.failed(result);
  return peer;
}

void RawPeer::failed(const IoResult& result) {
  if (!error_ && !result.would_block()) error_ = result.code();
}

bool RawPeer::connected() {
  if (connected_) return true;
  if (!socket_ || error_) return false;
  int error = 0;
  require(kernel_->get_option(socket_.get(), SOL_SOCKET, SO_ERROR, error), "getsockopt");
  if (error != 0) {
    failed({-1, error});
    return false;
  }
  Address peer;
  connected_ = kernel_->peer_address(socket_.get(), peer).ok();
  return connected_;
}

std::string RawPeer::read(std::size_t most) {
  std::string got;
  std::array<std::byte, 16 * 1024> chunk;
  while (socket_ && got.size() < most) {
    const std::size_t room = std::min(chunk.size(), most - got.size());
    const IoResult result = kernel_->recv(socket_.get(), std::span(chunk).first(room));
    if (!result.ok()) {
      failed(result);
      break;
    }
    if (result.count() == 0) {
      eof_ = true;
      break;
    }
    got.append(reinterpret_cast<const char*>(chunk.data()), result.count());
  }
  received_ += got;
  return got;
}

std::size_t RawPeer::write(BytesView bytes) {
  std::size_t sent = 0;
  while (socket_ && sent < bytes.size()) {
    const IoResult result = kernel_->send(socket_.get(), bytes.drop(sent));
    if (!result.ok()) {
      failed(result);
      break;
    }
    sent += result.count();
  }
  return sent;
}

bool RawPeer::pump() {
  const std::size_t sent = write(unsent_);
  unsent_.erase(0, sent);
  return !read().empty() || sent > 0;
}

void RawPeer::shutdown_write() {
  const IoResult result = kernel_->shutdown(socket_.get(), SHUT_WR);
  if (!result.ok()) failed(result);
}

void RawPeer::reset() {
  require(kernel_->set_option(socket_.get(), SOL_SOCKET, SO_LINGER, 0), "setsockopt");
  socket_.reset();
}

Address RawPeer::local_address() const {
  Address address;
  require(kernel_->local_address(socket_.get(), address), "getsockname");
  return address;
}

// -- RawListener

RawListener::RawListener(Kernel& kernel, const Address& at, int backlog) : kernel_(&kernel) {
  socket_ = Socket(kernel, require(kernel.socket(at.family(), SOCK_STREAM, 0), "socket").fd());
  require(kernel.bind(socket_.get(), at), "bind");
  require(kernel.listen(socket_.get(), backlog), "listen");
  require(kernel.local_address(socket_.get(), address_), "getsockname");
}

std::optional<RawPeer> RawListener::accept() {
  Address peer;
  const IoResult result = kernel_->accept(socket_.get(), peer);
  if (result.would_block()) return std::nullopt;
  return RawPeer(*kernel_, Socket(*kernel_, require(result, "accept").fd()));
}

}  // namespace ferry::test
