#pragma once

#include <ferry/event_loop.h>
#include <ferry/fd.h>

#include <cstdint>
#include <memory>

namespace ferry {

/// A part of a file that is on its way to a transport: how far it is, and who waits for the end.
struct FileSending {
  std::shared_ptr<Fd> file;  ///< A copy of the caller's; jobs of the thread pool hold it too.
  std::uint64_t next = 0;    ///< The offset of the next byte to send.
  std::uint64_t left = 0;
  std::uint64_t sent = 0;
  bool fallback = true;
  bool was_reading = false;  ///< The transport, before.
  Future<std::uint64_t> result;

  void advance(std::size_t bytes) noexcept {
    next += bytes;
    left -= bytes;
    sent += bytes;
  }
  /// Sets the file's position, and completes the future unless it is done. No code: all is sent.
  void finish(EventLoop& loop, std::error_code code, const Address& peer) const;
};

/// True for what sendfile(2) says of files and descriptors that it is not made for.
bool refuses_sendfile(const IoResult& result) noexcept;
/// True if a failure of sendfile(2) is the connection's, else it is the file's.
bool is_connection_error(const IoResult& result) noexcept;

}  // namespace ferry
