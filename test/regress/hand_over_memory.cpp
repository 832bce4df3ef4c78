// Sockets that go from server to server while there is no memory.
#include "counting_new.h"
#include "socket_pair.h"
#include "world.h"

#include <ferry/listeners.h>
#include <ferry/server.h>

#include <new>

namespace ferry::test {

namespace {

class HandOverMemory : public LoopFixture {
 protected:
  World world() const override { return World::asio; }
};

}  // namespace

// The servers had been closed when there was no memory for the answer: then nobody served, and
// nobody was told.
TEST_F(HandOverMemory, TheOldServerGoesOnOrIsToldThatItsSocketsAreTaken) {
  for (std::size_t failing = 0;; ++failing) {
    SCOPED_TRACE(failing);
    ListenOptions listening;
    listening.hosts = {"127.0.0.1"};
    const auto creating = create_server(
        loop(), [] { return std::make_shared<Protocol>(); }, std::move(listening));
    run_until([&] { return creating.done(); });
    const auto server = creating.result();
    HandOverOptions options;
    options.path = unused_unix_address().path();
    options.servers = {{"web", server}};
    const std::string path = options.path;
    const auto offered = hand_over_listeners(loop(), std::move(options));
    const auto taking = take_over_listeners(loop(), path);
    run_until([&] { return taking.done(); });
    TakenListeners taken = std::move(taking.result());
    const auto confirmed = taken.confirm();
    fail_allocation(failing);
    for (int turn = 0; turn < 5; ++turn) {
      loop().stop();
      loop().run_forever();
    }
    const bool failed = allocation_failed();
    fail_no_allocation();
    run_until([&] { return confirmed.done(); });
    tick(5);
    EXPECT_EQ(server->is_serving(), !offered.done());
    EXPECT_EQ(offered.done(), !confirmed.exception());
    offered.cancel();
    server->close();
    take_log();
    take_exceptions();
    if (!failed) break;
  }
}

// A socket that had been taken out was nobody's when there was no room for its number.
TEST_F(HandOverMemory, ASocketThatCannotBeTakenOutIsClosed) {
  const std::size_t before = open_descriptors();
  {
    const IoResult made = loop().kernel().socket(AF_INET, SOCK_STREAM, 0);
    std::vector<NamedListener> listeners;
    listeners.push_back({"web", Fd(made.fd())});
    fail_allocation(0);
    EXPECT_THROW(static_cast<void>(take_listeners(listeners, "web")), std::bad_alloc);
    fail_no_allocation();
  }
  EXPECT_EQ(open_descriptors(), before);
}

}  // namespace ferry::test
