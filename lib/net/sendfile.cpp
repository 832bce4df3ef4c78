#include <ferry/sendfile.h>

#include "file_sender.h"
#include "file_sending.h"
#include "io_failure.h"
#include "stream_transport.h"

#include <algorithm>
#include <cerrno>
#include <limits>
#include <new>
#include <stdexcept>
#include <utility>

namespace ferry {

bool refuses_sendfile(const IoResult& result) noexcept {
  return result.error == EINVAL || result.error == ENOSYS || result.error == EOPNOTSUPP;
}

bool is_connection_error(const IoResult& result) noexcept {
  switch (result.error) {
    case EPIPE:
    case ECONNRESET:
    case ECONNABORTED:
    case ENOTCONN:
    case ESHUTDOWN:
    case ETIMEDOUT:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
      return true;
    default:
      return false;
  }
}

void FileSending::finish(EventLoop& loop, std::error_code code, const Address& peer) const {
  const IoResult sought = loop.kernel().seek(file->get(), next);
  if (!code && !sought.ok()) code = sought.code();
  // A loop that closes leaves its futures as they are.
  if (result.done() || code == make_error_code(errc::loop_closed)) return;
  if (code) {
    set_io_error(result, code, "sendfile", peer);
  } else {
    result.set_result(sent);
  }
}

Future<std::uint64_t> sendfile(const std::shared_ptr<Transport>& transport, int file,
                               std::uint64_t offset, std::optional<std::uint64_t> count,
                               bool fallback) {
  constexpr std::uint64_t most = std::numeric_limits<std::int64_t>::max();
  if (!transport) throw std::invalid_argument("sendfile: the transport is null");
  if (count && *count == 0) throw std::invalid_argument("sendfile: the count is zero");
  if (offset > most) throw std::invalid_argument("sendfile: the offset is too large");
  if (transport->is_closing()) throw std::logic_error("sendfile: the connection is closing");
  auto* const plain = dynamic_cast<StreamTransport*>(transport.get());
  if (plain && plain->eof_wanted()) throw std::logic_error("sendfile after write_eof");
  if (plain ? plain->writing_reserved() : FileSender::is_at_work(*transport)) {
    throw std::logic_error("sendfile: another one is in progress");
  }

  EventLoop& loop = transport->loop();
  auto sending = std::make_unique<FileSending>();
  sending->result = loop.create_future<std::uint64_t>();
  const Future<std::uint64_t> result = sending->result;
  const IoResult copy = loop.kernel().duplicate(file);
  if (!copy.ok() || (!plain && !fallback)) {
    if (copy.ok()) loop.kernel().close(copy.fd());
    const std::error_code code = copy.ok() ? system_error_code(EOPNOTSUPP) : copy.code();
    set_io_error(result, code, "sendfile", transport->peername());
    return result;
  }
  Fd owned(copy.fd());
  sending->file = std::make_shared<Fd>(std::move(owned));
  sending->next = offset;
  sending->left = std::min(count.value_or(most), most - offset);
  sending->fallback = fallback;
  sending->was_reading = transport->is_reading();
  transport->pause_reading();
  try {
    if (plain) {
      plain->send_file(sending);
    } else {
      FileSender::start(transport, nullptr, sending);
    }
  } catch (const std::bad_alloc&) {
    if (!sending) throw;
    sending->finish(loop, std::make_error_code(std::errc::not_enough_memory),
                    transport->peername());
    if (sending->was_reading) transport->resume_reading();
  }
  return result;
}

}  // namespace ferry
