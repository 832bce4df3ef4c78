#include <ferry/sock.h>

#include "sock_operation.h"

#include <sys/socket.h>

#include <cerrno>
#include <string>
#include <utility>

namespace ferry {

namespace {

/// True if the call is over and has failed: then so has the future.
template <class T>
bool failed(Future<T>& result, const IoResult& r, const char* operation,
            const Address& address = {}) {
  if (r.ok() || r.would_block()) return false;
  set_io_error(result, r.code(), operation, address);
  return true;
}

IoResult recv_one(Kernel& kernel, int fd, MutableBytes into, Address& peer) {
  IncomingDatagram one;
  one.buffer = into;
  one.plain = true;
  const IoResult r = kernel.recv_datagrams(fd, std::span(&one, 1));
  if (!r.ok()) return r;
  peer = std::move(one.info.peer);
  return {static_cast<std::ptrdiff_t>(one.size), 0};
}

}  // namespace

Future<Buffer> sock_recv(EventLoop& loop, int fd, std::size_t most) {
  return SockOperation<Buffer>::begin(
      loop, fd, Direction::read, [&kernel = loop.kernel(), most](int s, Future<Buffer>& result) {
        Buffer data;
        const IoResult r = kernel.recv(s, data.prepare(most).first(most));
        if (failed(result, r, "recv")) return true;
        if (!r.ok()) return false;
        data.commit(r.count());
        result.set_result(std::move(data));
        return true;
      });
}

Future<std::size_t> sock_recv_into(EventLoop& loop, int fd, MutableBytes into) {
  return SockOperation<std::size_t>::begin(
      loop, fd, Direction::read,
      [&kernel = loop.kernel(), into](int s, Future<std::size_t>& result) {
        const IoResult r = kernel.recv(s, into);
        if (failed(result, r, "recv")) return true;
        if (r.ok()) result.set_result(r.count());
        return r.ok();
      });
}

Future<void> sock_sendall(EventLoop& loop, int fd, BytesView data) {
  SockOperation<void>::check(loop, fd);
  Future<void> result(loop);
  Kernel& kernel = loop.kernel();
  while (!data.empty()) {
    const IoResult r = kernel.send(fd, data);
    if (failed(result, r, "send")) return result;
    if (!r.ok()) break;
    data = data.drop(r.count());
  }
  if (data.empty()) {
    result.set_result();
    return result;
  }
  return SockOperation<void>::begin(
      loop, fd, Direction::write,
      [&kernel, rest = std::make_unique<Buffer>(data)](int s, Future<void>& sent) {
        while (!rest->empty()) {
          const IoResult r = kernel.send(s, rest->view());
          if (failed(sent, r, "send")) return true;
          if (!r.ok()) return false;
          rest->consume(r.count());
        }
        sent.set_result();
        return true;
      },
      /*tried=*/true);
}

Future<void> sock_connect(EventLoop& loop, int fd, const Address& address) {
  return SockOperation<void>::begin(
      loop, fd, Direction::write,
      [&kernel = loop.kernel(), address, begun = false](int s, Future<void>& result) mutable {
        IoResult r;
        if (!std::exchange(begun, true)) {
          r = kernel.connect(s, address);
          if (r.error == EINPROGRESS || r.error == EINTR) return false;
        } else {
          int error = 0;
          r = kernel.get_option(s, SOL_SOCKET, SO_ERROR, error);
          if (error != 0) r = {-1, error};
        }
        if (!r.ok()) {
          set_io_error(result, r.code(), "connect", address);
        } else {
          result.set_result();
        }
        return true;
      });
}

Future<void> sock_connect(EventLoop& loop, int fd, std::string host, std::uint16_t port) {
  SockOperation<void>::check(loop, fd);
  Future<void> result(loop);
  Address local;
  ResolveQuery query;
  const IoResult named = loop.kernel().local_address(fd, local);
  if (failed(result, named, "getsockname")) return result;
  query.host = std::move(host);
  query.service = std::to_string(port);
  query.family = local.family();
  loop.kernel().get_option(fd, SOL_SOCKET, SO_TYPE, query.type);
  loop.kernel().get_option(fd, SOL_SOCKET, SO_PROTOCOL, query.protocol);
  const Future<std::vector<Address>> names = loop.getaddrinfo(query);
  result.set_cancel_hook([names] { names.cancel(); });
  names.add_done_callback([result, fd, &loop](Future<std::vector<Address>> found) {
    if (result.done()) return;
    if (found.cancelled()) {
      result.cancel();
      return;
    }
    if (found.exception()) return result.set_exception(found.exception());
    if (found.result().empty()) {
      return set_io_error(result, make_error_code(errc::no_address), "resolve");
    }
    const Future<void> connected = sock_connect(loop, fd, found.result().front());
    result.set_cancel_hook([connected] { connected.cancel(); });
    connected.add_done_callback([result](Future<void> done) {
      if (result.done()) return;
      if (done.cancelled()) {
        result.cancel();
      } else if (done.exception()) {
        result.set_exception(done.exception());
      } else {
        result.set_result();
      }
    });
  });
  return result;
}

Future<AcceptedSocket> sock_accept(EventLoop& loop, int fd) {
  return SockOperation<AcceptedSocket>::begin(
      loop, fd, Direction::read, [&kernel = loop.kernel()](int s, Future<AcceptedSocket>& result) {
        Address peer;
        const IoResult r = kernel.accept(s, peer);
        if (failed(result, r, "accept")) return true;
        if (r.ok()) result.set_result(AcceptedSocket{Socket(kernel, r.fd()), std::move(peer)});
        return r.ok();
      });
}

Future<ReceivedDatagram> sock_recvfrom(EventLoop& loop, int fd, std::size_t most) {
  return SockOperation<ReceivedDatagram>::begin(
      loop, fd, Direction::read,
      [&kernel = loop.kernel(), most](int s, Future<ReceivedDatagram>& result) {
        ReceivedDatagram datagram;
        const IoResult r =
            recv_one(kernel, s, datagram.data.prepare(most).first(most), datagram.peer);
        if (failed(result, r, "recvfrom")) return true;
        if (!r.ok()) return false;
        datagram.data.commit(r.count());
        result.set_result(std::move(datagram));
        return true;
      });
}

Future<std::size_t> sock_recvfrom_into(EventLoop& loop, int fd, MutableBytes into, Address& peer) {
  return SockOperation<std::size_t>::begin(
      loop, fd, Direction::read,
      [&kernel = loop.kernel(), into, &peer](int s, Future<std::size_t>& result) {
        const IoResult r = recv_one(kernel, s, into, peer);
        if (failed(result, r, "recvfrom")) return true;
        if (r.ok()) result.set_result(r.count());
        return r.ok();
      });
}

Future<std::size_t> sock_sendto(EventLoop& loop, int fd, BytesView data, const Address& to) {
  const auto attempt = [&kernel = loop.kernel()](int s, BytesView bytes, const Address& target,
                                                 Future<std::size_t>& result) {
    OutgoingDatagram one;
    one.bytes = bytes;
    one.to = &target;
    const IoResult r = kernel.send_datagrams(s, std::span(&one, 1));
    if (failed(result, r, "sendto", target)) return true;
    if (r.ok()) result.set_result(bytes.size());
    return r.ok();
  };
  SockOperation<std::size_t>::check(loop, fd);
  Future<std::size_t> result(loop);
  if (attempt(fd, data, to, result)) return result;
  struct Waiting {
    Buffer data;
    Address to;
  };
  return SockOperation<std::size_t>::begin(
      loop, fd, Direction::write,
      [attempt, waiting = std::make_unique<Waiting>(Waiting{Buffer(data), to})](
          int s, Future<std::size_t>& sent) {
        return attempt(s, waiting->data, waiting->to, sent);
      },
      /*tried=*/true);
}

}  // namespace ferry
