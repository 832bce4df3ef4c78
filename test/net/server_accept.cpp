#include "net_fixture.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace ferry::test {
namespace {

class Accept : public NetTest {
 protected:
  RecordingFactory<> served_;
};

TEST_P(Accept, C0390_BurstOfAHundredIsAcceptedAtOnce) {
  const auto server = serve(served_.factory());
  std::vector<RawPeer> peers;
  for (int i = 0; i < 100; ++i) {
    peers.push_back(RawPeer::connect(kernel().inner(), server->sockets()[0]));
  }
  tick(5);
  EXPECT_EQ(server->connections(), 100u);
}

TEST_P(Accept, C0390_NoMoreThanTheBacklogInOneTurn) {
  ListenOptions options = on_loopback();
  options.backlog = 5;
  // Counts the chances that others got.
  std::size_t chances = 0;
  bool counting = true;
  Function<void()> count = [&] {
    ++chances;
    if (counting) loop().call_soon([&] { count(); });
  };
  std::vector<std::size_t> accepted_at;
  const auto server = serve(
      [&] {
        accepted_at.push_back(chances);
        return std::make_shared<RecordingProtocol>();
      },
      options);
  std::vector<RawPeer> peers;
  for (int i = 0; i < 6; ++i) {
    peers.push_back(RawPeer::connect(kernel().inner(), server->sockets()[0]));
  }
  count();
  run_until([&] { return accepted_at.size() == 6; });
  counting = false;
  tick(1);
  EXPECT_LT(accepted_at.front(), accepted_at.back()) << "all six in one go";
}

TEST_P(Accept, C0392_ErrorsOfOneConnectionAreSkippedSilently) {
  const auto server = serve(served_.factory());
  for (const int error : {EAGAIN, EINTR, ECONNABORTED, EPROTO, EPERM, ENETUNREACH}) {
    kernel().fail_next_accept(error);
  }
  const RawPeer peer = raw_dial(server->sockets()[0]);
  run_until([&] { return server->connections() == 1; });
}

TEST_P(Accept, C0393_ThrowingFactoryEndsThatConnectionOnly) {
  int calls = 0;
  const auto server = serve([&]() -> std::shared_ptr<Protocol> {
    if (++calls % 2 == 0) throw std::runtime_error("no protocol for this one");
    return std::make_shared<RecordingProtocol>();
  });
  for (const bool debug : {false, true}) {
    loop().set_debug(debug);
    RawPeer served = raw_dial(server->sockets()[0]);
    run_until([&] { return server->connections() == 1; });
    RawPeer refused = raw_dial(server->sockets()[0]);
    run_until_eof(refused);
    EXPECT_TRUE(refused.eof() || refused.error());
    EXPECT_EQ(server->connections(), 1u);
    const auto told = take_exceptions();
    ASSERT_EQ(told.size(), debug ? 1u : 0u);
    for (const ExceptionContext& context : told) {
      EXPECT_EQ(what(context.exception), "no protocol for this one");
    }
    served.close();
    run_until([&] { return server->connections() == 0; });
  }
  loop().set_debug(false);
}

TEST_P(Accept, NullProtocolEndsThatConnectionOnly) {
  bool nothing = true;
  const auto server = serve([&]() -> std::shared_ptr<Protocol> {
    if (std::exchange(nothing, false)) return nullptr;
    return std::make_shared<RecordingProtocol>();
  });
  RawPeer refused = raw_dial(server->sockets()[0]);
  run_until_eof(refused);
  const RawPeer served = raw_dial(server->sockets()[0]);
  run_until([&] { return server->connections() == 1; });
}

TEST_P(Accept, LoopExitOutOfTheFactoryLeavesTheServerUsable) {
  bool leave = true;
  const auto server = serve([&]() -> std::shared_ptr<Protocol> {
    if (std::exchange(leave, false)) throw LoopExit{7};
    return std::make_shared<RecordingProtocol>();
  });
  RawPeer first = RawPeer::connect(kernel().inner(), server->sockets()[0]);
  EXPECT_THROW(run_until([] { return false; }), LoopExit);
  const RawPeer second = raw_dial(server->sockets()[0]);
  run_until([&] { return server->connections() == 1; });
}

TEST_P(Accept, FactoryMayCloseTheServer) {
  std::shared_ptr<Server> server;
  server = serve([&] {
    server->close();
    return std::make_shared<RecordingProtocol>();
  });
  const Address address = server->sockets()[0];
  RawPeer first = RawPeer::connect(kernel().inner(), address);
  RawPeer second = RawPeer::connect(kernel().inner(), address);
  run_until_eof(second);
  EXPECT_EQ(server->connections(), 1u);
  first.close();
  wait(server->wait_closed());
}

/// A client in the backlog of a server that accepts it only when `admit` is called.
class AcceptLate : public Accept {
 protected:
  void SetUp() override {
    Accept::SetUp();
    ListenOptions options = on_loopback();
    options.max_connections = 1;
    server_ = serve(served_.factory(), options);
    holder_ = raw_dial(server_->sockets()[0]);
    run_until([&] { return served_.size() == 1 && served_.at(0).made(); });
    client_ = raw_dial(server_->sockets()[0]);
  }
  void TearDown() override {
    server_.reset();
    holder_.close();
    client_.close();
    Accept::TearDown();
  }
  void admit() {
    settle();
    EXPECT_EQ(served_.size(), 1u);
    served_.at(0).abort();
  }

