#include "sim_sockets.h"

#include "sim_turns.h"

#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <stdexcept>

namespace ferry::testing {
namespace {

Address any_address(int family) {
  if (family == AF_UNIX) return Address::unix_path("");
  return *Address::ip(family == AF_INET ? "0.0.0.0" : "::", 0);
}

constexpr auto kTimeWait = std::chrono::seconds(60);  // TCP_TIMEWAIT_LEN

bool closes_hard(const SimSocket& socket) {
  const auto linger = socket.options.find({SOL_SOCKET, SO_LINGER});
  return linger != socket.options.end() && linger->second == 0 && !socket.is_unix();
}

/// True if its close is the first FIN of the connection, and no RST. (One that comes later does not
/// end the wait here.)
bool ends_in_time_wait(const SimSocket& socket) {
  if (socket.is_unix() || socket.state != SimSocket::State::connected) return false;
  if (closes_hard(socket) || !socket.inbox.empty()) return false;
  return socket.shut_write ? socket.closed_first : !socket.fin_received;
}

}  // namespace

SimSockets::SimSockets(const SimOptions& options, SimWires& wires)
    : options_(options), wires_(wires), names_(options.seed) {
  wires_.set_join_all([this] {
    for (const auto& socket : table_) {
      // An end that was not accepted yet is found by the other one.
      if (!socket || socket->is_unix() || socket->is_datagram()) continue;
      if (!socket->peer || socket->out) continue;
      if (socket->accepted) {
        wires_.join(*socket->peer, *socket);
      } else {
        wires_.join(*socket, *socket->peer);
      }
    }
  });
  wires_.set_datagram_sink([this](const SimDatagram& datagram) {
    if (!arrive(datagram)) refuse(datagram);
  });
}

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
  if (type == SOCK_DGRAM) socket->send_size = socket->receive_size = options_.datagram_buffer;
  socket->queue_limit = options_.unix_datagrams;
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
  server->accepted = true;
  server->peer = client.get();
  client->peer = server.get();
  if (type == SOCK_DGRAM) {
    client->senders = {server.get()};
    server->senders = {client.get()};
  }
  if (open_ + 2 > options_.descriptor_limit) throw std::runtime_error("too many simulated sockets");
  if (wires_.active() && family != AF_UNIX && type == SOCK_STREAM) wires_.join(*client, *server);
  const int first = enter(std::move(client));
  return {first, enter(std::move(server))};
}

IoResult SimSockets::close(SimSocket& socket) {
  if (socket.watch) sim_fatal("close of a descriptor that is still watched", socket.fd);
  if (socket.is_datagram()) {
    close_datagrams(socket);
  } else {
    if (ends_in_time_wait(socket)) names_.keep(socket, wires_.now() + kTimeWait);
    disconnect(socket);
  }
  std::erase_if(connecting_, [&](const Attempt& attempt) { return attempt.socket == &socket; });
  names_.release(socket);
  const int fd = socket.fd;
  table_[static_cast<std::size_t>(fd - options_.first_descriptor)].reset();
  free_.insert(fd);
  --open_;
  return done();
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
    if (socket.refused) return done();
    return fail(socket.is_unix() ? EINVAL : ENOTCONN);
  }
  if (into.empty()) return done();
  if (!socket.inbox.empty()) {
    const BytesView there = socket.inbox.view().first(into.size());
    const std::size_t count = there.size();
    std::memcpy(into.data(), there.data(), count);
    socket.consume(count);
    if (socket.peer) socket.peer->unblock();
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
  // That of a unix socket waits for recv or SO_ERROR.
  if (socket.error && !socket.is_unix()) return fail(std::exchange(socket.error, 0));
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
  if (!socket.peer && !socket.out) {
    // The other end is closed: it takes what comes and answers with a RST.
    socket.drop_unsent();
    socket.reset();
    return done(size);
  }
  const std::size_t sent = std::min(size, socket.space());
  if (sent < size) socket.send_blocked = true;
  if (sent == 0) return fail(EAGAIN);
  if (socket.out) {
    wires_.send(*socket.out, pieces, sent);
    return done(sent);
  }
  if (socket.peer->is_deaf()) {
    socket.drop_unsent();
    socket.reset();
    socket.peer->reset();
    return done(sent);
  }
  socket.peer->append(pieces, sent);
  return done(sent);
}

