#include "sim_sockets.h"

#include "sim_turns.h"

#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <tuple>

namespace ferry::testing {
namespace {

IoResult fail(int error) {
  return {.value = -1, .error = error};
}
IoResult done(std::size_t count = 0) {
  return {.value = static_cast<std::ptrdiff_t>(count)};
}

Address any_address(int family) {
  if (family == AF_UNIX) return Address::unix_path("");
  return *Address::ip(family == AF_INET ? "0.0.0.0" : "::", 0);
}

Address loopback_of(int family) {
  return *Address::ip(family == AF_INET ? "127.0.0.1" : "::1", 0);
}

bool full(const SimSocket& listener) {
  return listener.pending.size() > listener.backlog;  // one more than asked for, as Linux
}

}  // namespace

// -- the table

SimSocket* SimSockets::find(int fd) const noexcept {
  const auto index = static_cast<std::size_t>(fd - options_.first_descriptor);
  return fd >= options_.first_descriptor && index < table_.size() ? table_[index].get() : nullptr;
}

std::size_t SimSockets::watched() const noexcept {
  return static_cast<std::size_t>(std::count_if(
      table_.begin(), table_.end(), [](const auto& socket) { return socket && socket->watch; }));
}

std::unique_ptr<SimSocket> SimSockets::make(int family, int type) const {
  auto socket = std::make_unique<SimSocket>();
  socket->family = family;
  socket->type = type;
  socket->send_size = options_.pipe_capacity / 2;
  socket->receive_size = options_.pipe_capacity - socket->send_size;
  return socket;
}

int SimSockets::enter(std::unique_ptr<SimSocket> socket) {
  if (open_ >= options_.descriptor_limit) return -1;
  if (free_.empty()) {
    free_.insert(options_.first_descriptor + static_cast<int>(table_.size()));
    table_.emplace_back();
  }
  const int fd = free_.extract(free_.begin()).value();
  socket->fd = fd;
  table_[static_cast<std::size_t>(fd - options_.first_descriptor)] = std::move(socket);
  ++open_;
  return fd;
}

IoResult SimSockets::socket(int family, int type, int protocol) {
  if (family != AF_INET && family != AF_INET6 && family != AF_UNIX) return fail(EAFNOSUPPORT);
  type &= ~(SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (type != SOCK_STREAM && type != SOCK_DGRAM) return fail(ESOCKTNOSUPPORT);
  const int expected = type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;
  if (protocol != 0 && (family == AF_UNIX || protocol != expected)) return fail(EPROTONOSUPPORT);
  const int fd = enter(make(family, type));
  return fd < 0 ? fail(EMFILE) : IoResult{.value = fd};
}

std::pair<int, int> SimSockets::connected_pair(int family, int type) {
  auto server = make(family, type);
  auto client = make(family, type);
  server->state = client->state = State::connected;
  if (family == AF_UNIX) {
    server->local = client->local = any_address(AF_UNIX);
  } else {
    names_.take_any(*server, loopback_of(family));
    names_.take_any(*client, loopback_of(family));
  }
  server->remote = client->local;
  client->remote = server->local;
  server->peer = client.get();
  client->peer = server.get();
  if (open_ + 2 > options_.descriptor_limit) throw std::runtime_error("too many simulated sockets");
  const int first = enter(std::move(client));
  return {first, enter(std::move(server))};
}

IoResult SimSockets::pipe(int& read_end, int& write_end) {
  if (open_ + 2 > options_.descriptor_limit) return fail(EMFILE);
  std::tie(read_end, write_end) = connected_pair(AF_UNIX, SOCK_STREAM);
  find(read_end)->pipe_end = SimSocket::PipeEnd::read;
  find(write_end)->pipe_end = SimSocket::PipeEnd::write;
  return done();
}

IoResult SimSockets::set_pipe_size(SimSocket& pipe, std::size_t bytes) {
  if (!pipe.is_pipe() || !pipe.peer) return fail(EBADF);
  SimSocket& writer = pipe.pipe_end == SimSocket::PipeEnd::write ? pipe : *pipe.peer;
  writer.peer->receive_size = bytes / 2;
  writer.send_size = bytes - bytes / 2;
  return done(bytes);
}

IoResult SimSockets::splice(SimSocket& from, SimSocket& to, std::size_t count) {
  if (from.is_pipe() == to.is_pipe() || from.is_datagram() || to.is_datagram()) return fail(EINVAL);
  if (from.inbox.empty()) {
    std::byte nothing[1];
    return recv(from, nothing);
  }
  const BytesView there = from.inbox.view().first(count);
  const IoResult sent = send(to, std::span(&there, 1));
  if (!sent.ok()) return sent;
  // As recv takes it out, so that the other end learns of the room.
  std::vector<std::byte> taken(sent.count());
  return recv(from, taken);
}

IoResult SimSockets::read(SimSocket& socket, MutableBytes into) {
  return socket.pipe_end == SimSocket::PipeEnd::write ? fail(EBADF) : recv(socket, into);
}

IoResult SimSockets::write(SimSocket& socket, std::span<const BytesView> pieces) {
  return socket.pipe_end == SimSocket::PipeEnd::read ? fail(EBADF) : send(socket, pieces);
}

IoResult SimSockets::close(SimSocket& socket) {
  if (socket.watch) sim_fatal("close of a descriptor that is still watched", socket.fd);
  if (socket.is_datagram()) {
    if (socket.peer) socket.peer->peer = nullptr;
  } else {
    disconnect(socket);
  }
  std::erase(connecting_, &socket);
  names_.release(socket);
  const int fd = socket.fd;
  table_[static_cast<std::size_t>(fd - options_.first_descriptor)].reset();
  free_.insert(fd);
  --open_;
  return done();
}

// -- coming together

IoResult SimSockets::bind(SimSocket& socket, const Address& address) {
  if (socket.named || socket.state != State::fresh) return fail(EINVAL);
  if (address.family() != socket.family) return fail(socket.is_unix() ? EINVAL : EAFNOSUPPORT);
  const int error = names_.take(socket, address);
  return error ? fail(error) : done();
}

IoResult SimSockets::listen(SimSocket& socket, int backlog) {
  if (socket.is_datagram()) return fail(EOPNOTSUPP);
  if (socket.state != State::fresh && socket.state != State::listening) return fail(EINVAL);
  if (!socket.named) {
    if (socket.is_unix()) return fail(EINVAL);
    if (const int error = names_.take(socket, any_address(socket.family))) return fail(error);
  }
  if (const int error = names_.may_listen(socket)) return fail(error);
  socket.state = State::listening;
  socket.backlog = backlog < 0 ? SOMAXCONN : static_cast<std::size_t>(std::min(backlog, SOMAXCONN));
  return done();
}

IoResult SimSockets::accept(SimSocket& socket, Address& peer) {
  if (socket.is_datagram()) return fail(EOPNOTSUPP);
  if (socket.state != State::listening) return fail(EINVAL);
  if (socket.pending.empty()) return fail(EAGAIN);
  if (open_ >= options_.descriptor_limit) return fail(EMFILE);
  auto accepted = std::move(socket.pending.front());
  socket.pending.pop_front();
  peer = accepted->remote;
  return {.value = enter(std::move(accepted))};
}

IoResult SimSockets::connect(SimSocket& socket, const Address& address) {
  if (socket.is_datagram()) return connect_datagram(socket, address);
  if (socket.state == State::connecting) return fail(EALREADY);
  if (socket.state != State::fresh) return fail(EISCONN);
  if (address.family() != socket.family) return fail(socket.is_unix() ? EINVAL : EAFNOSUPPORT);
  return socket.is_unix() ? connect_unix(socket, address) : connect_tcp(socket, address);
}

IoResult SimSockets::connect_unix(SimSocket& socket, const Address& address) {
  SimSocket* listener = names_.find_unix(address);
  if (!listener) return fail(address.is_abstract() ? ECONNREFUSED : ENOENT);
  if (listener->is_datagram()) return fail(EPROTOTYPE);
  if (listener->state != State::listening) return fail(ECONNREFUSED);
  if (full(*listener)) return fail(EAGAIN);
  if (!socket.named) socket.local = any_address(AF_UNIX);
  socket.remote = address;
  establish(*listener, socket);
  return done();
}

IoResult SimSockets::connect_tcp(SimSocket& socket, const Address& address) {
  const SimPlace place = place_of(address);
  if (place == SimPlace::nowhere) return fail(ENETUNREACH);
  socket.remote =
      is_wildcard(address) ? loopback_of(socket.family).with_port(address.port()) : address;
  if (!socket.named) {
    if (const int error = names_.take_any(socket, loopback_of(socket.family))) return fail(error);
  } else if (is_wildcard(socket.local)) {
    socket.local = loopback_of(socket.family).with_port(socket.local.port());
  }
  socket.state = State::connecting;
  if (place == SimPlace::here) connecting_.push_back(&socket);
  return fail(EINPROGRESS);
}

void SimSockets::settle() {
  if (connecting_.empty()) return;
  const std::vector<SimSocket*> under_way = std::exchange(connecting_, {});
  for (SimSocket* socket : under_way) {
    SimSocket* listener = names_.listener(socket->remote);
    if (listener && full(*listener)) {
      connecting_.push_back(socket);
    } else if (listener) {
      establish(*listener, *socket);
    } else {
      socket->state = State::fresh;
      socket->error = ECONNREFUSED;
      socket->edge_read();
      socket->edge_write();
    }
  }
}

void SimSockets::establish(SimSocket& listener, SimSocket& client) {
  auto server = make(listener.family);
  server->state = client.state = State::connected;
  server->options = listener.options;
  server->send_size = listener.send_size;
  server->receive_size = listener.receive_size;
  const bool mapped = listener.family != client.family;
  server->local = mapped ? mapped_to_v6(client.remote) : client.remote;
  server->remote = mapped ? mapped_to_v6(client.local) : client.local;
  server->peer = &client;
  client.peer = server.get();
  listener.pending.push_back(std::move(server));
  client.edge_write();
  listener.edge_read();
}

// -- bytes

IoResult SimSockets::recv(SimSocket& socket, MutableBytes into) {
  if (socket.is_datagram()) {
    IncomingDatagram one{.buffer = into};
    const IoResult received = recv_datagrams(socket, std::span(&one, 1));
    return received.ok() ? done(one.size) : received;
  }
  if (socket.state == State::fresh && socket.error) return fail(std::exchange(socket.error, 0));
  if (socket.state == State::fresh || socket.state == State::listening) {
    return fail(socket.is_unix() ? EINVAL : ENOTCONN);
  }
  if (into.empty()) return done();
  if (!socket.inbox.empty()) {
    const BytesView there = socket.inbox.view().first(into.size());
    const std::size_t count = there.size();
    std::memcpy(into.data(), there.data(), count);
    socket.inbox.consume(count);
    SimSocket* sender = socket.peer;
    if (sender && sender->send_blocked && sender->writable()) {
      sender->send_blocked = false;
      sender->edge_write();
    }
    return done(count);
  }
  // After a FIN, TCP says "end" whatever came behind it; a unix socket reports its error first.
  if (socket.fin_received && !socket.is_unix()) return done();
  if (socket.error) return fail(std::exchange(socket.error, 0));
  if (socket.fin_received || socket.shut_read || socket.state == State::dead) return done();
  return fail(EAGAIN);
}

IoResult SimSockets::send(SimSocket& socket, std::span<const BytesView> pieces) {
  if (socket.is_datagram()) {
    Buffer whole;
    for (const BytesView& piece : pieces) whole.append(piece);
    const OutgoingDatagram one{.bytes = whole};
    const IoResult sent = send_datagrams(socket, std::span(&one, 1));
    return sent.ok() ? done(whole.size()) : sent;
  }
  if (socket.error) return fail(std::exchange(socket.error, 0));
  switch (socket.state) {
    case State::fresh:
    case State::listening:
      return fail(socket.is_unix() ? ENOTCONN : EPIPE);
    case State::connecting:
      return fail(EAGAIN);
    case State::dead:
      return fail(EPIPE);
    case State::connected:
      break;
  }
  if (socket.shut_write) return fail(EPIPE);
  std::size_t size = 0;
  for (const BytesView& piece : pieces) size += piece.size();
  if (size == 0) return done();
  if (socket.is_unix() && (!socket.peer || socket.peer->shut_read)) return fail(EPIPE);
  if (!socket.peer) {
    // The other end is closed: it takes what comes and answers with a RST.
    reset(socket);
    return done(size);
  }
  std::size_t room = std::min(size, socket.space());
  if (room < size) socket.send_blocked = true;
  if (room == 0) return fail(EAGAIN);
  const std::size_t sent = room;
  for (const BytesView& piece : pieces) {
    const BytesView part = piece.first(room);
    if (!part.empty()) socket.peer->inbox.append(part);
    room -= part.size();
  }
  socket.peer->edge_read();
  return done(sent);
}

// -- parting

IoResult SimSockets::shutdown(SimSocket& socket, int how) {
  if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR) return fail(EINVAL);
  if (socket.state != State::connected) return fail(ENOTCONN);
  if (how != SHUT_WR && !std::exchange(socket.shut_read, true)) {
    socket.edge_read();
    if (socket.is_unix() && socket.peer) socket.peer->edge_write();
  }
  if (how != SHUT_RD && !std::exchange(socket.shut_write, true)) {
    socket.edge_write();
    if (socket.peer) {
      socket.peer->fin_received = true;
      socket.peer->edge_read();
    }
  }
  return done();
}

void SimSockets::disconnect(SimSocket& socket) {
  for (const auto& waiting : std::exchange(socket.pending, {})) {
    if (waiting->peer) {
      waiting->peer->peer = nullptr;
      reset(*waiting->peer);
    }
  }
  SimSocket* peer = std::exchange(socket.peer, nullptr);
  if (!peer) return;
  peer->peer = nullptr;
  const auto linger = socket.options.find({SOL_SOCKET, SO_LINGER});
  const bool hard = linger != socket.options.end() && linger->second == 0 && !socket.is_unix();
  if (hard || (!socket.inbox.empty() && !socket.is_pipe())) return reset(*peer);
  if (!std::exchange(peer->fin_received, true) || peer->is_unix()) peer->edge_read();
  // A unix socket's writer learns at once that nobody reads; TCP's when it tries.
  if (peer->is_unix() || peer->send_blocked) peer->edge_write();
}

void SimSockets::reset(SimSocket& socket) {
  socket.error = socket.fin_received && !socket.is_unix() ? EPIPE : ECONNRESET;
  if (socket.is_unix()) {
    socket.fin_received = true;
  } else {
    socket.state = State::dead;
  }
  socket.edge_read();
  socket.edge_write();
}

// -- looking and setting

IoResult SimSockets::local_address(const SimSocket& socket, Address& address) const {
  if (socket.is_pipe()) return fail(ENOTSOCK);
  address = socket.local.empty() ? any_address(socket.family) : socket.local;
  return done();
}

IoResult SimSockets::peer_address(const SimSocket& socket, Address& address) const {
  if (socket.is_pipe()) return fail(ENOTSOCK);
  if (socket.state != State::connected) return fail(ENOTCONN);
  address = socket.remote;
  return done();
}

IoResult SimSockets::set_option(SimSocket& socket, int level, int name, int value) {
  if (socket.is_pipe()) return fail(ENOTSOCK);
  if (level == IPPROTO_TCP && socket.is_unix()) return fail(EOPNOTSUPP);
  if (level == IPPROTO_IPV6 && socket.family != AF_INET6) return fail(ENOPROTOOPT);
  if (level == IPPROTO_UDP) return fail(ENOPROTOOPT);
  if (level == SOL_SOCKET && (name == SO_SNDBUF || name == SO_RCVBUF)) {
    (name == SO_SNDBUF ? socket.send_size : socket.receive_size) =
        static_cast<std::size_t>(std::max(value, 1));
    SimSocket* sender = name == SO_SNDBUF ? &socket : socket.peer;
    if (sender && sender->send_blocked && sender->writable()) {
      sender->send_blocked = false;
      sender->edge_write();
    }
    return done();
  }
  if (level == SOL_SOCKET &&
      (name == SO_ERROR || name == SO_TYPE || name == SO_DOMAIN || name == SO_ACCEPTCONN)) {
    return fail(ENOPROTOOPT);
  }
  socket.options[{level, name}] = value;
  return done();
}

IoResult SimSockets::get_option(SimSocket& socket, int level, int name, int& value) const {
  if (socket.is_pipe()) return fail(ENOTSOCK);
  if (level == IPPROTO_TCP && socket.is_unix()) return fail(EOPNOTSUPP);
  if (level == IPPROTO_UDP) return fail(ENOPROTOOPT);
  if (level == SOL_SOCKET) {
    switch (name) {
      case SO_ERROR:
        value = std::exchange(socket.error, 0);
        return done();
      case SO_TYPE:
        value = socket.type;
        return done();
      case SO_DOMAIN:
        value = socket.family;
        return done();
      case SO_PROTOCOL:
        value = socket.is_unix() ? 0 : socket.is_datagram() ? IPPROTO_UDP : IPPROTO_TCP;
        return done();
      case SO_ACCEPTCONN:
        value = socket.state == State::listening;
        return done();
      case SO_SNDBUF:
        value = static_cast<int>(socket.send_size);
        return done();
      case SO_RCVBUF:
        value = static_cast<int>(socket.receive_size);
        return done();
      default:
        break;
    }
  }
  const auto found = socket.options.find({level, name});
  value = found == socket.options.end() ? 0 : found->second;
  return done();
}

}  // namespace ferry::testing
