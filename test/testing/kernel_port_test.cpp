// How long connections hold the port of a listener that is closed, in both worlds.

#include "kernel_suite.h"

#include <sys/socket.h>

#include <cerrno>
#include <chrono>

namespace ferry::test {
namespace {

using namespace std::chrono_literals;

class KernelPort : public KernelTest {
 protected:
  Socket open() {
    const IoResult made = kernel().socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_TRUE(made.ok()) << made.code().message();
    return Socket(kernel(), made.fd());
  }
  /// A connection whose listener is closed again.
  struct Restart {
    Address at;
    RawPeer client;
    RawPeer server;
  };
  Restart serve(bool reuse_address) {
    Socket listener = open();
    set(listener, SOL_SOCKET, SO_REUSEADDR, reuse_address);
    EXPECT_TRUE(kernel().bind(listener.get(), Address::loopback(0)).ok());
    EXPECT_TRUE(kernel().listen(listener.get(), 5).ok());
    Restart restart{name_of(listener), RawPeer::connect(kernel(), name_of(listener)), {}};
    Address peer;
    run_until([&] {
      const IoResult accepted = kernel().accept(listener.get(), peer);
      if (accepted.ok()) restart.server = RawPeer(kernel(), Socket(kernel(), accepted.fd()));
      return restart.server && restart.client.connected();
    });
    return restart;
  }
  struct Binds {
    bool plain;
    bool reusing;
  };
  /// Whether a socket without SO_REUSEADDR, and one with it, gets that address.
  void expect_binds(const Address& at, Binds expected) {
    for (const bool reuse : {false, true}) {
      const Socket socket = open();
      set(socket, SOL_SOCKET, SO_REUSEADDR, reuse);
      const IoResult bound = kernel().bind(socket.get(), at);
      EXPECT_EQ(bound.ok(), reuse ? expected.reusing : expected.plain) << "reusing: " << reuse;
      EXPECT_EQ(bound.error, bound.ok() ? 0 : EADDRINUSE);
    }
  }
};

TEST_P(KernelPort, AcceptedConnectionsHoldTheirPort) {
  for (const bool reuse : {false, true}) {
    SCOPED_TRACE(reuse);
    Restart restart = serve(reuse);
    expect_binds(restart.at, {.plain = false, .reusing = reuse});
    const Socket elsewhere = open();
    EXPECT_TRUE(kernel().bind(elsewhere.get(), *Address::ip("127.0.0.2", restart.at.port())).ok());
    // Whoever closes second waits for nothing.
    restart.client.close();
    expect_binds(restart.at, {.plain = false, .reusing = reuse});
    restart.server.close();
    expect_binds(restart.at, {.plain = true, .reusing = true});
  }
}

TEST_P(KernelPort, AnActiveCloseHoldsThePortForAMinute) {
  for (const bool reuse : {false, true}) {
    SCOPED_TRACE(reuse);
    Restart restart = serve(reuse);
    restart.server.close();
    expect_binds(restart.at, {.plain = false, .reusing = reuse});
    restart.client.close();
    expect_binds(restart.at, {.plain = false, .reusing = reuse});
    if (!simulated()) continue;
    sim().advance(59s);
    expect_binds(restart.at, {.plain = false, .reusing = reuse});
    sim().advance(1s);
    expect_binds(restart.at, {.plain = true, .reusing = true});
  }
}

TEST_P(KernelPort, AResetConnectionHoldsNoPort) {
  Restart restart = serve(false);
  restart.client.write("never read");
  run_until([&] {
    std::byte byte{};
    return kernel().recv(restart.server.fd(), {&byte, 1}).ok();
  });
  restart.server.close();  // with unread input
  expect_binds(restart.at, {.plain = true, .reusing = true});
}

INSTANTIATE_TEST_SUITE_P(Worlds, KernelPort, ::testing::ValuesIn(kWorlds), world_name);

}  // namespace
}  // namespace ferry::test
