#include "wrap_fixture.h"

#include <algorithm>
#include <utility>

namespace ferry::test {

Link WrapTest::open_wrapped(std::shared_ptr<Protocol> protocol, ProtocolWrap wrap, int buffer) {
  ConnectedSockets sockets = connect_sockets(buffer);
  auto connected = connect_accepted_socket(
      loop(), [protocol = std::move(protocol)] { return protocol; }, sockets.near, std::move(wrap));
  return {wait(std::move(connected)).transport, std::move(sockets.far)};
}

Duration WrapTest::repeat(int count, Duration interval, Function<void()> step) {
  return repeat_while([&count] { return count-- > 0; }, interval, std::move(step));
}

Duration WrapTest::repeat_while(Function<bool()> more, Duration interval, Function<void()> step) {
  Duration longest = Duration::zero();
  while (more()) {
    const TimePoint begin = loop().time();
    step();
    run_for(interval);
    longest = std::max(longest, loop().time() - begin);
  }
  return longest;
}

}  // namespace ferry::test
