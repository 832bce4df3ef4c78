#pragma once

#include <ferry/server.h>

namespace ferry {

/// Which silence lasted too long.
enum class Idleness {
  both,   ///< Nothing moved in either direction.
  read,   ///< Nothing was received.
  write,  ///< Nothing was sent.
};

/// For how long a connection may be silent; 0: for ever.
struct IdleLimits {
  Duration both{};   ///< No byte in either direction.
  Duration read{};   ///< No byte received.
  Duration write{};  ///< No byte sent.
  /// Called instead of ending the connection, whose clock starts again: to write a heartbeat, or to
  /// end it in another way. Shared by all connections of one wrap. What it throws goes to the
  /// loop's exception handler.
  Function<void(Transport& transport, Idleness which)> on_idle{};
};

/// Ends connections that are silent for too long: connection_lost(errc::timed_out), what is queued
/// is dropped. Never early; a message costs one reading of the clock.
///
/// A byte counts as sent when it has left the write buffer, so that a peer that does not read runs
/// into `write` and `both`, however much is written to it: at the latest when twice the limit has
/// passed. `read` stands still while the protocol has paused reading, whose own doing the silence
/// is, and after EOF; so does `both` while reading is paused and nothing waits to be sent. After
/// `close` the limits `both` and `write` go on for what is still to be sent.
///
/// Next to the socket it counts TLS's bytes as well, above TLS only the application's
/// (ferry/wraps.h). Throws std::invalid_argument if a limit is negative.
ProtocolWrap idle_limit(IdleLimits limits);
/// IdleLimits::both alone.
ProtocolWrap idle_limit(Duration both);

}  // namespace ferry
