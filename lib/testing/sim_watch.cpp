#include "sim_watch.h"

#include "sim_socket.h"

#include <utility>

namespace ferry::testing {

SimWatch::SimWatch(SimTurns& turns, SimSocket& socket, Listener& listener)
    : turns_(turns), socket_(&socket), fd_(socket.fd), listener_(listener) {
  socket.watch = this;
  // epoll reports what is ready when a descriptor is added; Asio asks about writing later.
  if (ready(Direction::read)) edge(Direction::read);
}

bool SimWatch::ready(Direction direction) noexcept {
  if (direction == Direction::read) return socket_->readable();
  const bool writable = socket_->writable();
  // Who was told "not writable" is told when it is, as by Linux's poll; not only who tried.
  if (!writable) socket_->send_blocked = true;
  return writable;
}

bool SimWatch::drain_pending() const noexcept {
  return socket_->end_pending();
}

void SimWatch::arm(Direction direction, Arm how) {
  Side& side = this->side(direction);
  if (side.queued) return;
  side.armed = true;
  // Asio asks epoll about writing when it is first armed, and then, too, hears what is ready.
  const bool first = direction == Direction::write && !std::exchange(write_known_, true);
  if ((first || how == Arm::if_ready) && ready(direction)) side.edge = true;
  if (side.edge) turns_.list(*this);
}

void SimWatch::disarm(Direction direction) {
  Side& side = this->side(direction);
  side.armed = false;
  side.queued = false;
}

void SimWatch::edge(Direction direction) {
  Side& side = this->side(direction);
  side.edge = true;
  turns_.list(*this);
}

bool SimWatch::has_call(Direction direction) {
  Side& side = this->side(direction);
  if (!socket_ || !side.edge) return false;
  if (!side.armed) {
    // Nobody waits for it. But of a call that is not delivered yet it is a part.
    side.edge = side.queued;
    return false;
  }
  side.edge = ready(direction);
  return side.edge;
}

bool SimWatch::take_edge(Direction direction) {
  Side& side = this->side(direction);
  if (!has_call(direction)) return false;
  side.edge = false;
  side.armed = false;
  side.queued = true;
  return true;
}

bool SimWatch::take_call(Direction direction) {
  return std::exchange(side(direction).queued, false);
}

void SimWatch::close() noexcept {
  socket_->watch = nullptr;
  socket_ = nullptr;
  read_ = write_ = {};
  let_go();
}

void SimWatch::let_go() noexcept {
  if (--holds_ == 0) delete this;
}

}  // namespace ferry::testing
