#include "sim_sockets.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

namespace ferry::testing {
namespace {

constexpr unsigned kSynRetries = 6;  // tcp_syn_retries, tcp(7)

bool full(const SimSocket& listener) {
  return listener.pending.size() > listener.backlog;  // one more than asked for, as Linux
}

}  // namespace

IoResult SimSockets::bind(SimSocket& socket, const Address& address) {
  if (socket.named || socket.state != State::fresh) return fail(EINVAL);
  if (address.family() != socket.family) return fail(socket.is_unix() ? EINVAL : EAFNOSUPPORT);
  const int error = names_.take(socket, address, wires_.now());
  return error ? fail(error) : done();
}

IoResult SimSockets::listen(SimSocket& socket, int backlog) {
  if (socket.is_datagram()) return fail(EOPNOTSUPP);
  if (socket.state != State::fresh && socket.state != State::listening) return fail(EINVAL);
  if (socket.refused) return fail(EINVAL);
  if (!socket.named) {
    if (socket.is_unix()) return fail(EINVAL);
    const Address any = *Address::ip(socket.family == AF_INET ? "0.0.0.0" : "::", 0);
    if (const int error = names_.take(socket, any, wires_.now())) return fail(error);
  }
  if (const int error = names_.may_listen(socket)) return fail(error);
  socket.state = State::listening;
  socket.backlog = backlog < 0 ? SOMAXCONN : static_cast<std::size_t>(std::min(backlog, SOMAXCONN));
  return done();
}

IoResult SimSockets::accept(SimSocket& socket, Address& peer) {
  // Linux takes the descriptor first, also if nobody waits.
  if (open_ >= options_.descriptor_limit) return fail(EMFILE);
  if (socket.is_datagram()) return fail(EOPNOTSUPP);
  if (socket.state != State::listening) return fail(EINVAL);
  if (socket.pending.empty()) return fail(EAGAIN);
  auto accepted = std::move(socket.pending.front());
  socket.pending.pop_front();
  peer = accepted->remote;
  return {.value = enter(std::move(accepted))};
}

IoResult SimSockets::connect(SimSocket& socket, const Address& address) {
  if (socket.is_datagram()) return connect_datagram(socket, address);
  if (socket.state == State::connecting) return fail(EALREADY);
  if (std::exchange(socket.refused, false)) {
    const int error = std::exchange(socket.error, 0);
    return fail(error ? error : ECONNABORTED);
  }
  if (socket.state != State::fresh) return fail(EISCONN);
  if (address.family() != socket.family) return fail(socket.is_unix() ? EINVAL : EAFNOSUPPORT);
  return socket.is_unix() ? connect_unix(socket, address) : connect_tcp(socket, address);
}

IoResult SimSockets::connect_unix(SimSocket& socket, const Address& address) {
  SimSocket* listener = names_.find_unix(address);
  if (!listener) return fail(names_.absent(address));
  if (listener->is_datagram()) return fail(EPROTOTYPE);
  if (listener->state != State::listening || listener->shut_read) return fail(ECONNREFUSED);
  if (full(*listener)) return fail(EAGAIN);
  if (!socket.named) socket.local = Address::unix_path("");
  socket.remote = address;
  establish(*listener, socket);
  return done();
}

IoResult SimSockets::connect_tcp(SimSocket& socket, const Address& address) {
  const Address to = unmapped(address);
  if (const int error = out_of_reach(socket, to)) return fail(error);
  const SimPlace place = place_of(to);
  if (place == SimPlace::nowhere) return fail(ENETUNREACH);
  const Address home = seen_by(socket.family, loopback_of(to.family()));
  if (!socket.named) {
    if (const int error = names_.take_any(socket, home)) return fail(error);
  } else if (is_wildcard(unmapped(socket.local))) {
    socket.local = home.with_port(socket.local.port());
  }
  socket.remote = is_wildcard(to) ? home.with_port(to.port()) : address;
  socket.state = State::connecting;
  if (place == SimPlace::here) {
    const TimePoint now = wires_.now();
    Attempt attempt{&socket, unmapped(socket.local), unmapped(socket.remote), now, now};
    if (wires_.active()) attempt.due += wires_.round_trip(attempt.from, attempt.to);
    connecting_.push_back(std::move(attempt));
  }
  return fail(EINPROGRESS);
}

void SimSockets::settle() {
  if (connecting_.empty()) return;
  for (Attempt& attempt : std::exchange(connecting_, {})) {
    if (!get_on(attempt)) connecting_.push_back(std::move(attempt));
  }
}

bool SimSockets::get_on(Attempt& attempt) {
  SimSocket& socket = *attempt.socket;
  if (!answered(attempt)) return socket.state != State::connecting;
  SimSocket* listener = names_.listener(attempt.to, attempt.from);
  if (listener && full(*listener)) {
    try_again(attempt);
    return false;
  }
  if (listener) {
    establish(*listener, socket);
  } else {
    fail_connect(socket, ECONNREFUSED);
  }
  return true;
}

bool SimSockets::answered(Attempt& attempt) {
  SimSocket& socket = *attempt.socket;
  if (wires_.now() < attempt.due) return false;
  if (attempt.tries > kSynRetries) {
    fail_connect(socket, ETIMEDOUT);
    return false;
  }
  if (!wires_.active()) return true;
  if (wires_.between(attempt.from, attempt.to, SimWires::Trouble::partition)) {
    wires_.note_stopped();
    try_again(attempt);
    return false;
  }
  return !wires_.between(attempt.from, attempt.to, SimWires::Trouble::stall);
}

void SimSockets::try_again(Attempt& attempt) {
  do {
    ++attempt.tries;
    attempt.due = attempt.began + std::chrono::seconds((1 << attempt.tries) - 1);
  } while (attempt.due <= wires_.now() && attempt.tries <= kSynRetries);
  if (attempt.tries <= kSynRetries && wires_.active()) {
    attempt.due += wires_.round_trip(attempt.from, attempt.to);
  }
  // A clock that jumped may be beyond all of them.
  attempt.due = std::max(attempt.due, wires_.now() + std::chrono::nanoseconds(1));
}

TimePoint SimSockets::next_connect() const noexcept {
  TimePoint next = TimePoint::max();
  for (const Attempt& attempt : connecting_) {
    // What is due already waits for something else.
    if (attempt.due > wires_.now()) next = std::min(next, attempt.due);
  }
  return next;
}

void SimSockets::fail_connect(SimSocket& socket, int error) {
  socket.state = State::fresh;
  socket.refused = true;
  socket.error = error;
  socket.edge_read();
  socket.edge_write();
}

void SimSockets::establish(SimSocket& listener, SimSocket& client) {
  auto server = make(listener.family);
  server->state = client.state = State::connected;
  server->options = listener.options;
  server->send_size = listener.send_size;
  server->receive_size = listener.receive_size;
  server->local = seen_by(listener.family, client.remote);
  server->remote = seen_by(listener.family, client.local);
  server->accepted = true;
  server->peer = &client;
  client.peer = server.get();
  if (!client.is_unix()) names_.share(*server);
  if (wires_.active() && !client.is_unix()) wires_.join(client, *server);
  listener.pending.push_back(std::move(server));
  client.edge_write();
  listener.edge_read();
}

}  // namespace ferry::testing
