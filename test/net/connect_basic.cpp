#include "net_fixture.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

namespace ferry::test {
namespace {

class Connect : public NetTest {
 protected:
  RecordingFactory<> made_;

  /// A port of 127.0.0.1 where nobody listens.
  Address nobody() { return Address::loopback(free_port()); }
};

TEST_P(Connect, C0340_RefusedFailsAndNeverCallsTheFactory) {
  const std::size_t sockets = open_sockets();
  const Address address = nobody();
  const IoError error = failure(create_connection(loop(), made_.factory(), to(address)));
  EXPECT_EQ(error.code(), std::errc::connection_refused);
  EXPECT_EQ(error.address(), address);
  EXPECT_STREQ(error.operation(), "connect");
  EXPECT_EQ(made_.size(), 0u);
  EXPECT_EQ(open_sockets(), sockets);
}

TEST_P(Connect, C0341_ContradictingArgumentsThrowAtTheCall) {
  const auto connect = [&](ConnectOptions options) {
    static_cast<void>(create_connection(loop(), echo_factory(), std::move(options)));
  };
  EXPECT_THROW(connect({}), std::invalid_argument);
  const auto [near, far] = stream_pair(kernel().inner());
  ConnectOptions both;
  both.socket = near.get();
  both.host = "127.0.0.1";
  EXPECT_THROW(connect(both), std::invalid_argument);
  both.host = "";
  both.port = 80;
  EXPECT_THROW(connect(both), std::invalid_argument);
  both.port = 0;
  both.local_host = "127.0.0.1";
  EXPECT_THROW(connect(both), std::invalid_argument);
  ConnectOptions wrong = to(nobody());
  wrong.family = AF_UNIX;
  EXPECT_THROW(connect(wrong), std::invalid_argument);
  wrong = to(nobody());
  wrong.timeout = -1s;
  EXPECT_THROW(connect(wrong), std::invalid_argument);
  wrong = to(nobody());
  wrong.happy_eyeballs_delay = -1ns;
  EXPECT_THROW(connect(wrong), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(create_connection(loop(), ProtocolFactory(), to(nobody()))),
               std::invalid_argument);
  // The socket was not taken.
  EXPECT_TRUE(kernel().inner().send(near.get(), "x").ok());
}

TEST_P(Connect, C0341_DatagramSocketIsAnInvalidArgument) {
  const IoResult made = kernel().socket(AF_INET, SOCK_DGRAM, 0);
  if (!made.ok()) GTEST_SKIP() << "this kernel has no datagram sockets";
  const Socket socket(kernel(), made.fd());
  ConnectOptions options;
  options.socket = socket.get();
  EXPECT_THROW(static_cast<void>(create_connection(loop(), echo_factory(), options)),
               std::invalid_argument);
}

TEST_P(Connect, C0341_ClosedSocketIsABadDescriptor) {
  if (simulated()) GTEST_SKIP() << "the fixture allows no bad descriptor in the simulation";
  ConnectOptions options;
  options.socket = 1 << 20;
  const IoError error = failure(create_connection(loop(), made_.factory(), options));
  EXPECT_EQ(error.code(), std::errc::bad_file_descriptor);
  EXPECT_EQ(made_.size(), 0u);
}

TEST_P(Connect, C0342_ConnectedSocketIsTakenWhateverItsFamily) {
  for (const int family : {AF_INET, AF_UNIX}) {
    auto [near, far] = stream_pair(kernel().inner(), family);
    RawPeer peer(kernel().inner(), std::move(far));
    RecordingFactory<> made;
    ConnectOptions options;
    options.socket = near.release();
    const Connection<> connection = wait(create_connection(loop(), made.factory(), options));
    EXPECT_EQ(connection.transport->peername().family(), family);
    peer.write("hello");
    run_until([&] { return made.at(0).data() == "hello"; });
    connection.transport->close();
    run_until([&] { return made.at(0).lost(); });
    EXPECT_EQ(made.at(0).summary(), "made data:5 lost:ok");
  }
}

TEST_P(Connect, BlockingSocketIsMadeNonBlocking) {
  if (simulated()) GTEST_SKIP() << "simulated sockets do not block";
  int fds[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
  RawPeer peer(kernel().inner(), Socket(kernel().inner(), fds[1]));
  const Connection<> connection = wait(connect_accepted_socket(loop(), made_.factory(), fds[0]));
  peer.write("x");
  // A blocking recv after the first byte would hang here.
  run_until([&] { return made_.at(0).data() == "x"; });
  peer.close();
  run_until([&] { return made_.at(0).lost(); });
}

TEST_P(Connect, C0344_ResolverThatFindsNothingIsAnError) {
  const auto resolver = std::make_shared<ScriptedResolver>();
  resolver->names["empty.test"] = {};
  loop().set_resolver(resolver);
  ConnectOptions options;
  options.host = "empty.test";
  options.port = 80;
  const IoError error = failure(create_connection(loop(), made_.factory(), options));
  EXPECT_EQ(error.code(), errc::no_address);
  EXPECT_EQ(made_.size(), 0u);
}

TEST_P(Connect, C0345_ErrorOfTheResolverReachesTheCaller) {
  loop().set_resolver(std::make_shared<ScriptedResolver>());
  ConnectOptions options;
  options.host = "unknown.test";
  options.port = 80;
  const auto error = failure<ResolveError>(create_connection(loop(), made_.factory(), options));
  EXPECT_EQ(error.code(), std::error_code(EAI_NONAME, resolver_category()));
  EXPECT_NE(std::string(error.what()).find("unknown.test"), std::string::npos);
}

TEST_P(Connect, C0346_SecondAddressIsUsedWhenTheFirstRefuses) {
  const auto server = serve(echo_factory());
  const auto resolver = std::make_shared<ScriptedResolver>();
  const Address refuses = nobody();
  resolver->names["two.test"] = {refuses, server->sockets().at(0)};
  loop().set_resolver(resolver);
  const std::size_t sockets = open_sockets();
  ConnectOptions options;
  options.host = "two.test";
  const Connection<> connection = wait(create_connection(loop(), made_.factory(), options));
  EXPECT_EQ(connection.transport->peername(), server->sockets().at(0));
  run_until([&] { return server->connections() == 1; });
  EXPECT_EQ(open_sockets(), sockets + 2) << "the socket of the first attempt is still open";
  connection.transport->abort();
}

TEST_P(Connect, AllAddressesRefusedGivesAnAggregateOfTheirErrors) {
  const auto resolver = std::make_shared<ScriptedResolver>();
  const std::vector<Address> addresses = {nobody(), nobody()};
  resolver->names["two.test"] = addresses;
  loop().set_resolver(resolver);
  ConnectOptions options;
  options.host = "two.test";
  const auto error = failure<AggregateError>(create_connection(loop(), made_.factory(), options));
  ASSERT_EQ(error.errors().size(), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(error.errors()[i].address, addresses[i]);
    EXPECT_NE(std::string(error.what()).find(error.errors()[i].message()), std::string::npos);
  }
  EXPECT_EQ(error.code(), std::errc::connection_refused);
}

TEST_P(Connect, ErrorsThatSayTheSameAreOneUnlessAllAreAskedFor) {
  const auto resolver = std::make_shared<ScriptedResolver>();
  const Address address = nobody();
  resolver->names["twice.test"] = {address, address};
  loop().set_resolver(resolver);
  ConnectOptions options;
  options.host = "twice.test";
  try {
    wait(create_connection(loop(), made_.factory(), options));
    ADD_FAILURE() << "connected";
  } catch (const AggregateError& error) {
    ADD_FAILURE() << error.what();
  } catch (const IoError& error) {
    EXPECT_EQ(error.address(), address);
  }
  options.all_errors = true;
  const auto all = failure<AggregateError>(create_connection(loop(), made_.factory(), options));
  EXPECT_EQ(all.errors().size(), 2u);
  resolver->names["twice.test"].pop_back();
  const auto single = failure<AggregateError>(create_connection(loop(), made_.factory(), options));
  EXPECT_EQ(single.errors().size(), 1u);
}

TEST_P(Connect, C0357_ExceptionOfTheFactoryReachesTheCallerAndClosesTheSocket) {
  const auto server = serve(echo_factory());
  const std::size_t sockets = open_sockets();
  const auto future = create_connection(
      loop(), [&]() -> std::shared_ptr<Protocol> { throw std::runtime_error("no protocol today"); },
      to(server->sockets().at(0)));
  EXPECT_STREQ(failure<std::runtime_error>(future).what(), "no protocol today");
  run_until([&] { return server->connections() == 0 && open_sockets() == sockets; });
}

TEST_P(Connect, NullProtocolIsALogicErrorAndClosesTheSocket) {
  const auto server = serve(echo_factory());
  const std::size_t sockets = open_sockets();
  const auto future = create_connection(
      loop(), [] { return std::shared_ptr<Protocol>(); }, to(server->sockets().at(0)));
  failure<std::logic_error>(future);
  run_until([&] { return server->connections() == 0 && open_sockets() == sockets; });
}

TEST_P(Connect, C0356_ConnectionMadeThatAbortsGivesAClosingTransport) {
  const auto server = serve(echo_factory());
  made_.prepare = [](RecordingProtocol& protocol) {
    protocol.on_made = [&protocol] { protocol.abort(); };
  };
  const Connection<> connection = dial(made_.factory(), server->sockets().at(0));
  EXPECT_TRUE(connection.transport->is_closing());
  run_until([&] { return made_.at(0).lost(); });
  EXPECT_EQ(made_.at(0).summary(), "made lost:ok");
  EXPECT_EQ(connection.transport->native_handle(), -1);
}

TEST_P(Connect, FutureCompletesAfterConnectionMade) {
  const auto server = serve(echo_factory());
  std::vector<std::string> order;
  made_.prepare = [&](RecordingProtocol& protocol) {
    order.push_back("factory");
    protocol.on_made = [&] { order.push_back("made"); };
  };
  auto future = create_connection(loop(), made_.factory(), to(server->sockets().at(0)));
  EXPECT_EQ(made_.size(), 0u) << "the factory ran inside the call";
  future.add_done_callback([&] { order.push_back("done"); });
  wait(future).transport->close();
  run_until([&] { return order.size() == 3; });
  EXPECT_EQ(order, (std::vector<std::string>{"factory", "made", "done"}));
}

TEST_P(Connect, ThrowingConnectionMadeDoesNotFailTheConnect) {
  const auto server = serve(echo_factory());
  made_.prepare = [](RecordingProtocol& protocol) {
    protocol.on_made = [] { throw std::runtime_error("made failed"); };
  };
  const Connection<> connection = dial(made_.factory(), server->sockets().at(0));
  EXPECT_EQ(connection.protocol.get(), &made_.at(0));
  EXPECT_EQ(take_exceptions().size(), 1u);
  run_until([&] { return made_.at(0).lost(); });
  EXPECT_EQ(made_.at(0).error(), errc::protocol_failed);
}

TEST_P(Connect, C0358_NoDelayIsSetOnBothEnds) {
  RecordingFactory<> served;
  const auto server = serve(served.factory());
  const Connection<> connection = dial(made_.factory(), server->sockets().at(0));
  run_until([&] { return served.size() == 1 && served.at(0).made(); });
  for (const auto& transport : {connection.transport, served.at(0).transport()}) {
    int value = 0;
    ASSERT_TRUE(
        kernel().get_option(transport->native_handle(), IPPROTO_TCP, TCP_NODELAY, value).ok());
    EXPECT_NE(value, 0);
    transport->abort();
  }
}

TEST_P(Connect, TypedFactoryGivesATypedConnection) {
  ListenOptions options = on_loopback();
  options.port = free_port();
  const auto server = serve(echo_factory(), options);
  Future<Connection<RecordingProtocol>> future = create_connection(
      loop(), [] { return std::make_shared<RecordingProtocol>(); }, to(server->sockets().at(0)));
  const Connection<RecordingProtocol> connection = wait(future);
  EXPECT_EQ(connection.protocol->transport(), connection.transport);
  connection.protocol->write("typed");
  run_until([&] { return connection.protocol->data() == "typed"; });
  connection.transport->close();
  run_until([&] { return connection.protocol->lost(); });

  server->close();
  const IoError refused = failure(create_connection(
      loop(), [] { return std::make_shared<RecordingProtocol>(); },
      to(connection.transport->peername())));
  EXPECT_EQ(refused.code(), std::errc::connection_refused);
}

TEST_P(Connect, WrapPutsAProtocolBetween) {
  struct Between final : Protocol {
    explicit Between(std::shared_ptr<Protocol> p) : application(std::move(p)) {}
    void connection_made(std::shared_ptr<Transport> transport) override {
      application->connection_made(std::move(transport));
    }
    void data_received(BytesView data) override {
      application->data_received("<" + std::string(data.text()) + ">");
    }
    void connection_lost(std::error_code error) override { application->connection_lost(error); }
    std::shared_ptr<Protocol> application;
  };
  const auto server = serve(echo_factory());
  ConnectOptions options = to(server->sockets().at(0));
  options.wrap = [](std::shared_ptr<Protocol> protocol) {
    return std::make_shared<Between>(std::move(protocol));
  };
  const Connection<> connection =
      wait(create_connection(loop(), made_.factory(), std::move(options)));
  EXPECT_EQ(connection.protocol.get(), &made_.at(0));
  EXPECT_NE(connection.transport->get_protocol(), connection.protocol);
  connection.transport->write("x");
  run_until([&] { return made_.at(0).data() == "<x>"; });
  connection.transport->close();
  run_until([&] { return made_.at(0).lost(); });
}

TEST_P(Connect, AcceptedSocketIsClosedWhenTheFactoryThrows) {
  auto [near, far] = stream_pair(kernel().inner());
  RawPeer peer(kernel().inner(), std::move(far));
  const auto future = connect_accepted_socket(
      loop(), []() -> std::shared_ptr<Protocol> { throw std::runtime_error("no"); },
      near.release());
  failure<std::runtime_error>(future);
  run_until_eof(peer);
  EXPECT_TRUE(peer.eof());
}

TEST_P(Connect, UnconnectedSocketIsNotConnected) {
  const IoResult made = kernel().socket(AF_INET, SOCK_STREAM, 0);
  ASSERT_TRUE(made.ok());
  const std::size_t sockets = open_sockets();
  const IoError error = failure(connect_accepted_socket(loop(), made_.factory(), made.fd()));
  EXPECT_EQ(error.code(), std::errc::not_connected);
  EXPECT_EQ(open_sockets(), sockets - 1);
}

INSTANTIATE_WORLDS(Connect);

TEST(AggregateError, C0366_EmptyListIsAPlainErrorAndNoCrash) {
  const AggregateError error{{}};
  EXPECT_TRUE(error.code());
  EXPECT_STRNE(error.what(), "");
  EXPECT_TRUE(error.errors().empty());
}

}  // namespace
}  // namespace ferry::test
