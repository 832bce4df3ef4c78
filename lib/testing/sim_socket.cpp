#include "sim_socket.h"

#include "sim_flow.h"
#include "sim_watch.h"

#include <cerrno>

namespace ferry::testing {

bool SimSocket::readable() const noexcept {
  if (is_datagram()) return !datagrams.empty() || shut_read || error != 0;
  switch (state) {
    case State::listening:
      return !pending.empty();
    case State::connecting:
      return false;
    case State::connected:
      return !inbox.empty() || fin_received || shut_read || error != 0;
    case State::fresh:
    case State::dead:
      break;
  }
  return true;  // POLLHUP
}

bool SimSocket::writable() const noexcept {
  if (is_datagram()) return error != 0 || !peer || !peer->full_for(*this);
  switch (state) {
    case State::listening:
    case State::connecting:
      return false;
    case State::connected:
      if (is_pipe()) return !peer || (pipe_end == PipeEnd::write && free_pages() > 0);
      // Linux's hysteresis: a third must be free, or each read of a byte would wake the writer.
      return error != 0 || shut_write || (!peer && !out) || space() >= (capacity() + 2) / 3;
    case State::fresh:
    case State::dead:
      break;
  }
  return true;
}

bool SimSocket::end_pending() const noexcept {
  if (is_datagram()) return error != 0;
  return fin_received || error != 0 || state == State::dead || state == State::fresh;
}

std::size_t SimSocket::space() const noexcept {
  const std::size_t used = (peer ? peer->inbox.size() : 0) + (out ? out->bytes.size() : 0);
  return used < capacity() ? capacity() - used : 0;
}

std::size_t SimSocket::free_pages() const noexcept {
  const std::size_t all = std::max<std::size_t>(capacity() / SimPage::kSize, 1);
  return all - std::min(all, peer->pages.size());
}

void SimSocket::append(std::span<const BytesView> pieces, std::size_t count) {
  for (const BytesView& piece : pieces) {
    const BytesView part = piece.first(count);
    if (!part.empty()) inbox.append(part);
    count -= part.size();
  }
  ++arrivals;
  edge_read();
}

void SimSocket::consume(std::size_t count) noexcept {
  const std::size_t before = inbox.size();
  inbox.consume(count);
  arrivals = (arrivals * inbox.size() + before - 1) / before;
  while (count > 0 && !pages.empty()) {
    const std::size_t part = std::min(count, pages.front().bytes);
    pages.front().bytes -= part;
    if (pages.front().bytes == 0) pages.pop_front();
    count -= part;
  }
}

void SimSocket::unblock() {
  if (!send_blocked || !writable()) return;
  send_blocked = false;
  edge_write();
}

void SimSocket::edge_read() {
  if (watch) watch->edge(Direction::read);
}

void SimSocket::edge_write() {
  if (watch) watch->edge(Direction::write);
}

void SimSocket::wake_senders() {
  for (SimSocket* sender : senders) {
    if (!sender->send_blocked || !sender->writable()) continue;
    sender->send_blocked = false;
    sender->edge_write();
  }
}

void SimSocket::reset() {
  error = fin_received && !is_unix() ? EPIPE : ECONNRESET;
  if (is_unix()) {
    fin_received = true;
  } else {
    state = State::dead;
  }
  edge_read();
  edge_write();
}

bool SimSocket::is_over() const noexcept {
  if (is_unix() || is_datagram() || state != State::connected || !shut_write || !fin_received)
    return false;
  // A FIN waits behind what has no place yet.
  return inbox.size() <= receive_size && (!peer || peer->inbox.size() <= peer->receive_size) &&
         (!out || out->segments.empty());
}

void SimSocket::drop_unsent() {
  if (is_unix() || inbox.size() <= receive_size) return;
  inbox = Buffer(inbox.view().first(receive_size));
  fin_received = false;
}

}  // namespace ferry::testing