  std::shared_ptr<Server> server_;
  RawPeer holder_;
  RawPeer client_;
};

TEST_P(AcceptLate, C0394_ClientThatIsGoneBeforeIsHeardInOrder) {
  EXPECT_EQ(client_.write("x"), 1u);
  client_.close();
  admit();
  run_until([&] { return served_.size() == 2 && served_.at(1).lost(); });
  EXPECT_EQ(served_.at(1).summary(), "made data:1 eof lost:ok");
}

TEST_P(AcceptLate, C0394_ClientThatResetBeforeIsHeardInOrder) {
  EXPECT_EQ(client_.write("x"), 1u);
  client_.reset();
  admit();
  RawPeer next = raw_dial(server_->sockets()[0]);
  EXPECT_EQ(next.write("next"), 4u);
  run_until([&] { return served_.all().back()->data() == "next"; });
  // Some kernels show the reset connection, some do not.
  for (const auto& protocol : served_.all()) {
    EXPECT_EQ(protocol->violations(), std::vector<std::string>()) << protocol->summary();
  }
  ASSERT_LE(served_.size(), 3u);
  if (served_.size() == 2) return;
  EXPECT_EQ(served_.at(1).error(), std::errc::connection_reset) << served_.at(1).summary();
}

TEST_P(Accept, FullServerStopsAcceptingUntilOneLeaves) {
  ListenOptions options = on_loopback();
  options.max_connections = 2;
  const auto server = serve(served_.factory(), options);
  std::vector<RawPeer> peers;
  for (int i = 0; i < 4; ++i) peers.push_back(raw_dial(server->sockets()[0]));
  run_until([&] { return served_.size() == 2; });
  settle();
  EXPECT_EQ(server->connections(), 2u);
  EXPECT_EQ(served_.size(), 2u);
  peers[0].close();
  run_until([&] { return served_.size() == 3; });
  EXPECT_EQ(server->connections(), 2u);
  peers[1].close();
  peers[2].close();
  run_until([&] { return served_.size() == 4 && server->connections() == 1; });
  // No longer full: the next one comes in at once.
  const RawPeer fifth = raw_dial(server->sockets()[0]);
  run_until([&] { return server->connections() == 2; });
}

TEST_P(Accept, OutOfDescriptorsTheServerReportsRestsASecondAndGoesOn) {
  const auto server = serve(served_.factory());
  std::vector<RawPeer> peers;
  for (int i = 0; i < 3; ++i) {
    peers.push_back(RawPeer::connect(kernel().inner(), server->sockets()[0]));
  }
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  if (simulated()) {
    sim()->set_descriptor_limit(open_sockets() + 1);
  } else {
    // One more descriptor: the lowest two that are free, and the limit in between.
    const int first = ::dup(0);
    const int second = ::dup(0);
    ::close(first);
    ::close(second);
    rlimit low = limit;
    low.rlim_cur = static_cast<rlim_t>(second);
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  }
  const TimePoint begin = loop().time();
  std::vector<ExceptionContext> told;
  run_until([&] {
    told = take_exceptions();
    return !told.empty();
  });
  EXPECT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].error, std::errc::too_many_files_open);
  EXPECT_NE(told[0].message.find(server->sockets()[0].to_string()), std::string::npos);
  EXPECT_EQ(server->connections(), 1u);
  EXPECT_TRUE(server->is_serving());
  if (simulated()) {
    sim()->set_descriptor_limit(1000);
  } else {
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  }
  run_until([&] { return server->connections() == 3; });
  EXPECT_GE(loop().time() - begin, 1s) << "it does not rest";
}

TEST_P(Accept, CloseDuringTheRestEndsIt) {
  const auto server = serve(served_.factory());
  kernel().fail_next_accept(ENFILE);
  const RawPeer peer = raw_dial(server->sockets()[0]);
  std::vector<ExceptionContext> told;
  run_until([&] {
    told = take_exceptions();
    return !told.empty();
  });
  server->close();
  EXPECT_EQ(loop().stats().timers, 0u);
  wait(server->wait_closed());
}

INSTANTIATE_WORLDS(Accept);
INSTANTIATE_WORLDS(AcceptLate);

}  // namespace
}  // namespace ferry::test
