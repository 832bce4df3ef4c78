// Which loop gets which connection.

#include "group_fixture.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <numeric>

namespace ferry::test {
namespace {

using Loads = std::vector<std::size_t>;

class GroupSpread : public GroupTest {};

TEST_F(GroupSpread, LeastLoadedIsExactlyEven) {
  start_group(3);
  const auto server = serve(Spread::least_loaded);
  const auto peers = dial(*server, 30);
  EXPECT_EQ(server->connections(), 30u);
  EXPECT_EQ(loads(), (Loads{10, 10, 10}));
}

TEST_F(GroupSpread, ABurstThatIsAcceptedInOneTurnIsEvenToo) {
  start_group(3);
  const auto server = serve(Spread::least_loaded);
  // Not one of them has come to its loop before the last is handed out.
  auto peers = begin_to_dial(*server, 60);
  tick(10);
  EXPECT_EQ(loads(), (Loads{20, 20, 20}));
  run_until_echoed(peers);
}

TEST_F(GroupSpread, TheProtocolIsMadeOnTheLoopThatOwnsTheConnection) {
  start_group(3);
  std::mutex mutex;
  std::map<EventLoop*, int> made;
  ListenOptions options;
  options.hosts = {"127.0.0.1"};
  std::atomic<int> wrapped = 0;
  options.wrap = [&](std::shared_ptr<Protocol> protocol) {
    wrapped += running_loop() != nullptr && running_loop() != &loop();
    return protocol;
  };
  const auto server = wait(create_server(
      loop(), group(),
      [&, make = echo()](EventLoop& on) mutable {
        EXPECT_EQ(running_loop(), &on);
        const std::lock_guard lock(mutex);
        ++made[&on];
        return make(on);
      },
      options));
  const auto peers = dial(*server, 9);
  const std::lock_guard lock(mutex);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(made[&group().loop(i)], 3);
  EXPECT_EQ(wrapped, 9);
}

TEST_F(GroupSpread, WhoHasLostConnectionsGetsTheNext) {
  start_group(3);
  const auto server = serve(Spread::least_loaded);
  const auto peers = dial(*server, 9);
  // All of one loop end; the others keep theirs.
  group().run_on(1, [](EventLoop&) {}).get();
  std::vector<RawPeer> more;
  group().crew()->add_load(0);
  group().crew()->add_load(2);
  for (RawPeer& peer : dial(*server, 1)) more.push_back(std::move(peer));
  EXPECT_EQ(loads(), (Loads{4, 4, 4}));
  group().crew()->remove_load(0);
  group().crew()->remove_load(2);
  for (RawPeer& peer : dial(*server, 2)) more.push_back(std::move(peer));
  EXPECT_EQ(loads(), (Loads{4, 4, 4}));
}

TEST_F(GroupSpread, LoadIsThatOfAllServersOfTheGroup) {
  start_group(3);
  const auto first = serve(Spread::least_loaded);
  const auto second = serve(Spread::least_loaded);
  const auto peers = dial(*first, 4);
  const auto others = dial(*second, 5);
  EXPECT_EQ(first->connections(), 4u);
  EXPECT_EQ(second->connections(), 5u);
  EXPECT_EQ(loads(), (Loads{3, 3, 3}));
}

TEST_F(GroupSpread, LoadGoesWithTheConnections) {
  for (const Spread spread : {Spread::least_loaded, Spread::reuse_port}) {
    start_group(3);
    const auto server = serve(spread);
    auto peers = dial(*server, 12);
    EXPECT_EQ(server->connections(), 12u);
    Loads open = loads();
    EXPECT_EQ(std::accumulate(open.begin(), open.end(), std::size_t{0}), 12u);
    peers.clear();
    run_until_open(*server, 0);
    EXPECT_EQ(loads(), (Loads{0, 0, 0}));
    server->close();
    end_group();
  }
}

TEST_F(GroupSpread, ReusePortListensOncePerLoop) {
  start_group(3);
  const auto server = serve(Spread::reuse_port);
  EXPECT_EQ(server->sockets().size(), 1u);
  EXPECT_NE(server->port(), 0);
  EXPECT_EQ(server->native_handles().size(), 3u);
  const auto peers = dial(*server, 200);
  EXPECT_EQ(server->connections(), 200u);
  // The kernel's hash leaves no loop of three out of 200 connections from different ports.
  for (const std::size_t load : loads()) EXPECT_GT(load, 0u);
}

TEST_F(GroupSpread, AFactoryThatThrowsCountsNothing) {
  start_group(2);
  for (const Spread spread : {Spread::least_loaded, Spread::reuse_port}) {
    ListenOptions options;
    options.hosts = {"127.0.0.1"};
    std::atomic<int> calls = 0;
    const auto server = wait(create_server(
        loop(), group(),
        [&, make = echo()](EventLoop& on) mutable -> std::shared_ptr<Protocol> {
          if (calls++ % 2 == 0) throw std::runtime_error("not you");
          return make(on);
        },
        options, spread));
    RawPeer refused = RawPeer::connect(loop().kernel(), server->sockets().front());
    run_until([&] { return refused.connected(); });
    run_until_ended(refused);
    const RawPeer served = dial(*server);
    EXPECT_EQ(server->connections(), 1u);
    Loads open = loads();
    EXPECT_EQ(std::accumulate(open.begin(), open.end(), std::size_t{0}), 1u);
    server->close();
    server->abort_clients();
    wait(server->wait_closed());
  }
}

TEST_F(GroupSpread, MaxConnectionsLeavesTheOthersInTheBacklog) {
  start_group(3);
  for (const Spread spread : {Spread::least_loaded, Spread::reuse_port}) {
    ListenOptions options;
    options.max_connections = 2;
    const auto server = serve(spread, options);
    auto peers = dial(*server, 2);
    auto waiting = begin_to_dial(*server, 1);
    run_until([&] { return waiting.front().connected(); });
    run_for(20ms);
    waiting.front().pump();
    EXPECT_EQ(waiting.front().received(), "");
    EXPECT_EQ(server->connections(), 2u);
    peers.pop_back();
    run_until_echoed(waiting);
    EXPECT_EQ(server->connections(), 2u);
    server->close();
    server->abort_clients();
    wait(server->wait_closed());
  }
}

TEST_F(GroupSpread, SocketsFromElsewhereAreDealtOut) {
  start_group(2);
  ListenOptions options;
  for (int i = 0; i < 3; ++i) {
    RawListener listener(loop().kernel(), Address::loopback(0));
    options.sockets.push_back(loop().kernel().duplicate(listener.fd()).fd());
  }
  const auto server = serve(Spread::reuse_port, options);
  EXPECT_EQ(server->native_handles(), options.sockets);
  ASSERT_EQ(server->sockets().size(), 3u);
  std::vector<RawPeer> peers;
  for (const Address& address : server->sockets()) {
    peers.push_back(RawPeer::connect(loop().kernel(), address));
    peers.back().send_later("x");
  }
  run_until_echoed(peers);
  EXPECT_EQ(loads(), (Loads{2, 1}));
}

TEST_F(GroupSpread, UnixConnectionsAreSpreadByLoad) {
  start_group(3);
  UnixListenOptions options;
  options.path = unused_unix_address().path();
  const auto server = wait(create_unix_server(loop(), group(), echo(), options));
  const auto peers = dial(*server, 6);
  EXPECT_EQ(loads(), (Loads{2, 2, 2}));
}

TEST_F(GroupSpread, ALoopOfTheGroupMayBeTheHome) {
  start_group(2);
  std::promise<std::shared_ptr<Server>> made;
  group().run_on(0, [&](EventLoop& home) {
    ListenOptions options;
    options.hosts = {"127.0.0.1"};
    create_server(home, group(), echo(), options)
        .add_done_callback(
            [&](Future<std::shared_ptr<Server>> done) { made.set_value(done.result()); });
  });
  const auto server = made.get_future().get();
  const Address address = group().run_on(0, [&](EventLoop&) { return server->sockets()[0]; }).get();
  std::vector<RawPeer> peers;
  for (int i = 0; i < 8; ++i) {
    peers.push_back(RawPeer::connect(loop().kernel(), address));
    peers.back().send_later("x");
  }
  run_until_echoed(peers);
  EXPECT_EQ(loads(), (Loads{4, 4}));
  end_group();
}

}  // namespace
}  // namespace ferry::test
