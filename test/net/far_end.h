#pragma once

#include "socket_pair.h"

#include <cstddef>
#include <string>

namespace ferry::test {

/// `size` bytes that depend on their position, beginning at position `offset`: a lost, doubled or
/// swapped byte shows.
std::string pattern(std::size_t size, std::size_t offset = 0);

/// A RawPeer that sends and reads apart: it reads only when the test says so.
class FarEnd final : public RawPeer {
 public:
  using RawPeer::RawPeer;

  /// Sends what the kernel takes now; the rest goes with the next `send` or `pump`.
  void send(BytesView bytes);
  std::size_t unsent() const noexcept { return outbox_.size(); }
  /// Reads all that is there and sends what waits to be sent.
  void pump();
  /// Reads at most `most` bytes of what is there, and gives these alone.
  std::string read_some(std::size_t most) { return RawPeer::read(most); }
  /// `pump`, then all that was read since the beginning.
  const std::string& read();
  /// EOF or an error was seen.
  bool ended() const noexcept { return eof() || error(); }

 private:
  std::string outbox_;
};

}  // namespace ferry::test
