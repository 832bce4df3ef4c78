#include "net_fixture.h"

namespace ferry::test {
namespace {

class ServerLife : public NetTest {
 protected:
  RecordingFactory<> served_;
  RecordingFactory<> made_;

  /// A connection whose both ends are up.
  Connection<> connect(Server& server) {
    const std::size_t before = served_.size();
    Connection<> connection = dial(made_.factory(), server.sockets().at(0));
    run_until([&] { return served_.size() > before && served_.at(before).made(); });
    return connection;
  }
};

TEST_P(ServerLife, C0368_HundredParallelClientsAreAnsweredTwice) {
  served_.prepare = [](RecordingProtocol& protocol) {
    protocol.on_data = [&protocol](BytesView) {
      if (protocol.bytes() == 4) protocol.write("OK");
      if (protocol.bytes() == 8) {
        protocol.write("SPAM");
        protocol.close();
      }
    };
  };
  made_.prepare = [](RecordingProtocol& protocol) {
    protocol.on_made = [&protocol] { protocol.write("ping"); };
    protocol.on_data = [&protocol](BytesView) {
      if (protocol.data() == "OK") protocol.write("pong");
    };
  };
  const auto server = serve(served_.factory());
  for (int i = 0; i < 100; ++i) {
    static_cast<void>(create_connection(loop(), made_.factory(), to(server->sockets()[0])));
  }
  run_until([&] {
    if (made_.size() < 100) return false;
    for (const auto& protocol : made_.all()) {
      if (!protocol->lost()) return false;
    }
    return server->connections() == 0;
  });
  for (const auto& protocol : made_.all()) EXPECT_EQ(protocol->data(), "OKSPAM");
  EXPECT_EQ(served_.size(), 100u);
  EXPECT_EQ(made_.violations(), std::vector<std::string>());
  EXPECT_EQ(served_.violations(), std::vector<std::string>());
}

TEST_P(ServerLife, C0380_CancelledServeForeverClosesTheServer) {
  const auto server = serve(served_.factory());
  const auto forever = server->serve_forever();
  tick(3);
  EXPECT_FALSE(forever.done());
  EXPECT_TRUE(forever.cancel());
  EXPECT_THROW(forever.result(), CancelledError);
  EXPECT_FALSE(server->is_serving());
  EXPECT_TRUE(server->sockets().empty());
  EXPECT_THROW(static_cast<void>(server->serve_forever()), std::logic_error);
  EXPECT_THROW(server->start_serving(), std::logic_error);
  wait(server->wait_closed());
}

TEST_P(ServerLife, C0381_ServeForeverTwiceAtOnceIsAnError) {
  const auto server = serve(served_.factory());
  const auto forever = server->serve_forever();
  EXPECT_THROW(static_cast<void>(server->serve_forever()), std::logic_error);
  tick(3);
  EXPECT_FALSE(forever.done());
  connect(*server).transport->abort();
  server->close();
  EXPECT_TRUE(forever.cancelled());
}

TEST_P(ServerLife, ServeForeverStartsServing) {
  ListenOptions options = on_loopback();
  options.start_serving = false;
  const auto server = serve(served_.factory(), options);
  EXPECT_FALSE(server->is_serving());
  const IoError refused =
      failure(create_connection(loop(), made_.factory(), to(server->sockets().at(0))));
  EXPECT_EQ(refused.code(), std::errc::connection_refused);
  const auto forever = server->serve_forever();
  EXPECT_TRUE(server->is_serving());
  connect(*server).transport->abort();
  forever.cancel();
}

TEST_P(ServerLife, StartServingIsIdempotent) {
  ListenOptions options = on_loopback();
  options.start_serving = false;
  const auto server = serve(served_.factory(), options);
  server->start_serving();
  server->start_serving();
  EXPECT_TRUE(server->is_serving());
  connect(*server).transport->abort();
}

TEST_P(ServerLife, C0384_CloseClosesTheSocketsOnceAndLeavesConnections) {
  ListenOptions options = on_loopback();
  options.port = free_port();
  const auto server = serve(served_.factory(), options);
  const Address address = server->sockets()[0];
  const Connection<> connection = connect(*server);
  const std::size_t sockets = open_sockets();
  server->close();
  EXPECT_EQ(open_sockets(), sockets - 1);
  server->close();
  EXPECT_EQ(open_sockets(), sockets - 1);
  EXPECT_EQ(loop().stats().servers, 0u);
  EXPECT_TRUE(server->native_handles().empty());
  EXPECT_EQ(server->port(), 0);
  const IoError refused = failure(create_connection(loop(), made_.factory(), to(address)));
  EXPECT_EQ(refused.code(), std::errc::connection_refused);
  connection.transport->write("still here");
  run_until([&] { return served_.at(0).data() == "still here"; });
  connection.transport->close();
  run_until([&] { return served_.at(0).lost(); });
}

TEST_P(ServerLife, C0385_WaitClosedNeedsBothTheCloseAndTheLastConnection) {
  const auto server = serve(served_.factory());
  const auto idle = server->wait_closed();
  tick(3);
  EXPECT_FALSE(idle.done());
  const Connection<> connection = connect(*server);
  const auto connected = server->wait_closed();
  tick(3);
  EXPECT_FALSE(connected.done());
  server->close();
  const auto closed = server->wait_closed();
  tick(3);
  EXPECT_FALSE(idle.done() || connected.done() || closed.done());
  connection.transport->close();
  wait(closed);
  EXPECT_TRUE(idle.done() && connected.done());
  EXPECT_TRUE(served_.at(0).lost());
  EXPECT_TRUE(server->wait_closed().done());
}

TEST_P(ServerLife, WaitClosedIsDoneAlsoIfTheClientsLeftFirst) {
  const auto server = serve(served_.factory());
  connect(*server).transport->close();
  run_until([&] { return server->connections() == 0; });
  const auto waiter = server->wait_closed();
  tick(3);
  EXPECT_FALSE(waiter.done());
  server->close();
  EXPECT_TRUE(waiter.done());
}

TEST_P(ServerLife, C0386_CloseAndLastLossInOneTurnEndTheWait) {
  const auto server = serve(served_.factory());
  const Connection<> connection = connect(*server);
  loop().call_soon([&] { server->close(); });
  loop().call_soon([&] { connection.transport->close(); });
  wait(server->wait_closed());
}

TEST_P(ServerLife, C0388_CloseClientsEndsIdleOnesAtOnce) {
  const auto server = serve(served_.factory());
  connect(*server);
  server->close();
  const auto waiter = server->wait_closed();
  server->close_clients();
  tick(2);
  EXPECT_TRUE(waiter.done());
  EXPECT_EQ(served_.at(0).summary(), "made lost:ok");
  run_until([&] { return made_.at(0).lost(); });
}

TEST_P(ServerLife, C0388_AbortClientsEndsThoseWithABacklog) {
  const auto server = serve(served_.factory());
  const Connection<> connection = connect(*server);
  connection.transport->pause_reading();
  served_.at(0).write(pattern(16 << 20));
  ASSERT_GT(served_.at(0).transport()->get_write_buffer_size(), 0u);
  server->close();
  server->close_clients();
  const auto waiter = server->wait_closed();
  tick(10);
  EXPECT_FALSE(waiter.done());
  server->abort_clients();
  tick(2);
  EXPECT_TRUE(waiter.done());
  connection.transport->abort();
}

TEST_P(ServerLife, C0389_ServerLivesWithoutAHandle) {
  auto server = serve(served_.factory());
  const Address address = server->sockets()[0];
  const std::weak_ptr<Server> weak = server;
  server.reset();
  tick(3);
  ASSERT_FALSE(weak.expired());
  const Connection<> connection = dial(made_.factory(), address);
  run_until([&] { return served_.size() == 1 && served_.at(0).made(); });
  weak.lock()->close();
  ASSERT_FALSE(weak.expired()) << "its connection holds it";
  connection.transport->close();
  run_until([&] { return weak.expired(); });
  EXPECT_TRUE(served_.at(0).lost());
}

TEST_P(ServerLife, C0389_ClosingTheLoopEndsServerAndConnections) {
  auto server = serve(served_.factory());
  connect(*server);
  auto waiter = server->wait_closed();
  const std::weak_ptr<Server> weak = server;
  server.reset();
  loop().close();
  EXPECT_EQ(served_.at(0).error(), errc::loop_closed);
  waiter = {};
  EXPECT_TRUE(weak.expired());
}

TEST_P(ServerLife, HandleThatOutlivesTheLoopIsHarmless) {
  const auto server = serve(served_.factory());
  connect(*server);
  made_ = {};
  loop().close();
  EXPECT_FALSE(server->is_serving());
  server->close();
  server->close_clients();
  server->abort_clients();
  EXPECT_TRUE(server->sockets().empty());
  EXPECT_EQ(server->connections(), 0u);
}

TEST_P(ServerLife, DrainLetsConnectionsEndByThemselves) {
  const auto server = serve(served_.factory());
  const Connection<> connection = connect(*server);
  const auto drained = server->drain(1h);
  EXPECT_FALSE(server->is_serving());
  tick(5);
  EXPECT_FALSE(drained.done());
  connection.transport->write("last words");
  connection.transport->close();
  EXPECT_EQ(wait(drained), 0u);
  EXPECT_EQ(served_.at(0).summary(), "made data:10 eof lost:ok");
  EXPECT_EQ(loop().stats().timers, 0u);
}

TEST_P(ServerLife, DrainAbortsWhatIsLeftAtTheDeadline) {
  const auto server = serve(served_.factory());
  for (int i = 0; i < 3; ++i) connect(*server);
  const TimePoint begin = loop().time();
  const auto drained = server->drain(500ms);
  made_.at(1).close();
  EXPECT_EQ(wait(drained), 2u);
  EXPECT_GE(loop().time() - begin, 500ms);
  EXPECT_EQ(server->connections(), 0u);
  run_until([&] { return made_.at(0).lost() && made_.at(2).lost(); });
}

TEST_P(ServerLife, DrainWithoutConnectionsIsDoneAtOnce) {
  const auto server = serve(served_.factory());
  EXPECT_EQ(wait(server->drain(1h)), 0u);
  EXPECT_TRUE(server->wait_closed().done());
  EXPECT_EQ(loop().stats().timers, 0u);
}

TEST_P(ServerLife, CancelledDrainAbortsNothing) {
  const auto server = serve(served_.factory());
  const Connection<> connection = connect(*server);
  const auto drained = server->drain(10ms);
  drained.cancel();
  run_for(30ms);
  EXPECT_EQ(server->connections(), 1u);
  EXPECT_FALSE(connection.transport->is_closing());
  connection.transport->close();
  wait(server->wait_closed());
}

INSTANTIATE_WORLDS(ServerLife);

}  // namespace
}  // namespace ferry::test
