#include "server_base.h"

#include <stdexcept>
#include <utility>

namespace ferry {

ServerBase::ServerBase(EventLoop& loop)
    : LoopResource(loop, Kind::server), loop_(loop), lifeline_(loop) {}

void ServerBase::start_serving() {
  check_open("start_serving");
  if (state_ == State::serving) return;
  const auto alive = shared_from_this();
  try {
    open_sockets();
  } catch (...) {
    // Half a server is none.
    close();
    throw;
  }
  state_ = State::serving;
}

void ServerBase::close() {
  if (state_ == State::closed) return;
  const auto alive = shared_from_this();
  state_ = State::closed;
  self_.reset();
  leave_loop();
  close_sockets();
  if (forever_.valid()) forever_.cancel("the server was closed");
  finish_if_over();
}

ServerBase::Drain::Drain(ServerBase& server)
    : future(server.loop_), deadline(server.loop_, [this, &server] {
        aborted = server.connections();
        server.abort_clients();
      }) {}

Future<std::size_t> ServerBase::drain(Duration limit) {
  usable_loop();
  const auto alive = shared_from_this();
  const auto drain = std::make_shared<Drain>(*this);
  drain->future.set_cancel_hook([weak = std::weak_ptr(drain)] {
    if (const auto cancelled = weak.lock()) cancelled->deadline.cancel();
  });
  drains_.push_back(drain);  // before `close`, which may take the room that was reserved for it
  close();
  if (!drain->future.done()) drain->deadline.set(limit);
  finish_if_over();
  return drain->future;
}

Future<void> ServerBase::wait_closed() {
  Future<void> future(usable_loop());
  std::erase_if(waiters_, [](const Future<void>& waiter) { return waiter.done(); });
  waiters_.push_back(future);
  finish_if_over();
  return future;
}

Future<void> ServerBase::serve_forever() {
  check_open("serve_forever");
  if (forever_.valid()) throw std::logic_error("serve_forever: it is being called already");
  Future<void> forever(loop_);
  start_serving();
  forever_ = std::move(forever);
  forever_.set_cancel_hook([weak = weak_from_this()] {
    if (const auto server = weak.lock()) server->close();
  });
  return forever_;
}

void ServerBase::check_open(const char* what) const {
  usable_loop();
  if (state_ == State::closed) throw std::logic_error(std::string(what) + ": the server is closed");
}

void ServerBase::finish_if_over() {
  if (state_ != State::closed || !is_over()) return;
  for (Future<void>& waiter : std::exchange(waiters_, {})) waiter.try_set_result();
  for (auto& drain : std::exchange(drains_, {})) {
    drain->deadline.cancel();
    drain->future.try_set_result(drain->aborted);
  }
}

}  // namespace ferry
