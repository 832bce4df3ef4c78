#include "sim_sockets.h"

#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace ferry::testing {
namespace {

constexpr std::size_t kMostV4 = 65507;     // 64 KiB less the headers of IP and UDP
constexpr std::size_t kMostV6 = 65527;     // and IPv6 does not count its own
constexpr std::size_t kMostUnix = 212960;  // Linux's default buffer less its own overhead

/// "Port unreachable", which only a connected socket can relate to what it sent.
void tell_unreachable(SimSocket& sender) {
  sender.error = ECONNREFUSED;
  sender.edge_read();
  sender.edge_write();
}

void enqueue(SimSocket& receiver, SimDatagram datagram) {
  receiver.datagrams.push_back(std::move(datagram));
  receiver.edge_read();
}

/// What a datagram takes of SO_RCVBUF; Linux counts its own memory, 832 bytes for a small one.
std::size_t cost(const SimDatagram& datagram) {
  return datagram.bytes.size() + 800;
}

/// Whoever is connected to a third one hears nobody else.
bool may_send(const SimSocket& from, const SimSocket& to) {
  return to.state != SimSocket::State::connected || to.peer == &from;
}

}  // namespace

/// Over UDP. The first one always fits.
void SimSockets::deliver(SimSocket& receiver, SimDatagram datagram) {
  if (receiver.shut_read) return;
  const std::size_t memory = receiver.memory + cost(datagram);
  if (receiver.memory > 0 && memory > receiver.receive_size) {
    ++dropped_;
    return;
  }
  receiver.memory = memory;
  datagram.from = seen_by(receiver.family, datagram.from);
  datagram.to = seen_by(receiver.family, datagram.to);
  enqueue(receiver, std::move(datagram));
}

/// The end of a unix socket's connection: what it has not received is lost, and a peer that is
/// connected back is told.
void SimSockets::part(SimSocket& socket) {
  SimSocket* peer = std::exchange(socket.peer, nullptr);
  if (peer) std::erase(peer->senders, &socket);
  socket.state = State::fresh;
  if (socket.datagrams.empty()) return;
  socket.datagrams.clear();
  socket.wake_senders();
  if (!peer || peer->peer != &socket) return;
  peer->error = ECONNRESET;
  peer->edge_read();
  peer->edge_write();
}

void SimSockets::close_datagrams(SimSocket& socket) {
  if (socket.peer) std::erase(socket.peer->senders, &socket);
  for (SimSocket* sender : socket.senders) sender->peer = nullptr;
  socket.wake_senders();
}

IoResult SimSockets::connect_datagram(SimSocket& socket, const Address& address) {
  if (address.family() != socket.family) return fail(socket.is_unix() ? EINVAL : EAFNOSUPPORT);
  if (socket.is_unix()) {
    SimSocket* other = names_.find_unix(address);
    if (!other) return fail(names_.absent(address));
    if (!other->is_datagram()) return fail(EPROTOTYPE);
    if (!may_send(socket, *other)) return fail(EPERM);
    if (socket.peer != other) {
      if (socket.state == State::connected) part(socket);
      socket.peer = other;
      other->senders.push_back(&socket);
    }
    if (!socket.named) socket.local = Address::unix_path("");
    socket.remote = address;
  } else {
    const Address to = unmapped(address);
    if (const int error = out_of_reach(socket, to)) return fail(error);
    if (place_of(to) == SimPlace::nowhere) return fail(ENETUNREACH);
    const Address home = seen_by(socket.family, loopback_of(to.family()));
    if (!socket.named) {
      if (const int error = names_.take_any(socket, home)) return fail(error);
    } else if (is_wildcard(unmapped(socket.local))) {
      socket.local = home.with_port(socket.local.port());
    }
    socket.remote = is_wildcard(to) ? home.with_port(address.port()) : address;
  }
  socket.state = State::connected;
  return done();
}

IoResult SimSockets::recv_datagrams(SimSocket& socket, std::span<IncomingDatagram> into) {
  if (!socket.is_datagram()) return fail(EOPNOTSUPP);
  if (socket.error) return fail(std::exchange(socket.error, 0));
  std::size_t count = 0;
  for (IncomingDatagram& place : into) {
    if (socket.datagrams.empty()) break;
    SimDatagram datagram = std::move(socket.datagrams.front());
    socket.datagrams.pop_front();
    if (socket.is_unix()) {
      socket.wake_senders();
    } else {
      socket.memory -= cost(datagram);
    }
    place.size = std::min(datagram.bytes.size(), place.buffer.size());
    place.truncated = place.size < datagram.bytes.size();
    place.segment = 0;
    if (place.size > 0) std::memcpy(place.buffer.data(), datagram.bytes.data(), place.size);
    place.info = {};
    place.info.peer = std::move(datagram.from);
    const bool six = socket.family == AF_INET6;
    const int level = six ? IPPROTO_IPV6 : IPPROTO_IP;
    if (!place.plain && socket.option(level, six ? IPV6_RECVPKTINFO : IP_PKTINFO)) {
      place.info.local = datagram.to.with_port(0);
    }
    if (!place.plain && socket.option(level, six ? IPV6_RECVTCLASS : IP_RECVTOS)) {
      place.info.tos = datagram.tos;
    }
    ++count;
  }
  return count == 0 && !socket.shut_read ? fail(EAGAIN) : done(count);
}

