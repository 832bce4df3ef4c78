// One loop of a group fails: what was to be its own goes to the others.

#include "group_fixture.h"

#include <future>
#include <latch>

namespace ferry::test {
namespace {

class GroupFailure : public GroupTest {
 protected:
  LoopGroup& start_group(std::size_t loops) {
    return GroupTest::start_group(
        loops, {.on_loop_ended = [this](std::size_t, std::exception_ptr) { ++ended_; }});
  }
  /// Ends a loop by an exception, and waits for the end.
  void fail(std::size_t index) {
    const int before = ended_;
    group().loop(index).call_soon_threadsafe([] { throw LoopExit{1}; });
    run_until([&] { return ended_ > before; });
  }

  std::atomic<int> ended_ = 0;
};

TEST_F(GroupFailure, SocketsOnTheirWayGoToAnotherLoop) {
  start_group(3);
  const auto server = serve(Spread::least_loaded);
  std::latch handed_out(1);
  group().loop(1).call_soon_threadsafe([&] {
    handed_out.wait();
    throw LoopExit{1};
  });
  auto peers = begin_to_dial(*server, 30);
  run_until([&] { return loads() == std::vector<std::size_t>{10, 10, 10}; });
  handed_out.count_down();
  run_until_echoed(peers);  // all thirty
  run_until([&] { return ended_ == 1; });
  EXPECT_EQ(server->connections(), 30u);
  EXPECT_EQ(loads()[1], 0u);
  EXPECT_EQ(loads()[0] + loads()[2], 30u);
}

TEST_F(GroupFailure, OnlyTheConnectionsOfThatLoopAreLost) {
  for (const Spread spread : {Spread::least_loaded, Spread::reuse_port}) {
    start_group(3);
    const auto server = serve(spread);
    auto peers = dial(*server, 60);
    const std::size_t its = loads()[1];
    EXPECT_GT(its, 0u);
    fail(1);
    EXPECT_EQ(server->connections(), 60 - its);
    EXPECT_EQ(counts().made - counts().lost, 60 - its);
    auto more = dial(*server, 60);
    EXPECT_EQ(server->connections(), 120 - its);
    EXPECT_EQ(loads()[1], 0u);
    server->close();
    end_group();
  }
}

TEST_F(GroupFailure, WhatWaitsInTheBacklogOfItsListenerIsServed) {
  start_group(3);
  const auto server = serve(Spread::reuse_port);
  std::latch connected(1);
  group().loop(1).call_soon_threadsafe([&] {
    connected.wait();
    throw LoopExit{1};
  });
  // A third of them, more or less, wait in the backlog of a loop that does not accept.
  auto peers = begin_to_dial(*server, 60);
  run_until([&] {
    for (RawPeer& peer : peers) {
      if (!peer.connected()) return false;
    }
    return true;
  });
  connected.count_down();
  run_until_echoed(peers);
  EXPECT_EQ(server->native_handles().size(), 3u);
  server->close();
  for (RawPeer& peer : peers) peer.close();
  wait(server->wait_closed());
}

TEST_F(GroupFailure, TheLastLoopTakesAll) {
  for (const Spread spread : {Spread::least_loaded, Spread::reuse_port}) {
    start_group(3);
    const auto server = serve(spread);
    fail(2);
    fail(0);
    const auto peers = dial(*server, 20);
    EXPECT_EQ(loads(), (std::vector<std::size_t>{0, 20, 0}));
    server->close();
    end_group();
  }
}

TEST_F(GroupFailure, WithoutAnyLoopNothingIsAccepted) {
  for (const Spread spread : {Spread::least_loaded, Spread::reuse_port}) {
    start_group(2);
    const auto server = serve(spread);
    fail(0);
    fail(1);
    RawPeer late = RawPeer::connect(loop().kernel(), server->sockets().front());
    run_until([&] { return late.connected() || late.error(); });
    run_for(10ms);
    EXPECT_EQ(server->connections(), 0u);
    wait(server->drain(1h));
    end_group();
  }
}

TEST_F(GroupFailure, ADrainEndsThoughALoopFailsMeanwhile) {
  start_group(3);
  const auto server = serve(Spread::reuse_port);
  auto peers = dial(*server, 30);
  const auto drained = server->drain(1h);
  fail(0);
  peers.clear();
  EXPECT_EQ(wait(drained), 0u);
}

}  // namespace
}  // namespace ferry::test
