#include "net_fixture.h"

namespace ferry::test {
namespace {

class ConnectGivingUp : public NetTest {
 protected:
  RecordingFactory<> made_;
};

TEST_P(ConnectGivingUp, C0352_CancelDuringConnectClosesTheSocket) {
  const BlackHole hole(kernel().inner());
  const std::size_t sockets = open_sockets();
  const auto future = create_connection(loop(), made_.factory(), to(hole.address()));
  tick(5);
  ASSERT_FALSE(future.done());
  EXPECT_EQ(open_sockets(), sockets + 1);
  EXPECT_EQ(loop().stats().operations, 1u);
  EXPECT_TRUE(future.cancel());
  EXPECT_EQ(open_sockets(), sockets);
  EXPECT_EQ(loop().stats().operations, 0u);
  tick(5);
  EXPECT_TRUE(future.cancelled());
  EXPECT_EQ(made_.size(), 0u);
}

TEST_P(ConnectGivingUp, CancelDuringTheLookUpEndsIt) {
  const auto resolver = std::make_shared<ScriptedResolver>();
  resolver->silent = {"silent.test"};
  loop().set_resolver(resolver);
  ConnectOptions options;
  options.host = "silent.test";
  const auto future = create_connection(loop(), made_.factory(), options);
  tick(5);
  ASSERT_FALSE(future.done());
  future.cancel();
  EXPECT_EQ(loop().stats().operations, 0u);
  tick(5);
  EXPECT_EQ(made_.size(), 0u);
}

TEST_P(ConnectGivingUp, C0353_CancelWithASocketClosesItOnce) {
  auto [near, far] = stream_pair(kernel().inner());
  RawPeer peer(kernel().inner(), std::move(far));
  ConnectOptions options;
  options.socket = near.release();
  const auto future = create_connection(loop(), made_.factory(), options);
  future.cancel();
  // The next socket gets the number: nothing may close it.
  auto [victim, victims_peer] = stream_pair(kernel().inner());
  EXPECT_EQ(victim.get(), options.socket);
  tick(10);
  EXPECT_TRUE(future.cancelled());
  EXPECT_EQ(made_.size(), 0u);
  run_until_eof(peer);
  EXPECT_TRUE(peer.eof());
  EXPECT_TRUE(kernel().inner().send(victim.get(), "alive").ok());
  RawPeer reader(kernel().inner(), std::move(victims_peer));
  run_until([&] {
    reader.read();
    return reader.received() == "alive";
  });
}

TEST_P(ConnectGivingUp, C0353_CancelOnceTheTransportExistsEndsTheConnection) {
  auto [near, far] = stream_pair(kernel().inner());
  RawPeer peer(kernel().inner(), std::move(far));
  ConnectOptions options;
  options.socket = near.release();
  Future<Connection<>> future;
  made_.prepare = [&](RecordingProtocol& protocol) { protocol.on_made = [&] { future.cancel(); }; };
  future = create_connection(loop(), made_.factory(), options);
  run_until_eof(peer);
  EXPECT_TRUE(future.cancelled());
  EXPECT_EQ(made_.at(0).summary(), "made lost:ok");
}

TEST_P(ConnectGivingUp, CancelInsideTheFactoryClosesTheSocket) {
  const auto server = serve(echo_factory());
  const std::size_t sockets = open_sockets();
  Future<Connection<>> future;
  made_.prepare = [&](RecordingProtocol&) { future.cancel(); };
  future = create_connection(loop(), made_.factory(), to(server->sockets().at(0)));
  run_until([&] { return future.done(); });
  EXPECT_TRUE(future.cancelled());
  run_until([&] { return server->connections() == 0 && open_sockets() == sockets; });
  EXPECT_FALSE(made_.at(0).made());
}

TEST_P(ConnectGivingUp, C0354_TimeoutClosesTheSocketAndNamesTheAddress) {
  const BlackHole hole(kernel().inner());
  const std::size_t sockets = open_sockets();
  ConnectOptions options = to(hole.address());
  options.timeout = 50ms;
  const TimePoint begin = loop().time();
  const auto error = failure<TimeoutError>(create_connection(loop(), made_.factory(), options));
  EXPECT_GE(loop().time() - begin, 50ms);
  EXPECT_EQ(error.code(), std::errc::timed_out);
  EXPECT_EQ(error.address(), hole.address());
  EXPECT_EQ(open_sockets(), sockets);
  EXPECT_EQ(made_.size(), 0u);
}

TEST_P(ConnectGivingUp, TimeoutCoversTheLookUp) {
  const auto resolver = std::make_shared<ScriptedResolver>();
  resolver->silent = {"silent.test"};
  loop().set_resolver(resolver);
  ConnectOptions options;
  options.host = "silent.test";
  options.timeout = 20ms;
  const auto error = failure<TimeoutError>(create_connection(loop(), made_.factory(), options));
  EXPECT_STREQ(error.operation(), "resolve");
}

TEST_P(ConnectGivingUp, TwoMinutesAreTheDefaultLimit) {
  if (!simulated()) GTEST_SKIP() << "two minutes are long";
  const BlackHole hole(kernel().inner());
  const TimePoint begin = loop().time();
  failure<TimeoutError>(create_connection(loop(), made_.factory(), to(hole.address())), 5min);
  EXPECT_EQ(loop().time() - begin, 2min);
}

TEST_P(ConnectGivingUp, CancellingATypedConnectEndsIt) {
  const BlackHole hole(kernel().inner());
  const std::size_t sockets = open_sockets();
  const auto future = create_connection(
      loop(), [] { return std::make_shared<RecordingProtocol>(); }, to(hole.address()));
  tick(5);
  future.cancel();
  EXPECT_EQ(open_sockets(), sockets);
  tick(5);
  EXPECT_TRUE(future.cancelled());
}

TEST_P(ConnectGivingUp, ClosingTheLoopClosesTheSockets) {
  const BlackHole hole(kernel().inner());
  const std::size_t sockets = open_sockets();
  {
    ConnectOptions options = to(hole.address());
    options.happy_eyeballs_delay = 1ms;
    const auto future = create_connection(loop(), made_.factory(), options);
    tick(5);
    EXPECT_EQ(open_sockets(), sockets + 1);
    loop().close();
    EXPECT_EQ(open_sockets(), sockets);
    EXPECT_FALSE(future.done());
  }
  EXPECT_EQ(made_.size(), 0u);
}

TEST_P(ConnectGivingUp, LosingTheFutureDoesNotStopTheConnect) {
  RecordingFactory<> served;
  const auto server = serve(served.factory());
  static_cast<void>(create_connection(loop(), made_.factory(), to(server->sockets().at(0))));
  run_until([&] { return made_.size() == 1 && made_.at(0).made(); });
  made_.at(0).close();
  run_until([&] { return made_.at(0).lost(); });
}

INSTANTIATE_WORLDS(ConnectGivingUp);

}  // namespace
}  // namespace ferry::test
