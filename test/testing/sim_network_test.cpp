// Links between simulated sockets: what they do to streams and connects.

#include "network_suite.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <set>

namespace ferry::test {
namespace {

using Pieces = SimLink::Pieces;
using Arm = FdWatch::Arm;

class SimNetworkTest : public NetworkSuite {};

// -- latency and bandwidth

TEST_F(SimNetworkTest, BytesArriveAfterTheLatencyAndTheClockJumpsThere) {
  network().set_link({.latency_min = 20ms});
  auto [near, far] = stream_pair(kernel());
  Ear ear;
  const FdWatchPtr w = watch(kernel(), far.get(), ear);
  w->arm(Direction::read, Arm::if_ready);
  kernel().send(near.get(), "hello");
  EXPECT_EQ(sim().unread(far.get()), 0u);
  EXPECT_EQ(network().stats().in_flight, 5u);
  turns();
  EXPECT_EQ(ear.readable, 0);
  ear.then_readable = [this] { kernel().stop(); };
  kernel().run();
  EXPECT_EQ(passed(), 20ms);
  EXPECT_EQ(sim().stats().jumps, 1u);
  EXPECT_EQ(read_dry(kernel(), far.get()), "hello");
  EXPECT_EQ(network().stats().in_flight, 0u);
  EXPECT_EQ(network().stats().bytes, 5u);
}

TEST_F(SimNetworkTest, TheTimerComesFirstIfItIsDueFirst) {
  network().set_link({.latency_min = 20ms});
  auto [near, far] = stream_pair(kernel());
  kernel().send(near.get(), "hello");
  pass(19ms);
  EXPECT_EQ(passed(), 19ms);
  EXPECT_EQ(sim().unread(far.get()), 0u);
  pass(1ms);
  EXPECT_EQ(sim().unread(far.get()), 5u);
}

TEST_F(SimNetworkTest, ALinkThatDoesNothingDeliversDuringSend) {
  network().set_link({});
  auto [near, far] = stream_pair(kernel());
  kernel().send(near.get(), "hello");
  EXPECT_EQ(sim().unread(far.get()), 5u);
  kernel().shutdown(near.get(), SHUT_WR);
  std::byte bytes[16];
  EXPECT_EQ(kernel().recv(far.get(), bytes).count(), 5u);
  const IoResult end = kernel().recv(far.get(), bytes);
  EXPECT_TRUE(end.ok() && end.count() == 0);
}

TEST_F(SimNetworkTest, UnixSocketsAndPipesHaveNoNetworkBetweenThem) {
  network().set_link({.latency_min = 1h, .pieces = Pieces::single, .loss = 1000});
  const auto guard = network().partition();
  auto [near, far] = stream_pair(kernel(), AF_UNIX);
  kernel().send(near.get(), "hello");
  EXPECT_EQ(read_dry(kernel(), far.get()), "hello");
  int ends[2];
  ASSERT_TRUE(kernel().pipe(ends[0], ends[1]).ok());
  const Socket out(kernel(), ends[0]);
  const Socket in(kernel(), ends[1]);
  const BytesView text("hello");
  EXPECT_EQ(kernel().write_pieces(in.get(), std::span(&text, 1)).count(), 5u);
  EXPECT_EQ(sim().unread(out.get()), 5u);
}

TEST_F(SimNetworkTest, BytesInFlightFillTheSendersBufferUntilTheyAreRead) {
  network().set_link({.latency_min = 1s});
  auto [near, far] = stream_pair(kernel());
  Ear ear;
  const FdWatchPtr w = watch(kernel(), near.get(), ear);
  EXPECT_EQ(fill(kernel(), near.get()), 64u * 1024);
  w->arm(Direction::write, Arm::after_would_block);
  pass(1s);
  EXPECT_EQ(sim().unread(far.get()), 64u * 1024);
  EXPECT_EQ(ear.writable, 0) << "delivered is not read";
  read_dry(kernel(), far.get());
  turns();
  EXPECT_EQ(ear.writable, 1);
  EXPECT_EQ(fill(kernel(), near.get()), 64u * 1024);
}

TEST_F(SimNetworkTest, ABandwidthTakesItsTime) {
  network().set_link({.bandwidth = 1'000'000});
  auto [near, far] = stream_pair(kernel());
  kernel().send(near.get(), pattern(50'000));
  pass(25ms);
  EXPECT_GT(sim().unread(far.get()), 23'000u);
  EXPECT_LE(sim().unread(far.get()), 25'000u);
  pass(24ms);
  EXPECT_LT(sim().unread(far.get()), 50'000u);
  pass(1ms);
  EXPECT_EQ(read_dry(kernel(), far.get()), pattern(50'000));
}

TEST_F(SimNetworkTest, WhatIsSentLaterDoesNotOvertakeOnAFasterLink) {
  network().set_link({.latency_min = 100ms});
  auto [near, far] = stream_pair(kernel());
  kernel().send(near.get(), "slow");
  network().set_link({});
  kernel().send(near.get(), "fast");
  pass(99ms);
  EXPECT_EQ(sim().unread(far.get()), 0u);
  pass(1ms);
  EXPECT_EQ(read_dry(kernel(), far.get()), "slowfast");
}

TEST_F(SimNetworkTest, AConnectionMadeBeforeTheNetworkGetsItToo) {
  auto [near, far] = stream_pair(kernel());
  kernel().send(near.get(), "before");
  network().set_link({.latency_min = 10ms});
  kernel().send(near.get(), "after");
  EXPECT_EQ(read_dry(kernel(), far.get()), "before");
  pass(10ms);
  EXPECT_EQ(read_dry(kernel(), far.get()), "after");
}

TEST_F(SimNetworkTest, TheLinkSetLastForARouteCounts) {
  auto [a, b] = stream_pair(kernel());
  auto [c, d] = stream_pair(kernel());
  network().set_link({.latency_min = 10ms});
  SimRoute there = sim().route(a.get());
  there.one_way = true;
  network().set_link({.latency_min = 50ms}, there);
  kernel().send(a.get(), "1");
  kernel().send(b.get(), "2");
  kernel().send(c.get(), "3");
  pass(10ms);
  EXPECT_EQ(sim().unread(b.get()), 0u);
  EXPECT_EQ(sim().unread(a.get()), 1u) << "the way back has the general link";
  EXPECT_EQ(sim().unread(d.get()), 1u);
  pass(40ms);
  EXPECT_EQ(sim().unread(b.get()), 1u);
  network().set_link({}, there);
  kernel().send(a.get(), "4");
  EXPECT_EQ(sim().unread(b.get()), 2u);
}

// -- the order of bytes

struct Case {
  const char* name;
  SimLink link;
};

class SimNetworkOrder : public SimNetworkTest, public ::testing::WithParamInterface<Case> {};

const Case kCases[] = {
    {"Whole", {}},
    {"WholeLate", {.latency_min = 1ms, .latency_max = 20ms}},
    {"WholeNarrow", {.latency_min = 1ms, .latency_max = 20ms, .bandwidth = 500'000}},
    {"Single", {.pieces = Pieces::single}},
    {"SingleLate", {.latency_max = 20ms, .pieces = Pieces::single}},
    {"Random", {.pieces = Pieces::random, .piece_size = 700}},
    {"RandomLate", {.latency_max = 20ms, .pieces = Pieces::random, .piece_size = 700}},
    {"RandomNarrow", {.latency_max = 300ms, .bandwidth = 100'000, .pieces = Pieces::random}},
    {"Fixed", {.pieces = Pieces::fixed, .piece_size = 100}},
    {"FixedLate", {.latency_max = 20ms, .pieces = Pieces::fixed, .piece_size = 1}},
    {"Boundary", {.pieces = Pieces::boundary, .piece_size = 100}},
    {"BoundaryLate", {.latency_max = 20ms, .pieces = Pieces::boundary, .piece_size = 1}},
};
INSTANTIATE_TEST_SUITE_P(Links, SimNetworkOrder, ::testing::ValuesIn(kCases),
                         [](const auto& each) { return each.param.name; });

TEST_P(SimNetworkOrder, EveryByteArrivesInItsPlaceAndTheFinBehindThem) {
  network().set_link(GetParam().link);
  const std::pair<Socket, Socket> ends = stream_pair(kernel());
  const Socket& near = ends.first;
  const Socket& far = ends.second;
  for (const Socket* socket : {&near, &far}) {
    kernel().set_option(socket->get(), SOL_SOCKET, SO_SNDBUF, 2000);
    kernel().set_option(socket->get(), SOL_SOCKET, SO_RCVBUF, 3000);
  }
  const std::string text = pattern(20'000);
  const std::string answer = pattern(7'000).substr(333);
  // A descriptor has one watch: so one end is written to from here, the other reads by it.
  StreamReader reader(kernel(), far.get());
  StreamWriter writer(kernel(), near.get(), text);
  std::string sent = answer;
  std::string received;
  run_until([&] {
    const IoResult some = kernel().send(far.get(), sent);
    if (some.ok()) sent.erase(0, some.count());
    received += read_dry(kernel(), near.get());
    return reader.eof && received.size() == answer.size();
  });
  EXPECT_EQ(reader.error, 0);
  EXPECT_TRUE(reader.got == text) << "bytes were lost, doubled or out of order";
  EXPECT_TRUE(received == answer);
  EXPECT_EQ(network().stats().in_flight, 0u);
}

TEST_F(SimNetworkTest, AReaderIsToldOfEachPiece) {
  const std::pair<Socket, Socket> ends = stream_pair(kernel());
  StreamReader reader(kernel(), ends.second.get());
  const auto sizes = [&](SimLink link) {
    reader.sizes.clear();
    network().set_link(link);
    kernel().send(ends.first.get(), pattern(10));
    pass(1ms);
    return reader.sizes;
  };
  using Sizes = std::vector<std::size_t>;
  EXPECT_EQ(sizes({}), Sizes{10});
  EXPECT_EQ(sizes({.pieces = Pieces::single}), Sizes(10, 1));
  EXPECT_EQ(sizes({.pieces = Pieces::fixed, .piece_size = 4}), (Sizes{4, 4, 2}));
  EXPECT_EQ(sizes({.latency_min = 1us, .pieces = Pieces::fixed, .piece_size = 4}),
            (Sizes{4, 4, 2}));
  const Sizes random = sizes({.pieces = Pieces::random, .piece_size = 5});
  EXPECT_GE(random.size(), 2u);
  EXPECT_LE(*std::max_element(random.begin(), random.end()), 5u);
}

TEST_F(SimNetworkTest, PiecesEndAtABoundaryOrOneByteBesideIt) {
  network().set_link({.pieces = Pieces::boundary, .piece_size = 10});
  const std::pair<Socket, Socket> ends = stream_pair(kernel());
  StreamReader reader(kernel(), ends.second.get());
  std::set<std::size_t> beside;
  std::size_t sent = 0;
  for (int call = 0; call < 20; ++call) {
    const std::string text = pattern(97);
    reader.sizes.clear();
    kernel().send(ends.first.get(), text);
    pass(1ms);
    std::size_t end = sent;
    for (const std::size_t size : reader.sizes) {
      end += size;
      if (end == sent + text.size()) break;  // where the call's bytes end
      EXPECT_TRUE(end % 10 == 9 || end % 10 <= 1) << end;
      EXPECT_LE(size, 12u);
      beside.insert(end % 10);
    }
    sent += text.size();
    EXPECT_EQ(end, sent);
  }
  EXPECT_EQ(beside, (std::set<std::size_t>{0, 1, 9}));
}

TEST_F(SimNetworkTest, PiecesWithoutLatencyTakeNoTime) {
  network().set_link({.pieces = Pieces::single});
  auto [near, far] = stream_pair(kernel());
  StreamReader reader(kernel(), far.get());
  kernel().send(near.get(), pattern(1000));
  pass(0ms);
  pass(1ns);
  EXPECT_EQ(reader.sizes.size(), 1000u);
  EXPECT_EQ(passed(), 1ns);
}

// -- FIN and RST

TEST_F(SimNetworkTest, TheFinOfACloseComesBehindTheBytes) {
  network().set_link({.latency_min = 10ms, .latency_max = 30ms});
  auto [near, far] = stream_pair(kernel());
  StreamReader reader(kernel(), far.get());
  kernel().send(near.get(), "last words");
  near.reset();
  EXPECT_EQ(sim().stats().open_sockets, 1u);
  turns();
  EXPECT_FALSE(reader.eof);
  pass(60ms);
  EXPECT_EQ(reader.got, "last words");
  EXPECT_TRUE(reader.eof);
  EXPECT_EQ(reader.error, 0);
}

TEST_F(SimNetworkTest, AResetTakesWhatHasNotArrivedWithIt) {
  network().set_link({.latency_min = 10ms});
  auto [near, far] = stream_pair(kernel());
  StreamReader reader(kernel(), far.get());
  RawPeer peer(kernel(), std::move(near));
  peer.write("last words");
  pass(10ms);
  peer.write("too late");
  peer.reset();
  EXPECT_EQ(network().stats().in_flight, 0u);
  turns();
  EXPECT_EQ(reader.error, 0) << "it cannot know yet";
  pass(10ms);
  EXPECT_EQ(reader.got, "last words");
  EXPECT_EQ(reader.error, ECONNRESET);
}

TEST_F(SimNetworkTest, CloseWithUnreadInputTakesWhatHasNotArrivedWithIt) {
  network().set_link({.latency_min = 10ms});
  auto [near, far] = stream_pair(kernel());
  StreamReader reader(kernel(), far.get());
  kernel().send(far.get(), "unread");
  pass(10ms);
  kernel().send(near.get(), "the answer");
  near.reset();
  pass(10ms);
  EXPECT_EQ(reader.got, "");
  EXPECT_EQ(reader.error, ECONNRESET);
}

TEST_F(SimNetworkTest, CloseWithUnreadInputResetsAfterTheLatency) {
  network().set_link({.latency_min = 10ms});
  auto [near, far] = stream_pair(kernel());
  kernel().send(near.get(), "unread");
  pass(10ms);
  far.reset();
  EXPECT_TRUE(kernel().send(near.get(), "x").ok()) << "it cannot know yet";
  pass(10ms);
  EXPECT_EQ(error_of(kernel().send(near.get(), "x")), ECONNRESET);
}

TEST_F(SimNetworkTest, LateDataCostsAClosedEndWhatItsPeerHasNoPlaceFor) {
  for (const std::uint64_t bandwidth : {0U, 1'000'000U}) {
    SCOPED_TRACE(bandwidth);
    network().set_link({.latency_min = 10ms, .bandwidth = bandwidth});
    auto [near, far] = stream_pair(kernel());
    const std::size_t sent = fill(kernel(), near.get());
    near.reset();
    kernel().send(far.get(), "late");
    pass(200ms);
    EXPECT_EQ(network().stats().in_flight, 0u);
    StreamReader reader(kernel(), far.get());
    turns();
    EXPECT_EQ(reader.got.size(), sent / 2);
    EXPECT_FALSE(reader.eof);
    EXPECT_EQ(reader.error, ECONNRESET);
  }
}

TEST_F(SimNetworkTest, BytesThatFindTheirReceiverClosedAreAnsweredByAReset) {
  network().set_link({.latency_min = 10ms});
  auto [near, far] = stream_pair(kernel());
  far.reset();
  EXPECT_TRUE(kernel().send(near.get(), "too late").ok());
  pass(10ms);
  std::byte bytes[16];
  const IoResult end = kernel().recv(near.get(), bytes);
  EXPECT_TRUE(end.ok() && end.count() == 0) << "its FIN";
  EXPECT_TRUE(kernel().send(near.get(), "half closed, it thinks").ok());
  pass(10ms);
  EXPECT_EQ(error_of(kernel().send(near.get(), "x")), EPIPE);
}

TEST_F(SimNetworkTest, ABlockedWriterLearnsOfTheReset) {
  network().set_link({.latency_min = 10ms});
  auto [near, far] = stream_pair(kernel());
  StreamWriter writer(kernel(), near.get(), pattern(200'000));
  pass(5ms);
  far.reset();
  pass(30ms);
  EXPECT_NE(writer.error, 0);
}

TEST_F(SimNetworkTest, BothEndsMayCloseWhileEverythingIsInFlight) {
  network().set_link({.latency_min = 10ms, .pieces = Pieces::single});
  auto [near, far] = stream_pair(kernel());
  kernel().send(near.get(), pattern(100));
  kernel().send(far.get(), pattern(100));
  near.reset();
  far.reset();
  EXPECT_EQ(network().stats().in_flight, 0u);
  pass(1s);
  EXPECT_EQ(network().stats().bytes, 0u);
}

// -- connects

TEST_F(SimNetworkTest, AConnectTakesARoundTrip) {
  network().set_link({.latency_min = 10ms});
  RawListener listener(kernel());
  RawPeer client = RawPeer::connect(kernel(), listener.address());
  pass(19ms);
  EXPECT_FALSE(client.connected());
  EXPECT_FALSE(listener.accept());
  pass(1ms);
  EXPECT_TRUE(client.connected());
  auto server = listener.accept();
  ASSERT_TRUE(server);
  server->write("welcome");
  pass(10ms);
  EXPECT_EQ(client.read(), "welcome");
}

TEST_F(SimNetworkTest, ARefusalTakesARoundTrip) {
  network().set_link({.latency_min = 10ms});
  RawListener listener(kernel());
  const Address nobody = listener.address();
  listener.close();
  RawPeer client = RawPeer::connect(kernel(), nobody);
  pass(19ms);
  EXPECT_FALSE(client.connected());
  EXPECT_FALSE(client.error());
  pass(1ms);
  EXPECT_FALSE(client.connected());
  EXPECT_EQ(client.error(), std::errc::connection_refused);
}

TEST_F(SimNetworkTest, AConnectGivenUpLeavesNothingUnderWay) {
  network().set_link({.latency_min = 10ms});
  RawListener listener(kernel());
  RawPeer client = RawPeer::connect(kernel(), listener.address());
  client.close();
  pass(50ms);
  EXPECT_FALSE(listener.accept());
}

TEST_F(SimNetworkTest, AListenerThatClosesResetsWhomItDidNotAcceptAfterTheLatency) {
  network().set_link({.latency_min = 10ms});
  RawListener listener(kernel());
  RawPeer client = RawPeer::connect(kernel(), listener.address());
  pass(20ms);
  EXPECT_TRUE(client.connected());
  listener.close();
  client.read();
  EXPECT_FALSE(client.error());
  pass(10ms);
  client.read();
  EXPECT_EQ(client.error(), std::errc::connection_reset);
}

TEST_F(SimNetworkTest, AnIpv4ClientOfAnIpv6ListenerIsOnTheSameNetwork) {
  RawListener listener(kernel(), *Address::ip("::", 0));
  const Address to = Address::loopback(listener.address().port());
  network().set_link({.latency_min = 10ms}, {.to = to});
  RawPeer client = RawPeer::connect(kernel(), to);
  pass(20ms);
  ASSERT_TRUE(client.connected());
  auto server = listener.accept();
  ASSERT_TRUE(server);
  server->write("x");
  EXPECT_EQ(client.read(), "");
  pass(10ms);
  EXPECT_EQ(client.read(), "x");
}

TEST_F(SimNetworkTest, ARouteIsThatOfAConnectedSocket) {
  RawListener listener(kernel());
  EXPECT_THROW(static_cast<void>(sim().route(listener.fd())), std::logic_error);
  EXPECT_THROW(static_cast<void>(sim().route(4711)), std::logic_error);
  auto [near, far] = stream_pair(kernel());
  EXPECT_EQ(sim().route(near.get()).to, sim().route(far.get()).from);
}

// What the reader's buffer has no place for was never sent, and the end behind it neither.
TEST_F(SimNetworkTest, LateDataTakesTheEndAlongIfItTakesAnything) {
  network().set_link({.latency_min = 10ms});
  auto [near, far] = stream_pair(kernel());
  const std::size_t sent = fill(kernel(), near.get());
  pass(1s);
  kernel().send(far.get(), "late");
  pass(5ms);
  near.reset();
  pass(1s);
  StreamReader reader(kernel(), far.get());
  turns();
  EXPECT_LT(reader.got.size(), sent);
  EXPECT_FALSE(reader.eof);
  EXPECT_EQ(reader.error, ECONNRESET);
}

}  // namespace
}  // namespace ferry::test
