// The part of StreamTransport that sends files by sendfile(2).

#include "file_sender.h"
#include "stream_transport.h"

#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

namespace ferry {

namespace {

/// At a time, so that a fast peer does not keep the loop here (contract C11).
constexpr std::uint64_t kBytesPerTurn = 4 * 1024 * 1024;

}  // namespace

void StreamTransport::send_file(std::unique_ptr<FileSending>& file) {
  if (corked_ && !loop().gather_buffer().empty()) send_gathered();
  StreamRare& room = rare();
  file->result.set_cancel_hook([weak = std::weak_ptr(self_)] {
    const auto transport = weak.lock();
    if (transport && transport->sending_file())
      transport->end_file(make_error_code(errc::cancelled));
  });
  room.file = std::move(file);
  writing_reserved_ = true;
  if (closing_) return end_file(error().code);  // what was gathered could not be sent
  if (nothing_queued()) send_more_of_file();
}

/// As much as the socket takes; for when nothing else waits to be sent.
void StreamTransport::send_more_of_file() {
  Kernel& kernel = loop().kernel();
  for (const std::uint64_t begun = rare_->file->sent; rare_->file->left > 0;) {
    if (rare_->file->sent - begun >= kBytesPerTurn) {
      write_armed_ = true;
      return or_fail("sendfile", [this] { watch_->arm(Direction::write, FdWatch::Arm::if_ready); });
    }
    const auto most = static_cast<std::size_t>(std::min(rare_->file->left, kBytesPerTurn));
    const IoResult r = kernel.send_file(fd_, rare_->file->file->get(), rare_->file->next, most);
    if (r.would_block()) return await_writable();
    if (rare_->file->sent == 0 && refuses_sendfile(r)) return send_file_by_reading();
    if (!r.ok()) return is_connection_error(r) ? fail(r.code(), "sendfile") : end_file(r.code());
    if (r.value == 0) break;  // the end of the file
    rare_->file->advance(r.count());
  }
  end_file({});
}

void StreamTransport::send_file_by_reading() {
  if (!rare_->file->fallback) return end_file(system_error_code(EOPNOTSUPP));
  try {
    FileSender::start(self_, this, rare_->file);
  } catch (const std::bad_alloc&) {
    end_file(std::make_error_code(std::errc::not_enough_memory));
  }
}

/// No callback comes from inside. No code: all is sent.
void StreamTransport::end_file(std::error_code code) {
  const auto file = std::move(rare_->file);
  writing_reserved_ = false;
  file->finish(loop(), code, peername_);
  if (closing_) return;
  if (file->was_reading) resume_reading();
  // resume_writing did not come while the file was sent.
  if (!flow_.paused()) return;
  call_without_fail([transport = self_] { transport->resume_after_file(); });
}

void StreamTransport::resume_after_file() {
  if (!ending_ && !writing_reserved_) resume_if_low();
}

}  // namespace ferry
