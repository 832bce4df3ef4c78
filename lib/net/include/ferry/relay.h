#pragma once

#include <ferry/transport.h>

#include <cstdint>

namespace ferry {

/// Bytes that a relay passed on: read from one side and written to the other.
struct RelayTraffic {
  std::uint64_t a_to_b = 0;
  std::uint64_t b_to_a = 0;
};

/// Whether a relay lets the kernel move the bytes, by way of a pipe (splice(2)), instead of reading
/// and writing them. It can where both transports are plain sockets with nothing in between (TCP
/// and unix, no TLS). What cannot be spliced is copied.
enum class Splice {
  automatic,  ///< While a direction moves much at a time; small reads are cheaper to copy.
  never,
  always,
};

/// Time limits of a relay, of which zero switches one off, and where to count.
struct RelayOptions {
  /// No byte came in or went out on either side for so long: both are aborted, errc::timed_out.
  Duration idle = std::chrono::minutes(10);
  /// One direction has ended, the other one is silent, and nothing queued has gone out for so long:
  /// both are closed, errc::timed_out.
  Duration half_close_linger = std::chrono::minutes(2);
  /// Both directions have ended, or one side is lost, and the other still has not taken what is
  /// queued for it after so long: aborted.
  Duration drain = std::chrono::seconds(30);
  /// Counted up while bytes pass, so several relays may share one; must outlive them. May be null.
  RelayTraffic* traffic = nullptr;
  Splice splice = Splice::automatic;
};

struct RelayResult {
  std::uint64_t a_to_b = 0;  ///< Bytes read from a and written to b.
  std::uint64_t b_to_a = 0;
  /// Empty if both sides ended in an orderly way, else the first thing that went wrong.
  Error error;
};

/// Joins two connections: what one sends, the other gets, with back-pressure both ways; the end of
/// one direction is passed on (write_eof) while the other goes on. Takes both protocols' places, so
/// it may be called from any of their callbacks. Done when both transports are lost; cancelling
/// the future aborts both.
/// Reading that is paused goes on. Bytes that a protocol had received before must be written by the
/// caller first; and neither may have had its eof_received, which comes but once: pause reading
/// until the relay begins. Throws std::invalid_argument if the two are one, or of two loops.
Future<RelayResult> relay(std::shared_ptr<Transport> a, std::shared_ptr<Transport> b,
                          RelayOptions options = {});

}  // namespace ferry