// -- parting

IoResult SimSockets::shutdown(SimSocket& socket, int how) {
  if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR) return fail(EINVAL);
  if (socket.is_over()) return fail(ENOTCONN);
  // A unix socket remembers it for a connection to come, whose other end hears of the next one.
  if (socket.state != State::connected && !socket.is_unix()) return fail(ENOTCONN);
  if (how != SHUT_WR && !std::exchange(socket.shut_read, true)) {
    socket.edge_read();
    if (socket.is_unix() && socket.peer) socket.peer->edge_write();
  }
  const bool first = how != SHUT_RD && !std::exchange(socket.shut_write, true);
  if (first) socket.closed_first = !socket.fin_received;
  if (first || (how != SHUT_RD && socket.is_unix())) {
    socket.edge_write();
    if (socket.out) {
      wires_.send_fin(*socket.out);
    } else if (socket.peer) {
      socket.peer->fin_received = true;
      socket.peer->edge_read();
    }
  }
  return done();
}

void SimSockets::disconnect(SimSocket& socket) {
  for (const auto& waiting : std::exchange(socket.pending, {})) {
    names_.release(*waiting);
    SimSocket* client = waiting->peer;
    if (client) client->peer = nullptr;
    if (waiting->out) {
      leave(*waiting, true);
    } else if (client) {
      client->reset();
    }
  }
  const bool over = socket.is_over();
  SimSocket* peer = std::exchange(socket.peer, nullptr);
  if (peer) peer->peer = nullptr;
  if (over) {
    if (socket.out) wires_.leave(socket);
    return;
  }
  const bool hard = closes_hard(socket);
  // Who waits for room tries again, as Linux does by itself, and is answered.
  if (socket.out && peer && std::exchange(peer->send_blocked, false)) peer->edge_write();
  if (socket.out) return leave(socket, hard);
  if (!peer) return;
  if (hard || (!socket.inbox.empty() && !socket.is_pipe())) {
    peer->drop_unsent();
    return peer->reset();
  }
  if (!std::exchange(peer->fin_received, true) || peer->is_unix()) peer->edge_read();
  // A unix socket's writer learns at once that nobody reads; TCP's when it tries.
  if (peer->is_unix() || peer->send_blocked) peer->edge_write();
}

void SimSockets::leave(SimSocket& socket, bool hard) {
  if (socket.state == State::connected) {
    if (hard || !socket.inbox.empty()) {
      wires_.abort(*socket.out);
    } else if (!socket.shut_write) {
      wires_.send_fin(*socket.out);
    }
  }
  wires_.leave(socket);
}

// -- looking and setting

IoResult SimSockets::find_socket_file(const Address& path, FileId& file) const {
  file = {0, names_.file(path)};
  return file.inode == 0 ? fail(ENOENT) : done();
}

IoResult SimSockets::remove_file(const Address& path) {
  return names_.remove_file(path) ? done() : fail(ENOENT);
}

IoResult SimSockets::local_address(const SimSocket& socket, Address& address) const {
  address = socket.local.empty() ? any_address(socket.family) : socket.local;
  return done();
}

IoResult SimSockets::peer_address(const SimSocket& socket, Address& address) const {
  if (socket.state != State::connected || socket.is_over()) return fail(ENOTCONN);
  address = socket.remote;
  return done();
}

IoResult SimSockets::set_option(SimSocket& socket, int level, int name, int value) {
  if (level == IPPROTO_TCP && socket.is_unix()) return fail(EOPNOTSUPP);
  if (level == IPPROTO_IPV6 && socket.family != AF_INET6) return fail(ENOPROTOOPT);
  if (level == IPPROTO_UDP) return fail(ENOPROTOOPT);
  if (level == SOL_SOCKET && (name == SO_SNDBUF || name == SO_RCVBUF)) {
    (name == SO_SNDBUF ? socket.send_size : socket.receive_size) =
        static_cast<std::size_t>(std::max(value, 1));
    SimSocket* sender = name == SO_SNDBUF ? &socket : socket.peer;
    if (sender) sender->unblock();
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
