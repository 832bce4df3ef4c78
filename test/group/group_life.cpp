// A server on many loops from its creation to its end.

#include "group_fixture.h"

#include <algorithm>

namespace ferry::test {
namespace {

class GroupLife : public GroupTest, public ::testing::WithParamInterface<Spread> {
 protected:
  std::shared_ptr<Server> serve(ListenOptions options = {}) {
    return GroupTest::serve(GetParam(), std::move(options));
  }
  /// Nothing listens there any more.
  void expect_refused(const Address& address) {
    RawPeer late = RawPeer::connect(loop().kernel(), address);
    run_until([&] { return late.connected() || late.error(); });
    EXPECT_EQ(late.error(), std::errc::connection_refused);
  }
};
INSTANTIATE_TEST_SUITE_P(Spreads, GroupLife,
                         ::testing::Values(Spread::least_loaded, Spread::reuse_port),
                         [](const auto& param) {
                           return param.param == Spread::least_loaded ? "LeastLoaded" : "ReusePort";
                         });

TEST_P(GroupLife, CloseStopsListeningAndKeepsConnections) {
  start_group();
  ListenOptions options;
  options.port = free_port(loop().kernel());
  const auto server = serve(options);
  const Address address = server->sockets().front();
  auto peers = dial(*server, 6);
  EXPECT_TRUE(server->is_serving());
  server->close();
  server->close();
  EXPECT_FALSE(server->is_serving());
  EXPECT_TRUE(server->sockets().empty());
  EXPECT_TRUE(server->native_handles().empty());
  for (std::size_t i = 0; i < 3; ++i) group().run_on(i, [](EventLoop&) {}).get();
  expect_refused(address);
  for (RawPeer& peer : peers) {
    peer.write("more");
    run_until([&] { return peer.read(), peer.received() == "xmore"; });
  }
  EXPECT_EQ(server->connections(), 6u);
}

TEST_P(GroupLife, DrainIsDoneWhenTheLastConnectionOfAnyLoopIsLost) {
  start_group();
  const auto server = serve();
  auto peers = dial(*server, 6);
  const auto drained = server->drain(1h);
  const auto closed = server->wait_closed();
  tick();
  EXPECT_FALSE(drained.done());
  while (peers.size() > 1) peers.pop_back();
  run_until_open(*server, 1);
  EXPECT_FALSE(drained.done());
  peers.clear();
  EXPECT_EQ(wait(drained), 0u);
  wait(closed);
  EXPECT_EQ(server->connections(), 0u);
}

TEST_P(GroupLife, DrainAbortsWhatIsLeftAtTheDeadline) {
  start_group();
  const auto server = serve();
  auto peers = dial(*server, 6);
  peers.pop_back();
  run_until_open(*server, 5);
  EXPECT_EQ(wait(server->drain(1ms)), 5u);
  EXPECT_EQ(server->connections(), 0u);
}

TEST_P(GroupLife, DrainServesWhatWasAcceptedJustBefore) {
  start_group();
  const auto server = serve();
  auto peers = begin_to_dial(*server, 30);
  run_until([&] {
    return std::all_of(peers.begin(), peers.end(), [](RawPeer& peer) { return peer.connected(); });
  });
  run_until_open(*server, 30);
  const auto drained = server->drain(1h);
  run_until_echoed(peers);
  peers.clear();
  EXPECT_EQ(wait(drained), 0u);
}

TEST_P(GroupLife, CloseClientsAndAbortClientsReachAllLoops) {
  start_group();
  const auto server = serve();
  auto peers = dial(*server, 6);
  server->close_clients();
  for (RawPeer& peer : peers) run_until_ended(peer);
  run_until_open(*server, 0);
  peers = dial(*server, 6);
  server->abort_clients();
  for (RawPeer& peer : peers) run_until_ended(peer);
  run_until_open(*server, 0);
  EXPECT_TRUE(server->is_serving());
}

TEST_P(GroupLife, WaitClosedOfAnIdleServer) {
  start_group();
  const auto server = serve();
  const auto closed = server->wait_closed();
  tick();
  EXPECT_FALSE(closed.done());
  server->close();
  wait(closed);
  wait(server->wait_closed());
}

TEST_P(GroupLife, AServerThatNobodyHoldsServes) {
  start_group();
  auto server = serve();
  const Address address = server->sockets().front();
  server.reset();
  std::vector<RawPeer> peers;
  for (int i = 0; i < 4; ++i) {
    peers.push_back(RawPeer::connect(loop().kernel(), address));
    peers.back().send_later("x");
  }
  run_until_echoed(peers);
}

TEST_P(GroupLife, AClosedServerThatNobodyHoldsCompletesItsFutures) {
  start_group();
  auto server = serve();
  auto peers = dial(*server, 3);
  const auto drained = server->drain(1h);
  server.reset();
  tick();
  peers.clear();
  EXPECT_EQ(wait(drained), 0u);
}

TEST_P(GroupLife, ServingCanBeginLater) {
  start_group();
  ListenOptions options;
  options.start_serving = false;
  const auto server = serve(options);
  EXPECT_FALSE(server->is_serving());
  expect_refused(server->sockets().front());
  server->start_serving();
  server->start_serving();
  const RawPeer peer = dial(*server);
  EXPECT_EQ(server->connections(), 1u);
}

TEST_P(GroupLife, AServerThatNeverServedCloses) {
  start_group();
  ListenOptions options;
  options.start_serving = false;
  const auto server = serve(options);
  server->close();
  wait(server->wait_closed());
}

TEST_P(GroupLife, AnAddressInUseFailsAndLeavesNothing) {
  start_group();
  const RawListener other(loop().kernel());
  ListenOptions options;
  options.hosts = {"127.0.0.1"};
  options.port = other.address().port();
  const std::size_t before = open_descriptors();
  const auto failed = create_server(loop(), group(), echo(), options, GetParam());
  run_until([&] { return failed.done(); });
  try {
    failed.result();
    ADD_FAILURE();
  } catch (const IoError& error) {
    EXPECT_EQ(error.code(), std::errc::address_in_use);
    EXPECT_EQ(error.address(), other.address());
  }
  EXPECT_EQ(open_descriptors(), before);
}

TEST_P(GroupLife, TheHomeLoopMayCloseFirst) {
  start_group();
  const auto home = std::make_unique<EventLoop>();
  const auto server = home->run_until_complete(
      create_server(*home, group(), echo(), {.hosts = {"127.0.0.1"}}, GetParam()));
  auto peers = begin_to_dial(*server, 6);
  while (server->connections() < 6) {
    home->call_soon([&] { home->stop(); });
    home->run_forever();
  }
  const auto pending = server->wait_closed();
  home->close();
  EXPECT_FALSE(server->is_serving());
  // Its connections are the group's.
  run_until_echoed(peers);
  EXPECT_EQ(server->connections(), 6u);
  peers.clear();
  run_until_open(*server, 0);
  EXPECT_FALSE(pending.done());
}

TEST_P(GroupLife, TheGroupMayEndFirst) {
  start_group();
  const auto server = serve();
  auto peers = dial(*server, 6);
  const auto closed = server->wait_closed();
  end_group();
  for (RawPeer& peer : peers) run_until_ended(peer);
  EXPECT_EQ(server->connections(), 0u);
  tick();
  EXPECT_FALSE(closed.done());
  server->close();
  wait(closed);
}

TEST_P(GroupLife, AStoppedGroupTakesNothingMore) {
  start_group();
  const auto server = serve();
  const Address address = server->sockets().front();
  group().stop();
  group().join();
  RawPeer late = RawPeer::connect(loop().kernel(), address);
  run_until([&] { return late.connected() || late.error(); });
  run_for(10ms);
  EXPECT_EQ(server->connections(), 0u);
  if (GetParam() == Spread::reuse_port) {
    EXPECT_TRUE(server->native_handles().empty());
  }
  wait(server->drain(1h));
}

}  // namespace
}  // namespace ferry::test
