#include "blocking_client.h"

#include <ferry/address.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <system_error>

namespace ferry::test {

namespace {

template <class Result>
Result check(Result result, const char* call) {
  if (result < 0) throw std::system_error(errno, std::system_category(), call);
  return result;
}

}  // namespace

BlockingClient::BlockingClient(std::uint16_t port)
    : fd_(check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket")) {
  sockaddr_storage storage;
  const socklen_t length = Address::loopback(port).to_sockaddr(storage);
  check(::connect(fd_.get(), reinterpret_cast<sockaddr*>(&storage), length), "connect");
  const int on = 1;
  check(::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "setsockopt");
}

void BlockingClient::send(BytesView bytes, int flags) {
  while (!bytes.empty()) {
    const auto sent = ::send(fd_.get(), bytes.data(), bytes.size(), flags | MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    bytes = bytes.drop(static_cast<std::size_t>(check(sent, "send")));
  }
}

std::string BlockingClient::receive(std::size_t size) {
  std::string bytes(size, '\0');
  std::size_t have = 0;
  while (have < size) {
    const auto got = ::recv(fd_.get(), bytes.data() + have, size - have, 0);
    if (got < 0 && errno == EINTR) continue;
    if (check(got, "recv") == 0) break;
    have += static_cast<std::size_t>(got);
  }
  bytes.resize(have);
  return bytes;
}

void BlockingClient::shutdown_write() {
  check(::shutdown(fd_.get(), SHUT_WR), "shutdown");
}

void BlockingClient::reset() {
  const linger at_once{1, 0};
  check(::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), "setsockopt");
  fd_.reset();
}

}  // namespace ferry::test
