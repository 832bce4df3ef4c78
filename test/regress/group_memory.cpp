// A group of loops, and a server on it, while there is no memory on the thread that is at work.
#include "counting_new.h"
#include "socket_pair.h"
#include "world.h"

#include <ferry/group_server.h>

#include <chrono>
#include <memory>

namespace ferry::test {

namespace {

using namespace std::chrono_literals;

class GroupMemory : public LoopFixture {
 protected:
  World world() const override { return World::asio; }

  std::shared_ptr<Server> serve(LoopGroup& group, Spread spread) {
    ListenOptions options;
    options.hosts = {"127.0.0.1"};
    const auto creating = create_server(
        loop(), group, [](EventLoop&) { return std::make_shared<Protocol>(); }, std::move(options),
        spread);
    run_until([&] { return creating.done(); });
    return creating.result();
  }
  RawPeer connect(const Server& server) {
    RawPeer peer = RawPeer::connect(loop().kernel(), server.sockets().front());
    run_until([&] { return peer.connected() && server.connections() == 1; });
    return peer;
  }
};

}  // namespace

// The word to each loop needed memory: `stop`, which must not throw, ended the program.
TEST_F(GroupMemory, AGroupStopsAllTheSame) {
  LoopGroup group({.loops = 2});
  group.start();
  without_memory([&] { group.stop(); });
  group.join();
}

// The loops behind the one for which there was no memory went on listening.
TEST_F(GroupMemory, AServerClosesAllTheSame) {
  for (const Spread spread : {Spread::least_loaded, Spread::reuse_port}) {
    LoopGroup group({.loops = 2});
    group.start();
    const auto server = serve(group, spread);
    RawPeer peer = connect(*server);
    without_memory([&] {
      EXPECT_NO_THROW(server->close());
      EXPECT_NO_THROW(server->close_clients());
    });
    const auto over = server->wait_closed();
    run_until([&] { return over.done(); });
    EXPECT_EQ(server->connections(), 0u);
    peer.close();
  }
}

// The home loop is told of it by a letter, for which there had to be memory, or the program ended.
TEST_F(GroupMemory, AConnectionLeavesAllTheSame) {
  LoopGroup group({.loops = 1});
  group.start();
  const auto server = serve(group, Spread::least_loaded);
  RawPeer peer = connect(*server);
  server->close();
  const auto over = server->wait_closed();
  group.run_on(0, [](EventLoop&) { fail_allocation(0, 1000); }).get();
  peer.close();
  run_until([&] { return over.done(); });
  group.run_on(0, [](EventLoop&) { fail_no_allocation(); }).get();
}

}  // namespace ferry::test
