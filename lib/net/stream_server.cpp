#include "stream_server.h"

#include "stream_transport.h"

#include <ferry/protocol_layer.h>

#include <sys/socket.h>

#include <array>
#include <stdexcept>
#include <utility>

namespace ferry {
namespace {

/// `clients`, and with its last holder, the connection, goes the ticket. In the pointer's own
/// memory, so that connections without a ticket pay nothing.
std::shared_ptr<ConnectionSet> with_ticket(std::shared_ptr<ConnectionSet> clients,
                                           std::shared_ptr<void> ticket) {
  struct Both {
    std::shared_ptr<ConnectionSet> clients;
    std::shared_ptr<void> ticket;
  };
  ConnectionSet* const set = clients.get();
  return {std::make_shared<Both>(Both{std::move(clients), std::move(ticket)}), set};
}

}  // namespace

std::shared_ptr<StreamServer> StreamServer::make(EventLoop& loop, ServerSettings settings,
                                                 std::vector<BoundSocket> sockets) {
  auto server = std::make_shared<StreamServer>(loop, std::move(settings), std::move(sockets));
  server->self_ = server;
  return server;
}

StreamServer::StreamServer(EventLoop& loop, ServerSettings settings,
                           std::vector<BoundSocket> sockets)
    : LoopResource(loop, Kind::server),
      loop_(loop),
      settings_(std::move(settings)),
      lifeline_(loop) {
  for (BoundSocket& bound : sockets) {
    accept_loops_.push_back(
        std::make_unique<AcceptLoop>(loop, std::move(bound.socket), std::move(bound.address),
                                     settings_.backlog, static_cast<AcceptLoop::Owner&>(*this)));
    files_.push_back(std::move(bound.file));
  }
}

void StreamServer::start_serving() {
  check_open("start_serving");
  if (state_ == State::serving) return;
  const auto alive = shared_from_this();
  try {
    for (auto& accept_loop : accept_loops_) accept_loop->start();
  } catch (...) {
    // Half a server is none.
    close();
    throw;
  }
  state_ = State::serving;
}

void StreamServer::close() {
  if (state_ == State::closed) return;
  const auto alive = shared_from_this();
  state_ = State::closed;
  self_.reset();
  leave_loop();
  for (auto& accept_loop : accept_loops_) accept_loop->close();
  files_.clear();
  if (forever_.valid()) forever_.cancel("the server was closed");
  finish_if_ended();
}

StreamServer::Drain::Drain(StreamServer& server)
    : future(server.loop_), deadline(server.loop_, [this, &server] {
        aborted = server.size();
        server.abort_clients();
      }) {}

Future<std::size_t> StreamServer::drain(Duration limit) {
  usable_loop();
  const auto alive = shared_from_this();
  close();
  const auto drain = std::make_shared<Drain>(*this);
  drain->future.set_cancel_hook([weak = std::weak_ptr(drain)] {
    if (const auto cancelled = weak.lock()) cancelled->deadline.cancel();
  });
  drain->deadline.set(limit);
  drains_.push_back(drain);
  finish_if_ended();
  return drain->future;
}

void StreamServer::close_clients() {
  for (StreamTransport* client = first(); client; client = client->next_client()) {
    const std::shared_ptr<Protocol> protocol = client->get_protocol();
    // A layer that has not begun has nothing to say goodbye with.
    if (ProtocolLayer* layer = client->made() && protocol ? protocol->as_layer() : nullptr) {
      layer->close_top();
    } else {
      client->close();
    }
  }
}

void StreamServer::abort_clients() {
  for (StreamTransport* client = first(); client; client = client->next_client()) client->abort();
}

Future<void> StreamServer::wait_closed() {
  Future<void> future(usable_loop());
  std::erase_if(waiters_, [](const Future<void>& waiter) { return waiter.done(); });
  waiters_.push_back(future);
  finish_if_ended();
  return future;
}

Future<void> StreamServer::serve_forever() {
  check_open("serve_forever");
  if (forever_.valid()) throw std::logic_error("serve_forever: it is being called already");
  start_serving();
  forever_ = Future<void>(loop_);
  forever_.set_cancel_hook([weak = weak_from_this()] {
    if (const auto server = weak.lock()) server->close();
  });
  return forever_;
}

std::vector<Address> StreamServer::sockets() const {
  std::vector<Address> addresses;
  if (state_ == State::closed) return addresses;
  for (const auto& accept_loop : accept_loops_) addresses.push_back(accept_loop->address());
  return addresses;
}

std::vector<int> StreamServer::native_handles() const {
  std::vector<int> handles;
  if (state_ == State::closed) return handles;
  for (const auto& accept_loop : accept_loops_) handles.push_back(accept_loop->native_handle());
  return handles;
}

void StreamServer::on_accepted(Socket socket, const Address& peer) {
  std::shared_ptr<Protocol> protocol;
  try {
    std::shared_ptr<ConnectionSet> clients = shared_from_this();
    if (settings_.gate) {
      Admission admission = settings_.gate->admit(peer);
      if (!admission.admitted) return refuse(std::move(socket), admission.refusal);
      if (admission.ticket) clients = with_ticket(std::move(clients), std::move(admission.ticket));
    }
    protocol = settings_.factory();
    if (protocol && settings_.wrap) protocol = settings_.wrap(std::move(protocol));
    if (!protocol) throw std::logic_error("the protocol factory gave no protocol");
    StreamTransport::start(
        loop_, {std::move(socket), protocol, peer, std::move(clients), /*made=*/nullptr});
  } catch (const LoopExit&) {
    throw;
  } catch (...) {
    // One bad connection in a busy server is no news, unless somebody is looking for it.
    if (!loop_.debug()) return;
    ExceptionContext context;
    context.message = "a connection from " + peer.to_string() + " could not be taken";
    context.exception = std::current_exception();
    context.protocol = protocol.get();
    loop_.call_exception_handler(context);
  }
}

/// To close a socket that holds unread bytes is to send a reset, which may destroy `words` on their
/// way: what has come is discarded before.
void StreamServer::refuse(Socket socket, const std::string& words) {
  if (words.empty()) return;
  Kernel& kernel = loop_.kernel();
  kernel.send(socket.get(), words);
  kernel.shutdown(socket.get(), SHUT_WR);
  std::array<std::byte, 16 * 1024> unwanted;
  for (int i = 0; i < 16; ++i) {
    const IoResult r = kernel.recv(socket.get(), unwanted);
    if (!r.ok() || r.value == 0) break;
  }
}

bool StreamServer::has_room() const noexcept {
  return settings_.max_connections == 0 || size() < settings_.max_connections;
}

void StreamServer::on_connection_left() {
  const auto alive = shared_from_this();
  if (state_ == State::serving && has_room()) {
    for (auto& accept_loop : accept_loops_) accept_loop->resume();
  }
  finish_if_ended();
}

void StreamServer::on_loop_close() {
  close();
}

void StreamServer::check_open(const char* what) const {
  usable_loop();
  if (state_ == State::closed) throw std::logic_error(std::string(what) + ": the server is closed");
}

void StreamServer::finish_if_ended() {
  if (state_ != State::closed || size() != 0) return;
  for (Future<void>& waiter : std::exchange(waiters_, {})) waiter.try_set_result();
  for (auto& drain : std::exchange(drains_, {})) {
    drain->deadline.cancel();
    drain->future.try_set_result(drain->aborted);
  }
}

}  // namespace ferry
