#pragma once

#include <ferry/server.h>

#include <cstddef>

namespace ferry {

/// So many bytes a second, and after a rest up to `burst` at once (a token bucket): in any time t,
/// at most burst + t * bytes_per_second.
struct Rate {
  std::size_t bytes_per_second = 0;  ///< 0: no limit.
  std::size_t burst = 0;             ///< 0: what flows in a tenth of a second, at least 1.
};

struct RateLimits {
  Rate read{};
  Rate write{};
  /// How long `close` may wait for bytes to go without any going. More than the rate needs.
  Duration flush_timeout = std::chrono::seconds(30);
};

/// Slows connections down, each to these rates. Reading: no more is read than may be, so that the
/// peer is held back by TCP. Writing: what may not go yet waits here, as part of the write buffer,
/// whose size, limits and pause_writing are as without; `close` and `write_eof` come after it,
/// `abort` drops it. If flushing after `close` stands still, connection_lost(errc::timed_out).
///
/// Best next to the socket, below TLS (ferry/wraps.h): above it the end of the peer's session takes
/// what still waits here with it. Throws std::invalid_argument if flush_timeout is not positive.
ProtocolWrap rate_limit(RateLimits limits);
/// The same for all connections of this wrap and its copies together, which must be of this loop.
/// They take turns. With both, `stacked({shared_rate_limit(loop, all), rate_limit(each)})`.
ProtocolWrap shared_rate_limit(EventLoop& loop, RateLimits limits);

}  // namespace ferry
