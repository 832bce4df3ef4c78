#include "stream_transport.h"

#include <sys/socket.h>

#include <utility>

namespace ferry {

std::shared_ptr<StreamTransport> StreamTransport::start(EventLoop& loop, StreamStart start) {
  auto transport = std::make_shared<StreamTransport>(loop, start);
  StreamTransport& t = *transport;
  std::error_code error;
  t.watch_ = loop.kernel().watch(t.socket_.get(), t, error);
  if (error) throw IoError({error, "watch", t.peername_});
  t.watch_->arm(Direction::read, FdWatch::Arm::if_ready);
  loop.claim_descriptor(t.socket_.get());
  t.self_ = transport;
  t.join_clients(std::move(start.clients));
  loop.call_soon([transport, made = std::move(start.made)]() mutable {
    transport->make_connection(std::move(made));
  });
  return transport;
}

StreamTransport::StreamTransport(EventLoop& loop, StreamStart& start)
    : LoopResource(loop, Kind::transport),
      slot_(*this, std::move(start.protocol)),
      socket_(std::move(start.socket)),
      peername_(std::move(start.peer)) {
  loop.kernel().local_address(socket_.get(), sockname_);
  if (peername_.empty()) loop.kernel().peer_address(socket_.get(), peername_);
}

StreamTransport::~StreamTransport() = default;

void StreamTransport::make_connection(Function<void()> made) {
  if (lost_) return;
  {
    Cork cork(*this);
    if (!slot_.connection_made(shared_from_this())) {
      fail(make_error_code(errc::protocol_failed), "connection_made");
    }
  }
  if (made) loop().run_callback(made);
  if (readable_ && is_reading()) read_later(drain_);
}

// -- ending

void StreamTransport::close() {
  if (closing_) return;
  closing_ = true;
  if (!corked_ && queue_.empty()) end_soon();
}

void StreamTransport::abort() {
  if (lost_) return;
  closing_ = true;
  aborted_ = true;
  queue_.clear();
  if (corked_) loop().gather_buffer().clear();
  end_soon();
}

/// The connection cannot go on: what is queued is dropped, connection_lost will tell why.
void StreamTransport::fail(std::error_code code, const char* operation) {
  if (lost_) return;
  if (!ending_) error_ = {code, operation, peername_};
  abort();
}

/// connection_lost, from the loop.
void StreamTransport::end_soon() {
  if (std::exchange(ending_, true)) return;
  loop().call_soon([transport = shared_from_this()] { transport->lose(); });
}

void StreamTransport::lose() {
  if (lost_) return;
  const auto self = shared_from_this();
  if (!error_ && !aborted_) discard_input();
  // What it writes now is dropped; it must not be called again by way of flow control either.
  closing_ = ending_ = true;
  if (slot_.made()) slot_.connection_lost(error_.code);
  lost_ = true;
  queue_.clear();
  watch_.reset();
  loop().release_descriptor(socket_.get());
  socket_.reset();
  leave_loop();
  leave_clients();
  slot_.drop();
  self_.reset();
}

/// An orderly end in spite of input that nobody will read: to close a socket that holds unread bytes
/// is to send a reset, which may destroy what the peer has not read yet (RFC 1122, 4.2.2.13).
void StreamTransport::discard_input() {
  if (eof_received_) return;
  Kernel& kernel = loop().kernel();
  if (!eof_sent_) kernel.shutdown(socket_.get(), SHUT_WR);
  const MutableBytes buffer = loop().receive_buffer();
  for (int i = 0; i < 16; ++i) {
    const IoResult r = kernel.recv(socket_.get(), buffer);
    if (!r.ok() || r.value == 0) break;
  }
}

void StreamTransport::on_loop_close() {
  if (!closing_) error_ = {make_error_code(errc::loop_closed), "close", peername_};
  aborted_ = true;
  lose();
}

// -- the server's list

void StreamTransport::join_clients(std::shared_ptr<ConnectionSet> clients) noexcept {
  if (!clients) return;
  clients_ = std::move(clients);
  next_client_ = clients_->first_;
  if (next_client_) next_client_->client_link_ = &next_client_;
  client_link_ = &clients_->first_;
  clients_->first_ = this;
  ++clients_->size_;
}

void StreamTransport::leave_clients() {
  if (!clients_) return;
  *client_link_ = next_client_;
  if (next_client_) next_client_->client_link_ = client_link_;
  next_client_ = nullptr;
  --clients_->size_;
  const auto clients = std::move(clients_);
  loop().run_callback([&] { clients->on_connection_left(); });
}

// -- the protocol

void StreamTransport::set_protocol(std::shared_ptr<Protocol> protocol) {
  if (!lost_) slot_.set(std::move(protocol));
}

}  // namespace ferry
