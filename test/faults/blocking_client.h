#pragma once

#include <ferry/bytes.h>
#include <ferry/fd.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace ferry::test {

/// A TCP client on a plain blocking socket: for threads and child processes beside the loop.
/// Failures throw std::system_error.
class BlockingClient {
 public:
  explicit BlockingClient(std::uint16_t port);

  void send(BytesView bytes, int flags = 0);
  /// Exactly `size` bytes; fewer if EOF comes first.
  std::string receive(std::size_t size);
  void shutdown_write();
  void close() { fd_.reset(); }
  /// SO_LINGER 0, then close: the other side gets RST.
  void reset();
  int fd() const noexcept { return fd_.get(); }

 private:
  Fd fd_;
};

}  // namespace ferry::test
