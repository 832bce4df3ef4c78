#include "file_sender.h"

#include "stream_transport.h"

#include <algorithm>
#include <cerrno>
#include <new>
#include <stdexcept>
#include <utility>

namespace ferry {

namespace {

constexpr std::size_t kLeastChunk = 4 * 1024;
constexpr std::size_t kMostChunk = 256 * 1024;

}  // namespace

void FileSender::start(std::shared_ptr<Transport> transport, StreamTransport* plain,
                       std::unique_ptr<FileSending>& sending) {
  const auto sender = std::make_shared<FileSender>(transport, plain);
  sending->result.set_cancel_hook([weak = std::weak_ptr(sender)] {
    const auto alive = weak.lock();
    if (!alive) return;
    alive->finish(make_error_code(errc::cancelled));
    // No callback from inside `cancel`.
    try {
      alive->transport_->loop().call_soon([alive] { alive->restore(); });
    } catch (const std::bad_alloc&) {
      alive->restore();  // better so than never
    }
  });
  transport->set_protocol(sender);
  sender->sending_ = std::move(sending);
  sender->read();
}

bool FileSender::is_at_work(const Transport& transport) {
  const auto protocol = transport.get_protocol();
  const auto* sender = dynamic_cast<const FileSender*>(protocol.get());
  return sender && sender->sending_;
}

FileSender::FileSender(std::shared_ptr<Transport> transport, StreamTransport* plain)
    : transport_(std::move(transport)), plain_(plain), owner_(transport_->get_protocol()) {
  const std::size_t size =
      std::clamp(transport_->get_write_buffer_limits().high, kLeastChunk, kMostChunk);
  chunk_ = std::make_shared<std::vector<std::byte>>(size);
}

FileSender::~FileSender() {
  // If one is at work, another protocol has taken its place: nobody would say when to go on.
  finish(make_error_code(errc::protocol_failed));
}

// -- what the transport says

void FileSender::connection_lost(std::error_code error) {
  const auto alive = shared_from_this();
  finish(error ? error : system_error_code(ECONNABORTED));
  owner_->connection_lost(error);
}

void FileSender::pause_writing() {
  if (!owner_paused_) owner_paused_ = false;
  paused_ = true;
  if (!sending_) tell_owner();
}

void FileSender::resume_writing() {
  if (!owner_paused_) owner_paused_ = true;
  paused_ = false;
  if (!sending_) return tell_owner();
  // In a turn of its own: what is written inside a callback is gathered, and its size says nothing.
  transport_->loop().call_soon([sender = shared_from_this()] { sender->go_on(); });
}

// -- chunk by chunk

void FileSender::go_on() {
  if (!sending_ || paused_ || reading_.valid()) return;
  if (transport_->is_closing()) {
    const std::error_code code = transport_->error().code;
    return end(code ? code : system_error_code(ECONNABORTED));
  }
  if (transport_->get_protocol().get() != this) return end(make_error_code(errc::protocol_failed));
  if (sending_->left == 0) return end({});
  read();
}

void FileSender::read() {
  const auto most =
      static_cast<std::size_t>(std::min<std::uint64_t>(sending_->left, chunk_->size()));
  try {
    reading_ = transport_->loop().run_in_executor(
        nullptr, [file = sending_->file, offset = sending_->next, chunk = chunk_, most] {
          return read_file(file->get(), offset, MutableBytes(*chunk).first(most));
        });
    reading_.add_done_callback([sender = shared_from_this()](Future<IoResult> done) {
      sender->reading_ = {};
      if (!sender->sending_) return;
      sender->take(done.cancelled() || done.exception() ? IoResult{-1, ECANCELED} : done.result());
    });
  } catch (const std::bad_alloc&) {
    end(std::make_error_code(std::errc::not_enough_memory));
  } catch (const std::exception&) {  // the executor takes no more jobs
    end(make_error_code(errc::cancelled));
  }
}

void FileSender::take(const IoResult& read) {
  if (!read.ok()) return end(read.code());
  if (read.value == 0) {  // the end of the file, sooner than asked for
    sending_->left = 0;
  } else if (!transport_->is_closing()) {
    write(BytesView(chunk_->data(), read.count()));
  }
  go_on();
}

void FileSender::write(BytesView bytes) {
  sending_->advance(bytes.size());
  if (plain_) plain_->reserve_writing(false);
  const auto alive = shared_from_this();
  try {
    transport_->write(bytes);
  } catch (const std::logic_error&) {  // the program has ended writing
    return end(system_error_code(ESHUTDOWN));
  }
  if (!sending_) return;
  if (plain_) plain_->reserve_writing(true);
  // Without a word from the transport, if it had paused its protocol before we came.
  if (transport_->get_write_buffer_size() > transport_->get_write_buffer_limits().high) {
    paused_ = true;
  }
}

// -- the end

void FileSender::end(std::error_code code) {
  const auto alive = shared_from_this();
  finish(code);
  restore();
}

void FileSender::finish(std::error_code code) {
  const auto sending = std::move(sending_);
  if (!sending) return;
  if (reading_.valid()) reading_.cancel();
  if (plain_) plain_->reserve_writing(false);
  sending->finish(transport_->loop(), code, transport_->peername());
  if (sending->was_reading) transport_->resume_reading();
}

/// Gives the owner its place back, and tells it what it has missed.
void FileSender::restore() {
  if (transport_->get_protocol().get() != this) return;
  // Of a pause that the owner has not heard of it is not to hear the end either: so this stays.
  if (transport_->is_closing()) return;
  const auto alive = shared_from_this();
  transport_->set_protocol(owner_);
  if (auto* const before = dynamic_cast<FileSender*>(owner_.get())) before->restore();
  bool returned = false;
  transport_->loop().run_callback([&] {
    tell_owner();
    returned = true;
  });
  if (!returned) transport_->abort();
}

void FileSender::tell_owner() {
  if (!owner_paused_ || *owner_paused_ == paused_) return;
  owner_paused_ = paused_;
  if (paused_) {
    owner_->pause_writing();
  } else {
    owner_->resume_writing();
  }
}

}  // namespace ferry
