#pragma once

#include "net_fixture.h"

#include <memory>

namespace ferry::test {

/// NetTest for what goes between a socket and a protocol.
class WrapTest : public NetTest {
 protected:
  /// A transport of one end of a new connection, with `wrap` round its protocol; the test has the
  /// other end. `buffer` as StreamFixture::open has it.
  Link open_wrapped(std::shared_ptr<Protocol> protocol, ProtocolWrap wrap, int buffer = 0);
  /// Calls `step` now and each `interval`, `count` times in all; runs as long. Gives the longest
  /// time from one step to the next, or to the end: `interval`, unless the process stood still.
  Duration repeat(int count, Duration interval, Function<void()> step);
  /// The same as long as `more` holds.
  Duration repeat_while(Function<bool()> more, Duration interval, Function<void()> step);
};

}  // namespace ferry::test
