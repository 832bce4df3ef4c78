#include "stream_transport.h"

#include "poison.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

namespace ferry {

std::shared_ptr<StreamTransport> StreamTransport::start(EventLoop& loop, StreamStart start) {
  auto transport = std::make_shared<StreamTransport>(loop, start);
  StreamTransport& t = *transport;
  if (t.peername_.empty()) loop.kernel().peer_address(t.fd_, t.peername_);
  std::error_code error;
  t.watch_ = loop.kernel().watch(t.fd_, t, error);
  if (error) throw IoError({error, "watch", t.peername_});
  loop.claim_descriptor(t.fd_);
  loop.call_soon([transport, made = std::move(start.made)]() mutable {
    transport->make_connection(std::move(made));
  });
  // Nothing can fail any more: from here on the loop owns it.
  // The end of a pipe that is written to becomes readable when nobody reads from it any more; of a
  // device that means nothing.
  if (t.ends_.reads || !t.ends_.short_reads) {
    t.watch_->arm(Direction::read, FdWatch::Arm::if_ready);
  }
  t.self_ = transport;
  t.join_clients(std::move(start.clients));
  return transport;
}

StreamTransport::StreamTransport(EventLoop& loop, StreamStart& start)
    : LoopResource(loop, Kind::transport),
      slot_(std::move(start.protocol)),
      ends_(start.ends),
      fd_(start.socket.release()),
      peername_(std::move(start.peer)) {
  eof_wanted_ = eof_sent_ = !ends_.writes;
}

StreamTransport::~StreamTransport() {
  // Only if it never started: the loop lets go of no other one before connection_lost.
  if (fd_ < 0) return;
  watch_.reset();
  loop().release_descriptor(fd_);
  loop().kernel().close(fd_);
}

void StreamTransport::make_connection(Function<void()> made) {
  if (lost()) return;
  {
    Cork cork(*this);
    if (!slot_.connection_made(*this, self_)) {
      fail(make_error_code(errc::protocol_failed), "connection_made");
    }
  }
  if (made) loop().run_callback(made);
  if (readable_ && !ends_.reads) return on_reader_gone();
  if (readable_ && is_reading()) read_later();
}

// -- ending

void StreamTransport::close() {
  if (closing_) return;
  closing_ = true;
  if (sending_file()) end_file(system_error_code(ECONNABORTED));
  if (!corked_ && nothing_queued()) end_soon();
}

void StreamTransport::abort() {
  if (lost()) return;
  closing_ = true;
  aborted_ = true;
  queue_.clear();
  if (piped_) drop_pipe();
  if (corked_) loop().gather_buffer().clear();
  if (sending_file()) end_file(failed() ? error().code : system_error_code(ECONNABORTED));
  end_soon();
}

/// The connection cannot go on: what is queued is dropped, connection_lost will tell why.
void StreamTransport::fail(std::error_code code, const char* operation) {
  if (lost()) return;
  if (!ending_) set_error(code, operation);
  abort();
}

/// connection_lost, from the loop.
void StreamTransport::end_soon() {
  if (ending_) return;
  ending_ = true;
  call_without_fail([transport = self_] { transport->lose(); });
}

void StreamTransport::on_overdue() {
  const auto self = self_;
  if (ending_) return lose();
  if (read_queued_) read_again();
  if (!lost()) resume_after_file();  // it does what is to be done, if anything is
}

void StreamTransport::lose() {
  if (lost()) return;
  const auto self = self_;
  if (!failed() && !aborted_ && ends_.socket && ends_.reads) discard_input();
  if (self.use_count() > 2) sockname();  // somebody may still ask
  // What it writes now is dropped; it must not be called again by way of flow control either.
  closing_ = ending_ = true;
  if (slot_.made()) slot_.connection_lost(*this, error().code);
  queue_.clear();
  if (sending_file()) end_file(error().code);  // the loop closes
  forget_splicing();
  if (rare_) rare_->splice.reset();
  piped_ = false;
  watch_.reset();
  loop().release_descriptor(fd_);
  loop().kernel().close(std::exchange(fd_, -1));
  leave_loop();
  leave_clients();
  slot_.drop();
  self_.reset();
}

/// An orderly end in spite of input that nobody will read: to close a socket that holds unread
/// bytes is to send a reset, which may destroy what the peer has not read yet (RFC 1122, 4.2.2.13).
void StreamTransport::discard_input() {
  if (eof_received_) return;
  watch_.reset();  // from now on "nothing there" is the last word
  Kernel& kernel = loop().kernel();
  if (!eof_sent_) kernel.shutdown(fd_, SHUT_WR);
  MutableBytes buffer;
  try {
    buffer = loop().receive_buffer();
  } catch (const std::bad_alloc&) {
    return;  // nothing was ever read here
  }
  unpoison(buffer);
  for (int i = 0; i < 16; ++i) {
    const IoResult r = kernel.recv(fd_, buffer);
    // After an error there may be more: of a want of memory, say.
    if (r.would_block() || (r.ok() && r.value == 0)) break;
  }
  poison(buffer);
}

void StreamTransport::on_loop_close() {
  if (!closing_) {
    set_error(make_error_code(errc::loop_closed), "close");
    if (loop().debug()) {
      loop().log(LogLevel::warning,
                 report_text([this] { return "unclosed connection to " + peername_.to_string(); }));
    }
  }
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

// -- the protocol and what is known about the connection

const Error& StreamTransport::error() const noexcept {
  static const Error none;
  static const Error no_memory{std::make_error_code(std::errc::not_enough_memory), "allocate", {}};
  if (forgot_error_) return no_memory;
  return failed() ? rare_->error : none;
}

void StreamTransport::set_error(std::error_code code, const char* operation) {
  try {
    rare().error = Error{code, operation, peername_};
  } catch (const std::bad_alloc&) {
    forgot_error_ = true;
  }
}

// Asked for when it is first needed, or else just before the descriptor closes: few ever look.
const Address& StreamTransport::sockname() const noexcept {
  static const Address unknown;
  try {
    std::optional<Address>& name = rare().sockname;
    if (!name) {
      Address asked;
      if (fd_ >= 0) loop().kernel().local_address(fd_, asked);
      name = std::move(asked);
    }
    return *name;
  } catch (const std::bad_alloc&) {
    return unknown;
  }
}

void StreamTransport::set_protocol(std::shared_ptr<Protocol> protocol) {
  if (lost()) return;
  slot_.set(std::move(protocol));
  forget_splicing();
}

}  // namespace ferry
