#include "wrap_fixture.h"

#include <utility>

namespace ferry::test {

Link WrapTest::open_wrapped(std::shared_ptr<Protocol> protocol, ProtocolWrap wrap, int buffer) {
  ConnectedSockets sockets = connect_sockets(buffer);
  auto connected = connect_accepted_socket(
      loop(), [protocol = std::move(protocol)] { return protocol; }, sockets.near, std::move(wrap));
  return {wait(std::move(connected)).transport, std::move(sockets.far)};
}

void WrapTest::repeat(int count, Duration interval, Function<void()> step) {
  for (int i = 0; i < count; ++i) {
    step();
    run_for(interval);
  }
}

}  // namespace ferry::test
