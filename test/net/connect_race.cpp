#include "net_fixture.h"

#include <ferry/connect.h>

namespace ferry::test {
namespace {

/// RFC 8305: several addresses of one name.
class HappyEyeballs : public NetTest {
 protected:
  void SetUp() override {
    NetTest::SetUp();
    resolver_ = std::make_shared<ScriptedResolver>();
    loop().set_resolver(resolver_);
  }
  void TearDown() override {
    resolver_.reset();
    NetTest::TearDown();
  }

  ConnectOptions several(std::vector<Address> addresses) {
    resolver_->names["several.test"] = std::move(addresses);
    ConnectOptions options;
    options.host = "several.test";
    return options;
  }

  std::shared_ptr<ScriptedResolver> resolver_;
  RecordingFactory<> made_;
};

TEST_P(HappyEyeballs, C0361_SecondAddressStartsAfterTheDelayAndTheFirstIsGivenUp) {
  const auto server = serve(echo_factory());
  const BlackHole hole(kernel().inner());
  ConnectOptions options = several({hole.address(), server->sockets().at(0)});
  options.happy_eyeballs_delay = 100ms;
  const std::size_t sockets = open_sockets();
  const TimePoint begin = loop().time();
  const Connection<> connection = wait(create_connection(loop(), made_.factory(), options));
  const Duration taken = loop().time() - begin;
  EXPECT_GE(taken, 100ms);
  EXPECT_LT(taken, 5s);
  if (simulated()) {
    EXPECT_EQ(taken, 100ms);
  }
  EXPECT_EQ(connection.transport->peername(), server->sockets().at(0));
  run_until([&] { return server->connections() == 1; });
  EXPECT_EQ(open_sockets(), sockets + 2);
  connection.transport->abort();
}

TEST_P(HappyEyeballs, C0362_FailureStartsTheNextAtOnce) {
  const auto server = serve(echo_factory());
  ConnectOptions options = several({Address::loopback(free_port()), server->sockets().at(0)});
  options.happy_eyeballs_delay = 1h;
  options.timeout = 0s;
  const Connection<> connection = wait(create_connection(loop(), made_.factory(), options));
  EXPECT_EQ(connection.transport->peername(), server->sockets().at(0));
  connection.transport->abort();
}

TEST_P(HappyEyeballs, WithoutADelayAddressesAreTriedOneAfterTheOther) {
  const auto server = serve(echo_factory());
  const BlackHole hole(kernel().inner());
  ConnectOptions options = several({hole.address(), server->sockets().at(0)});
  options.timeout = 200ms;
  failure<TimeoutError>(create_connection(loop(), made_.factory(), options));
  EXPECT_EQ(server->connections(), 0u);
}

TEST_P(HappyEyeballs, C0364_DelayAloneAlternatesTheFamilies) {
  if (!has_ipv6(kernel().inner())) GTEST_SKIP() << "no IPv6 here";
  // Nobody listens at the first three; the fourth, of the other family, comes second.
  ListenOptions on_six;
  on_six.hosts = {"::1"};
  const auto server = serve(echo_factory(), on_six);
  const BlackHole hole(kernel().inner());
  ConnectOptions options =
      several({Address::loopback(free_port()), hole.address(), server->sockets().at(0)});
  options.happy_eyeballs_delay = 1h;
  options.timeout = 0s;
  const Connection<> connection = wait(create_connection(loop(), made_.factory(), options));
  EXPECT_EQ(connection.transport->peername(), server->sockets().at(0));
  connection.transport->abort();

  options.interleave = 0;
  options.timeout = 200ms;
  failure<TimeoutError>(create_connection(loop(), made_.factory(), options));
}

TEST_P(HappyEyeballs, InterleaveGivesTheFirstFamilyAHeadStart) {
  if (!has_ipv6(kernel().inner())) GTEST_SKIP() << "no IPv6 here";
  const auto four = [this] { return Address::loopback(free_port()); };
  const Address six = *Address::ip("::1", free_port());
  const std::vector<Address> refuse = {four(), four(), four(), six};
  ConnectOptions options = several(refuse);
  options.all_errors = true;
  const auto order = [&](std::size_t interleave) {
    options.interleave = interleave;
    std::vector<std::size_t> indexes;
    const auto error = failure<AggregateError>(create_connection(loop(), made_.factory(), options));
    for (const Error& one : error.errors()) {
      for (std::size_t i = 0; i < refuse.size(); ++i) {
        if (one.address == refuse[i]) indexes.push_back(i);
      }
    }
    return indexes;
  };
  EXPECT_EQ(order(0), (std::vector<std::size_t>{0, 1, 2, 3}));
  EXPECT_EQ(order(1), (std::vector<std::size_t>{0, 3, 1, 2}));
  EXPECT_EQ(order(2), (std::vector<std::size_t>{0, 1, 3, 2}));
  EXPECT_EQ(order(3), (std::vector<std::size_t>{0, 1, 2, 3}));
  EXPECT_EQ(order(100), (std::vector<std::size_t>{0, 1, 2, 3}));
}

TEST_P(HappyEyeballs, C0365_RunnerUpOfTheSameTurnIsClosed) {
  RawListener first(kernel().inner());
  RawListener second(kernel().inner());
  ConnectOptions options = several({first.address(), second.address()});
  options.happy_eyeballs_delay = 1ms;
  // Both connect, and neither is told before both have.
  kernel().block_sends();
  const auto future = create_connection(loop(), made_.factory(), options);
  std::optional<RawPeer> peers[2];
  run_until([&] {
    if (!peers[0]) peers[0] = first.accept();
    if (!peers[1]) peers[1] = second.accept();
    return peers[0] && peers[1];
  });
  ASSERT_FALSE(future.done());
  kernel().release_sends();
  const Connection<> connection = wait(future);
  EXPECT_EQ(made_.size(), 1u);
  const std::size_t winner = connection.transport->peername() == first.address() ? 0 : 1;
  run_until_eof(*peers[1 - winner]);
  EXPECT_TRUE(peers[1 - winner]->eof());
  peers[winner]->write("for the winner");
  run_until([&] { return made_.at(0).data() == "for the winner"; });
  connection.transport->abort();
}

TEST_P(HappyEyeballs, OlderAttemptMayStillWin) {
  const auto server = serve(echo_factory());
  const BlackHole hole(kernel().inner());
  ConnectOptions options = several({server->sockets().at(0), hole.address()});
  options.happy_eyeballs_delay = 1ms;
  kernel().block_sends();
  const auto future = create_connection(loop(), made_.factory(), options);
  run_for(20ms);
  ASSERT_FALSE(future.done());
  kernel().release_sends();
  const Connection<> connection = wait(future);
  EXPECT_EQ(connection.transport->peername(), server->sockets().at(0));
  connection.transport->abort();
}

TEST_P(HappyEyeballs, AllFailuresAreTold) {
  const std::vector<Address> refuse = {Address::loopback(free_port()),
                                       *Address::ip("127.0.0.2", free_port())};
  ConnectOptions options = several(refuse);
  options.happy_eyeballs_delay = 10ms;
  const auto error = failure<AggregateError>(create_connection(loop(), made_.factory(), options));
  ASSERT_EQ(error.errors().size(), 2u);
  EXPECT_EQ(error.errors()[0].address, refuse[0]);
  EXPECT_EQ(error.errors()[1].address, refuse[1]);
}

TEST_P(HappyEyeballs, CancelEndsEveryAttempt) {
  const BlackHole holes[] = {BlackHole(kernel().inner()), BlackHole(kernel().inner())};
  ConnectOptions options = several({holes[0].address(), holes[1].address()});
  options.happy_eyeballs_delay = 1ms;
  const std::size_t sockets = open_sockets();
  const auto future = create_connection(loop(), made_.factory(), options);
  run_until([&] { return open_sockets() == sockets + 2; });
  future.cancel();
  EXPECT_EQ(open_sockets(), sockets);
}

INSTANTIATE_WORLDS(HappyEyeballs);

}  // namespace
}  // namespace ferry::test
