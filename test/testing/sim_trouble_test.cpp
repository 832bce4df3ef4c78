// Stalls, partitions and cuts of the simulated network.

#include "network_suite.h"

#include <sys/socket.h>

#include <cerrno>

namespace ferry::test {
namespace {

class SimTroubleTest : public NetworkSuite {
 protected:
  SimRoute one_way(int fd) {
    SimRoute route = sim().route(fd);
    route.one_way = true;
    return route;
  }
};

// -- stalls and partitions

TEST_F(SimTroubleTest, AStallHoldsBytesBackAndLosesNone) {
  auto [near, far] = stream_pair(kernel());
  {
    const auto guard = network().stall();
    kernel().send(near.get(), "one ");
    pass(1h);
    kernel().send(near.get(), "two ");
    kernel().shutdown(near.get(), SHUT_WR);
    EXPECT_EQ(sim().unread(far.get()), 0u);
    EXPECT_EQ(network().stats().in_flight, 8u);
  }
  StreamReader reader(kernel(), far.get());
  turns();
  EXPECT_EQ(reader.got, "one two ");
  EXPECT_TRUE(reader.eof);
}

TEST_F(SimTroubleTest, WhatIsInFlightWhenAStallBeginsWaitsToo) {
  network().set_link({.latency_min = 10ms});
  auto [near, far] = stream_pair(kernel());
  kernel().send(near.get(), "x");
  pass(5ms);
  auto guard = network().stall();
  pass(1s);
  EXPECT_EQ(sim().unread(far.get()), 0u);
  guard.end();
  turns();
  EXPECT_EQ(sim().unread(far.get()), 1u);
}

TEST_F(SimTroubleTest, AStallOfOneConnectionSparesTheOthers) {
  auto [a, b] = stream_pair(kernel());
  auto [c, d] = stream_pair(kernel());
  const auto guard = network().stall(sim().route(a.get()));
  kernel().send(a.get(), "x");
  kernel().send(b.get(), "x");
  kernel().send(c.get(), "x");
  EXPECT_EQ(sim().unread(b.get()), 0u);
  EXPECT_EQ(sim().unread(a.get()), 0u);
  EXPECT_EQ(sim().unread(d.get()), 1u);
}

TEST_F(SimTroubleTest, AOneWayPartitionLetsTheOtherDirectionThrough) {
  auto [near, far] = stream_pair(kernel());
  auto guard = network().partition(one_way(near.get()));
  kernel().send(near.get(), "there");
  kernel().send(far.get(), "back");
  pass(1s);
  EXPECT_EQ(sim().unread(far.get()), 0u);
  EXPECT_EQ(read_dry(kernel(), near.get()), "back");
  guard.end();
  turns();
  EXPECT_EQ(read_dry(kernel(), far.get()), "there");
}

TEST_F(SimTroubleTest, APartitionBetweenHostsSparesTheOthers) {
  RawListener two(kernel(), *Address::ip("127.0.0.2", 0));
  RawListener three(kernel(), *Address::ip("127.0.0.3", 0));
  const auto guard = network().partition({.to = *Address::ip("127.0.0.2", 0)});
  RawPeer lost = RawPeer::connect(kernel(), two.address());
  RawPeer found = RawPeer::connect(kernel(), three.address());
  turns();
  EXPECT_FALSE(lost.connected());
  EXPECT_TRUE(found.connected());
}

TEST_F(SimTroubleTest, TwoTroublesEndWithTheLast) {
  auto [near, far] = stream_pair(kernel());
  auto first = network().stall();
  auto second = network().partition();
  kernel().send(near.get(), "x");
  first.end();
  turns();
  EXPECT_EQ(sim().unread(far.get()), 0u);
  second.end();
  turns();
  EXPECT_EQ(sim().unread(far.get()), 1u);
}

TEST_F(SimTroubleTest, HealEndsAllTroublesAndTheirGuardsDoNoHarmAfterwards) {
  auto [near, far] = stream_pair(kernel());
  const auto first = network().stall();
  const auto second = network().partition();
  const auto third = network().cut_after(1);
  kernel().send(near.get(), "xyz");
  network().heal();
  turns();
  EXPECT_EQ(read_dry(kernel(), far.get()), "xyz");
}

TEST_F(SimTroubleTest, WhoClosesDuringAPartitionIsMissedWhenItHeals) {
  auto [near, far] = stream_pair(kernel());
  StreamReader reader(kernel(), far.get());
  auto guard = network().partition();
  near.reset();
  pass(1h);
  EXPECT_FALSE(reader.eof);
  guard.end();
  turns();
  EXPECT_TRUE(reader.eof);
}

TEST_F(SimTroubleTest, EverythingMayCloseDuringAPartition) {
  auto [near, far] = stream_pair(kernel());
  const auto guard = network().partition();
  kernel().send(near.get(), "x");
  near.reset();
  far.reset();
  pass(1s);
  EXPECT_EQ(network().stats().in_flight, 0u);
}

// -- connects

TEST_F(SimTroubleTest, AConnectDuringAStallSucceedsWhenItEnds) {
  RawListener listener(kernel());
  auto guard = network().stall();
  RawPeer client = RawPeer::connect(kernel(), listener.address());
  pass(1h);
  EXPECT_FALSE(client.connected());
  EXPECT_FALSE(client.error());
  guard.end();
  turns();
  EXPECT_TRUE(client.connected());
}

TEST_F(SimTroubleTest, AConnectDuringAPartitionIsTriedAgainAfterOneThreeAndSevenSeconds) {
  network().set_link({.latency_min = 5ms});
  RawListener listener(kernel());
  auto guard = network().partition();
  RawPeer client = RawPeer::connect(kernel(), listener.address());
  pass(4s);
  guard.end();
  pass(3s);
  EXPECT_FALSE(client.connected());
  pass(10ms);
  EXPECT_TRUE(client.connected());
  EXPECT_EQ(passed(), 7010ms);
}

TEST_F(SimTroubleTest, AConnectIsNotAnsweredThroughAPartitionOfTheWayBack) {
  RawListener listener(kernel());
  const auto guard = network().partition({.from = listener.address(), .to = {}, .one_way = true});
  RawPeer client = RawPeer::connect(kernel(), listener.address());
  pass(60s);
  EXPECT_FALSE(client.connected());
  EXPECT_FALSE(client.error());
}

TEST_F(SimTroubleTest, AConnectTimesOutAfterTwoMinutesOfPartition) {
  RawListener listener(kernel());
  const auto guard = network().partition();
  RawPeer client = RawPeer::connect(kernel(), listener.address());
  Ear ear;
  const FdWatchPtr w = watch(kernel(), client.fd(), ear);
  w->arm(Direction::write, FdWatch::Arm::if_ready);
  ear.then_writable = [this] { kernel().stop(); };
  kernel().run();
  EXPECT_EQ(passed(), 127s);
  EXPECT_FALSE(client.connected());
  EXPECT_EQ(client.error(), std::errc::timed_out);
}

// -- cuts

TEST_F(SimTroubleTest, ACutResetsBothEndsAndLosesWhatIsInFlight) {
  network().set_link({.latency_min = 10ms});
  auto [near, far] = stream_pair(kernel());
  auto [other, end] = stream_pair(kernel());
  StreamReader reader(kernel(), far.get());
  kernel().send(near.get(), "early");
  pass(10ms);
  kernel().send(near.get(), "late");
  EXPECT_EQ(network().cut(sim().route(near.get())), 1u);
  EXPECT_EQ(network().stats().in_flight, 0u);
  turns();
  EXPECT_EQ(reader.got, "early");
  EXPECT_EQ(reader.error, ECONNRESET);
  EXPECT_EQ(error_of(kernel().send(near.get(), "x")), ECONNRESET);
  EXPECT_EQ(network().cut(), 1u) << "the other connection";
  EXPECT_EQ(network().cut(), 0u);
}

TEST_F(SimTroubleTest, AnEndThatDidNotLearnOfACutDoesWhenItSends) {
  network().set_link({.latency_min = 10ms});
  auto [near, far] = stream_pair(kernel());
  network().cut(sim().route(near.get()), SimEnds::to);
  EXPECT_EQ(error_of(kernel().send(far.get(), "x")), ECONNRESET);
  pass(1s);
  EXPECT_TRUE(kernel().send(near.get(), "x").ok());
  pass(10ms);
  EXPECT_TRUE(kernel().send(near.get(), "x").ok());
  pass(10ms);
  EXPECT_EQ(error_of(kernel().send(near.get(), "x")), ECONNRESET);
}

TEST_F(SimTroubleTest, AnEndThatIsSendingLearnsOfACutInAnyCase) {
  network().set_link({.latency_min = 10ms});
  auto [near, far] = stream_pair(kernel());
  StreamWriter writer(kernel(), near.get(), pattern(1'000'000));
  turns();
  network().cut(sim().route(near.get()), SimEnds::to);
  pass(1s);
  EXPECT_EQ(writer.error, ECONNRESET) << "it waits for room for ever";
}

TEST_F(SimTroubleTest, AWriterWithoutRoomLearnsOfACutWhenTheOtherEndIsClosed) {
  network().set_link({.latency_min = 10ms});
  auto [near, far] = stream_pair(kernel());
  StreamWriter writer(kernel(), near.get(), pattern(1'000'000));
  pass(1s);
  EXPECT_EQ(network().stats().in_flight, 0u) << "what fits is there, unread";
  EXPECT_FALSE(writer.done());
  network().cut(sim().route(near.get()), SimEnds::to);
  pass(1s);
  EXPECT_EQ(writer.error, 0);
  far.reset();
  pass(1s);
  EXPECT_EQ(writer.error, ECONNRESET);
}

TEST_F(SimTroubleTest, ACutOfTheEndWhereARouteBegins) {
  auto [near, far] = stream_pair(kernel());
  network().cut(sim().route(far.get()), SimEnds::from);
  EXPECT_EQ(error_of(kernel().send(far.get(), "x")), ECONNRESET);
  EXPECT_TRUE(kernel().send(near.get(), "x").ok());
  EXPECT_EQ(error_of(kernel().send(near.get(), "x")), ECONNRESET);
}

TEST_F(SimTroubleTest, ACutAfterSomeBytesComesExactlyThere) {
  network().set_link({.pieces = SimLink::Pieces::fixed, .piece_size = 4});
  auto [near, far] = stream_pair(kernel());
  StreamReader reader(kernel(), far.get());
  const auto guard = network().cut_after(10);
  kernel().send(near.get(), pattern(30));
  turns(20);
  EXPECT_EQ(reader.got, pattern(10));
  EXPECT_EQ(reader.error, ECONNRESET);
  EXPECT_EQ(network().stats().cut, 1u);
}

TEST_F(SimTroubleTest, ACutCountsBothDirectionsUnlessItIsOneWay) {
  auto [a, b] = stream_pair(kernel());
  auto [c, d] = stream_pair(kernel());
  const auto both = network().cut_after(10, sim().route(a.get()));
  const auto single = network().cut_after(10, one_way(c.get()));
  for (const auto& [near, far] : {std::pair(&a, &b), std::pair(&c, &d)}) {
    kernel().send(near->get(), "123456");
    kernel().send(far->get(), "123456");
  }
  EXPECT_EQ(sim().unread(b.get()) + sim().unread(a.get()), 10u);
  EXPECT_EQ(sim().unread(c.get()) + sim().unread(d.get()), 12u);
  kernel().send(c.get(), "123456");
  EXPECT_EQ(sim().unread(d.get()), 10u);
  EXPECT_EQ(network().stats().cut, 2u);
}

TEST_F(SimTroubleTest, ConnectionsThatAreYetToComeAreCutAsWell) {
  RawListener listener(kernel());
  auto guard = network().cut_after(3, {.to = listener.address()});
  const auto exchange = [&] {
    RawPeer client = RawPeer::connect(kernel(), listener.address());
    turns();
    EXPECT_TRUE(client.connected());
    auto server = listener.accept();
    client.write("hello");
    return server->read();
  };
  EXPECT_EQ(exchange(), "hel");
  EXPECT_EQ(exchange(), "hel");
  guard.end();
  EXPECT_EQ(exchange(), "hello");
  EXPECT_EQ(network().stats().cut, 2u);
}

TEST_F(SimTroubleTest, ACutWhoseGuardEndsSparesTheConnection) {
  auto [near, far] = stream_pair(kernel());
  {
    const auto guard = network().cut_after(3);
    kernel().send(near.get(), "12");
  }
  kernel().send(near.get(), "3456");
  EXPECT_EQ(read_dry(kernel(), far.get()), "123456");
}

TEST_F(SimTroubleTest, ACutAfterNothingComesWithTheFirstByte) {
  auto [near, far] = stream_pair(kernel());
  const auto guard = network().cut_after(0);
  turns();
  EXPECT_EQ(network().stats().cut, 0u);
  kernel().send(near.get(), "x");
  EXPECT_EQ(sim().unread(far.get()), 0u);
  EXPECT_EQ(network().stats().cut, 1u);
}

}  // namespace
}  // namespace ferry::test