IoResult SimSockets::send_datagrams(SimSocket& socket,
                                    std::span<const OutgoingDatagram> datagrams) {
  if (!socket.is_datagram()) return fail(EOPNOTSUPP);
  std::size_t count = 0;
  for (const OutgoingDatagram& datagram : datagrams) {
    if (const int error = send_datagram(socket, datagram)) {
      if (count == 0) return fail(error);
      break;
    }
    ++count;
  }
  return done(count);
}

/// An errno value, or 0.
int SimSockets::send_datagram(SimSocket& socket, const OutgoingDatagram& datagram) {
  if (datagram.segment != 0) return EINVAL;
  if (socket.error) return std::exchange(socket.error, 0);
  if (socket.shut_write) return EPIPE;
  const bool connected = socket.state == State::connected;
  if (!datagram.to && !connected) return socket.is_unix() ? ENOTCONN : EDESTADDRREQ;
  const Address& named = datagram.to ? *datagram.to : socket.remote;
  if (named.family() != socket.family) return socket.is_unix() ? EINVAL : EAFNOSUPPORT;
  const Address to = unmapped(named);
  const std::size_t most = to.is_unix() ? kMostUnix : to.family() == AF_INET ? kMostV4 : kMostV6;
  if (datagram.bytes.size() > most) return EMSGSIZE;
  SimDatagram sent{std::string(datagram.bytes.text()), {}, to, std::max(datagram.tos, 0)};

  if (socket.is_unix()) {
    if (socket.named) sent.from = socket.local;
    return send_unix(socket, std::move(sent), datagram.to != nullptr);
  }
  if (const int error = out_of_reach(socket, to)) return error;
  if (!socket.named) {
    const Address any = *Address::ip(socket.family == AF_INET ? "0.0.0.0" : "::", 0);
    if (const int error = names_.take(socket, any, wires_.now())) return error;
  }
  Address from = unmapped(datagram.from ? *datagram.from : socket.local);
  if (is_wildcard(from) || is_multicast(from)) from = loopback_of(to.family());
  sent.from = from.with_port(socket.local.port());
  if (is_broadcast(to)) {
    if (!socket.option(SOL_SOCKET, SO_BROADCAST)) return EACCES;
  } else if (!is_multicast(to)) {
    const SimPlace place = place_of(to);
    if (place == SimPlace::nowhere) return ENETUNREACH;
    if (place == SimPlace::silence) return 0;
    if (is_wildcard(to)) sent.to = loopback_of(to.family()).with_port(to.port());
  }
  if (wires_.active()) {
    wires_.send_datagram(std::move(sent));
  } else if (!arrive(std::move(sent)) && connected) {
    tell_unreachable(socket);
  }
  return 0;
}

/// A connected socket has a peer, and no name to look up: whoever gets that name later is another
/// one. Once it is gone the connection is over.
int SimSockets::send_unix(SimSocket& socket, SimDatagram datagram, bool by_name) {
  SimSocket* receiver = by_name ? names_.find_unix(datagram.to) : socket.peer;
  if (!receiver && by_name) return names_.absent(datagram.to);
  if (!receiver) {
    part(socket);
    return ECONNREFUSED;
  }
  if (!receiver->is_datagram()) return EPROTOTYPE;
  if (!may_send(socket, *receiver)) return EPERM;
  if (receiver->shut_read) return EPIPE;
  if (receiver->full_for(socket)) {
    // Who is not connected to it is not told when there is room: its own state is not that.
    socket.send_blocked = socket.peer == receiver;
    return EAGAIN;
  }
  enqueue(*receiver, std::move(datagram));
  return 0;
}

void SimSockets::refuse(const SimDatagram& datagram) {
  SimSocket* sender = names_.receiver(datagram.from, datagram.to);
  if (sender && sender->state == State::connected) tell_unreachable(*sender);
}

/// Whether a socket with that port is meant by what is sent to many.
bool SimSockets::hears(const SimSocket& socket, const SimDatagram& datagram) const {
  const Address& to = datagram.to;
  if (!SimNames::is_for(socket, to)) return false;
  if (socket.state == State::connected && unmapped(socket.remote) != datagram.from) return false;
  if (!is_multicast(to) || socket.groups.contains(to.with_port(0))) return true;
  // Unless told otherwise, it hears what any socket of the system has joined; not so IPv6's of
  // IPv4's groups.
  if (socket.family != to.family()) return false;
  const bool six = socket.family == AF_INET6;
  const auto all = socket.options.find(six ? std::pair(IPPROTO_IPV6, IPV6_MULTICAST_ALL)
                                           : std::pair(IPPROTO_IP, IP_MULTICAST_ALL));
  if (all != socket.options.end() && all->second == 0) return false;
  return std::any_of(table_.begin(), table_.end(), [&](const auto& other) {
    return other && other->groups.contains(to.with_port(0));
  });
}

bool SimSockets::arrive(SimDatagram datagram) {
  const Address to = datagram.to;
  if (is_broadcast(to) || is_multicast(to)) {
    for (SimSocket* receiver : names_.datagram_sockets(to.port())) {
      if (hears(*receiver, datagram)) deliver(*receiver, datagram);
    }
    return true;
  }
  SimSocket* receiver = names_.receiver(to, datagram.from);
  if (receiver) deliver(*receiver, std::move(datagram));
  return receiver != nullptr;
}

IoResult SimSockets::set_membership(SimSocket& socket, const Address& group, bool join) {
  if (!is_multicast(group) || group.family() != socket.family) return fail(EINVAL);
  if (join) {
    return socket.groups.insert(group.with_port(0)).second ? done() : fail(EADDRINUSE);
  }
  return socket.groups.erase(group.with_port(0)) > 0 ? done() : fail(EADDRNOTAVAIL);
}

}  // namespace ferry::testing
