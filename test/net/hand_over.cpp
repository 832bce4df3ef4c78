// Listening sockets from one process to the next, both sides here on one loop.

#include "net_fixture.h"

#include <ferry/listeners.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

namespace ferry::test {
namespace {

class HandOver : public NetTest {
 protected:
  HandOverOptions offer(std::vector<NamedServer> servers) {
    HandOverOptions options;
    options.path = path_;
    options.servers = std::move(servers);
    return options;
  }
  TakenListeners take() {
    const auto taking = take_over_listeners(loop(), path_);
    run_until([&] { return taking.done(); });
    return std::move(taking.result());
  }
  std::shared_ptr<Server> serve_on(std::vector<int> sockets) {
    ListenOptions options;
    options.sockets = std::move(sockets);
    return serve(echo_factory(), std::move(options));
  }
  /// The whole way: from a server to one that has its sockets.
  std::shared_ptr<Server> replace(const std::shared_ptr<Server>& old) {
    const auto offered = hand_over_listeners(loop(), offer({{"web", old}}));
    TakenListeners taken = take();
    auto next = serve_on(take_listeners(taken.listeners, "web"));
    wait(taken.confirm());
    EXPECT_EQ(wait(offered).pid, ::getpid());
    return next;
  }
  void expect_echo(const Address& address) {
    RawPeer peer = raw_dial(address);
    peer.write("x");
    run_until([&] { return peer.read(), peer.received() == "x"; });
  }
  /// An old process that is no ferry program.
  RawListener impostor() { return RawListener(kernel().inner(), Address::unix_path(path_)); }
  /// A connection to the old process that is made by hand.
  RawPeer stranger() {
    RawPeer peer = RawPeer::connect(kernel().inner(), Address::unix_path(path_));
    EXPECT_TRUE(peer.connected());
    return peer;
  }
  /// The old process went on as if nobody had asked, and said why.
  void expect_warning(const std::string& why) {
    run_until([&] {
      for (std::string& line : take_log()) log_ += line;
      return !log_.empty();
    });
    EXPECT_NE(log_.find("did not take the sockets: " + why), std::string::npos) << log_;
    log_.clear();
  }

  std::string path_ = unused_unix_address().path();
  std::string log_;
};
INSTANTIATE_TEST_SUITE_P(World, HandOver, ::testing::Values(World::asio), world_name);

TEST_P(HandOver, SocketsComeWithTheirNamesCloseOnExec) {
  ListenOptions two;
  two.hosts = {"127.0.0.1", "127.0.0.2"};
  const auto web = serve(echo_factory(), two);
  const auto admin = serve(echo_factory());
  const auto offered = hand_over_listeners(loop(), offer({{"web", web}, {"admin", admin}}));
  TakenListeners taken = take();
  ASSERT_EQ(taken.listeners.size(), 3u);
  const std::vector<Address> addresses = {web->sockets()[0], web->sockets()[1],
                                          admin->sockets()[0]};
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(taken.listeners[i].name, i < 2 ? "web" : "admin");
    Address address;
    kernel().inner().local_address(taken.listeners[i].fd.get(), address);
    EXPECT_EQ(address, addresses[i]);
    EXPECT_EQ(::fcntl(taken.listeners[i].fd.get(), F_GETFD), FD_CLOEXEC);
  }
  offered.cancel();
}

TEST_P(HandOver, TheOldOneServesUntilTheNewOneConfirms) {
  const auto old = serve(echo_factory());
  const Address address = old->sockets().front();
  const auto offered = hand_over_listeners(loop(), offer({{"web", old}}));
  TakenListeners taken = take();
  EXPECT_TRUE(old->is_serving());
  expect_echo(address);
  const auto next = serve_on(take_listeners(taken.listeners, "web"));
  tick();
  EXPECT_TRUE(old->is_serving());
  EXPECT_FALSE(offered.done());
  const auto confirmed = taken.confirm();
  EXPECT_THROW(static_cast<void>(taken.confirm()), std::logic_error);
  EXPECT_EQ(wait(offered).pid, ::getpid());
  EXPECT_FALSE(old->is_serving());
  wait(confirmed);
  expect_echo(address);
  EXPECT_EQ(next->sockets().front(), address);
}

TEST_P(HandOver, OldConnectionsStayAndWaitingOnesAreTheSuccessors) {
  const auto old = serve(echo_factory());
  const Address address = old->sockets().front();
  RawPeer mine = raw_dial(address);
  run_until([&] { return old->connections() == 1; });
  const auto offered = hand_over_listeners(loop(), offer({{"web", old}}));
  TakenListeners taken = take();
  wait(taken.confirm());
  wait(offered);
  // Nobody accepts now, and nobody is refused.
  RawPeer waiting = raw_dial(address);
  mine.write("still here");
  run_until([&] { return mine.read(), mine.received() == "still here"; });
  const auto next = serve_on(take_listeners(taken.listeners, "web"));
  waiting.write("x");
  run_until([&] { return waiting.read(), waiting.received() == "x"; });
  EXPECT_EQ(old->connections(), 1u);
  EXPECT_EQ(next->connections(), 1u);
  mine.close();
  EXPECT_EQ(wait(old->drain(1h)), 0u);
}

TEST_P(HandOver, ThePathIsFreeForTheNextOnceConfirmed) {
  path_ = "hand_over_" + std::to_string(::getpid()) + ".sock";
  auto server = serve(echo_factory());
  const Address address = server->sockets().front();
  for (int i = 0; i < 5; ++i) {
    server = replace(server);
    EXPECT_NE(::access(path_.c_str(), F_OK), 0) << "the file is left";
    expect_echo(address);
  }
}

TEST_P(HandOver, AUnixSocketsFileStaysAndIsTheNewOnesToRemove) {
  UnixListenOptions options;
  options.path = "handed_" + std::to_string(::getpid()) + ".sock";
  const auto old = wait(create_unix_server(loop(), echo_factory(), options));
  const auto offered = hand_over_listeners(loop(), offer({{"local", old}}));
  TakenListeners taken = take();
  UnixListenOptions again;
  again.socket = take_listeners(taken.listeners, "local").at(0);
  const auto next = wait(create_unix_server(loop(), echo_factory(), again));
  wait(taken.confirm());
  wait(offered);
  EXPECT_EQ(::access(options.path.c_str(), F_OK), 0);
  expect_echo(Address::unix_path(options.path));
  next->close();
  EXPECT_NE(::access(options.path.c_str(), F_OK), 0);
}

TEST_P(HandOver, MoreSocketsThanOneMessageHolds) {
  ListenOptions options;
  for (int i = 0; i < 600; ++i) {
    const RawListener listener(kernel().inner());
    options.sockets.push_back(kernel().inner().duplicate(listener.fd()).fd());
  }
  const auto old = serve(echo_factory(), options);
  const auto offered = hand_over_listeners(loop(), offer({{std::string(255, 'n'), old}}));
  TakenListeners taken = take();
  ASSERT_EQ(taken.listeners.size(), 600u);
  for (std::size_t i = 0; i < 600; ++i) {
    EXPECT_EQ(taken.listeners[i].name, std::string(255, 'n'));
    Address address;
    kernel().inner().local_address(taken.listeners[i].fd.get(), address);
    EXPECT_EQ(address, old->sockets()[i]);
  }
  offered.cancel();
}

TEST_P(HandOver, ASuccessorThatGoesWithoutAWordChangesNothing) {
  const auto old = serve(echo_factory());
  const auto offered = hand_over_listeners(loop(), offer({{"web", old}}));
  { const TakenListeners taken = take(); }
  expect_warning("it has gone");
  EXPECT_TRUE(old->is_serving());
  EXPECT_FALSE(offered.done());
  expect_echo(old->sockets().front());
  TakenListeners second = take();
  wait(second.confirm());
  wait(offered);
}

TEST_P(HandOver, ASuccessorThatTakesTooLongLosesItsTurn) {
  const auto old = serve(echo_factory());
  HandOverOptions options = offer({{"web", old}});
  options.limit = 200ms;
  const auto offered = hand_over_listeners(loop(), std::move(options));
  TakenListeners slow = take();
  // The next waits for its turn meanwhile.
  TakenListeners next = take();
  expect_warning("it took too long");
  const auto confirmed = next.confirm();  // its own limit has begun
  EXPECT_EQ(failure(slow.confirm()).code(), std::errc::connection_aborted);
  wait(confirmed);
  wait(offered);
}

TEST_P(HandOver, ASuccessorThatTalksNonsenseIsSentAway) {
  const auto old = serve(echo_factory());
  const auto offered = hand_over_listeners(loop(), offer({{"web", old}}));
  RawPeer peer = stranger();
  peer.write("GET / HTTP/1.1\r\n\r\n");
  expect_warning("it talks nonsense");
  run_until([&] { return peer.read(), peer.eof() || peer.error(); });
  EXPECT_TRUE(old->is_serving());
  offered.cancel();
}

TEST_P(HandOver, ServersThatWereClosedAreNotGiven) {
  const auto one = serve(echo_factory());
  const auto other = serve(echo_factory());
  const auto offered = hand_over_listeners(loop(), offer({{"one", one}, {"other", other}}));
  one->close();
  TakenListeners taken = take();
  ASSERT_EQ(taken.listeners.size(), 1u);
  EXPECT_EQ(taken.listeners[0].name, "other");
  offered.cancel();
}

TEST_P(HandOver, AnOfferCanBeWithdrawn) {
  path_ = "withdrawn_" + std::to_string(::getpid()) + ".sock";
  const auto old = serve(echo_factory());
  const auto offered = hand_over_listeners(loop(), offer({{"web", old}}));
  TakenListeners taken = take();
  offered.cancel();
  EXPECT_NE(::access(path_.c_str(), F_OK), 0);
  EXPECT_EQ(failure(taken.confirm()).code(), std::errc::connection_aborted);
  EXPECT_TRUE(old->is_serving());
}

TEST_P(HandOver, NobodyThereFailsAtOnce) {
  path_ = "nobody_" + std::to_string(::getpid()) + ".sock";
  EXPECT_EQ(failure(take_over_listeners(loop(), path_)).code(),
            std::errc::no_such_file_or_directory);
  { const RawListener dead = impostor(); }  // leaves its file
  EXPECT_EQ(failure(take_over_listeners(loop(), path_)).code(), std::errc::connection_refused);
  const auto offered = hand_over_listeners(loop(), offer({}));  // in place of the stale one
  TakenListeners taken = take();
  EXPECT_TRUE(taken.listeners.empty());
  wait(taken.confirm());
}

TEST_P(HandOver, APathThatCannotBeBoundFails) {
  path_ = "/nonexistent/directory/x.sock";
  EXPECT_EQ(failure(hand_over_listeners(loop(), offer({}))).code(),
            std::errc::no_such_file_or_directory);
}

TEST_P(HandOver, MisuseIsRefusedAtTheCall) {
  const auto server = serve(echo_factory());
  EXPECT_THROW(static_cast<void>(hand_over_listeners(loop(), {})), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(hand_over_listeners(loop(), offer({{"x", nullptr}}))),
               std::invalid_argument);
  EXPECT_THROW(
      static_cast<void>(hand_over_listeners(loop(), offer({{std::string(256, 'x'), server}}))),
      std::invalid_argument);
  path_ = std::string(200, 'x');
  EXPECT_THROW(static_cast<void>(hand_over_listeners(loop(), offer({}))), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(take_over_listeners(loop(), path_)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(take_over_listeners(loop(), "")), std::invalid_argument);
}

TEST_P(HandOver, TheNewOneDoesNotWaitForEver) {
  const RawListener silent = impostor();
  EXPECT_EQ(failure<TimeoutError>(take_over_listeners(loop(), path_, 20ms)).code(),
            std::errc::timed_out);
}

TEST_P(HandOver, TheNewOneCanGiveUp) {
  const RawListener silent = impostor();
  const auto taking = take_over_listeners(loop(), path_);
  tick();
  taking.cancel();
  EXPECT_EQ(loop().stats().operations, 0u);
}

TEST_P(HandOver, NonsenseFromTheOldOneIsAnErrorAndNothingIsKept) {
  const std::string good("FRL1\0\0\0\5\1\0\1\1w", 13);
  struct {
    std::string bytes;
    std::size_t descriptors;
    std::errc expected;
  } const cases[] = {
      {good, 0, std::errc::protocol_error},             // a name without a descriptor
      {good, 2, std::errc::protocol_error},             // a descriptor without a name
      {good + "x", 1, std::errc::protocol_error},       // more after the last batch
      {"HTTP/1.1 400 ", 0, std::errc::protocol_error},  // something else altogether
      {std::string("FRL1\x7f\0\0\5", 8), 1, std::errc::protocol_error},          // endless
      {std::string("FRL1\0\0\0\5\1\0\1\7w", 13), 1, std::errc::protocol_error},  // cut name
      {std::string("FRL1\0\0\0\5\1\0\0\1w", 13), 0, std::errc::protocol_error},  // left over
      {good.substr(0, 12), 1, std::errc::connection_aborted},                    // ends too early
      {"", 0, std::errc::connection_aborted},
  };
  for (const auto& one : cases) {
    RawListener old = impostor();
    const std::size_t before = open_sockets();
    const auto taking = take_over_listeners(loop(), path_);
    {
      auto accepted = old.accept();
      ASSERT_TRUE(accepted);
      const std::vector<int> descriptors(one.descriptors, old.fd());
      if (!one.bytes.empty()) {
        kernel().inner().send_descriptors(accepted->fd(), one.bytes, descriptors);
      }
    }
    EXPECT_EQ(failure(taking).code(), one.expected) << one.bytes;
    EXPECT_EQ(open_sockets(), before) << one.bytes;
  }
}

TEST_P(HandOver, BatchesMayComeByteByByte) {
  RawListener old = impostor();
  const auto taking = take_over_listeners(loop(), path_);
  auto accepted = old.accept();
  ASSERT_TRUE(accepted);
  const std::string bytes("FRL1\0\0\0\5\0\0\1\1wFRL1\0\0\0\7\1\0\2\1a\1b", 28);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    std::vector<int> descriptors;
    if (i == 0) descriptors = {old.fd()};
    if (i == 13) descriptors = {old.fd(), old.fd()};
    kernel().inner().send_descriptors(accepted->fd(), bytes.substr(i, 1), descriptors);
    tick(1);
  }
  run_until([&] { return taking.done(); });
  ASSERT_EQ(taking.result().listeners.size(), 3u);
  EXPECT_EQ(taking.result().listeners[2].name, "b");
}

TEST_P(HandOver, TooFewDescriptorsLeftIsAnErrorAndNothingIsKept) {
  ListenOptions options;
  for (int i = 0; i < 50; ++i) {
    const RawListener listener(kernel().inner());
    options.sockets.push_back(kernel().inner().duplicate(listener.fd()).fd());
  }
  RawListener old = impostor();
  const auto taking = take_over_listeners(loop(), path_);
  auto accepted = old.accept();
  ASSERT_TRUE(accepted);
  std::string bytes("FRL1\0\0\0\x67\1\0\x32", 11);
  for (int i = 0; i < 50; ++i) bytes += std::string("\1x", 2);
  kernel().inner().send_descriptors(accepted->fd(), bytes, options.sockets);
  const std::size_t before = open_sockets();
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  rlimit low = limit;
  low.rlim_cur = before + 10;
  ::setrlimit(RLIMIT_NOFILE, &low);
  EXPECT_EQ(failure(taking).code(), std::errc::message_size);
  ::setrlimit(RLIMIT_NOFILE, &limit);
  EXPECT_EQ(open_sockets(), before - 1);  // the connection is closed, too
  for (const int fd : options.sockets) kernel().inner().close(fd);
}

TEST_P(HandOver, AnotherUserGetsNothing) {
  if (::geteuid() != 0) GTEST_SKIP() << "takes another user";
  const auto old = serve(echo_factory());
  const auto offered = hand_over_listeners(loop(), offer({{"web", old}}));
  const pid_t child = ::fork();
  if (child == 0) {
    const auto plain = make_asio_kernel();
    if (::setuid(65534) != 0) ::_exit(2);
    const int fd = plain->socket(AF_UNIX, SOCK_STREAM, 0).fd();
    if (!plain->connect(fd, Address::unix_path(path_)).ok()) ::_exit(3);
    plain->set_blocking(fd);
    std::byte byte{};
    ::_exit(plain->recv(fd, {&byte, 1}).count() == 0 ? 0 : 4);
  }
  int status = -1;
  run_until([&] { return ::waitpid(child, &status, WNOHANG) == child; });
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  std::string log;
  for (const std::string& line : take_log()) log += line;
  EXPECT_NE(log.find("refused process " + std::to_string(child)), std::string::npos) << log;
  TakenListeners taken = take();  // our own is not refused
  offered.cancel();
}

TEST_P(HandOver, TheLoopMayCloseInTheMiddle) {
  EventLoop own;
  const auto old = own.run_until_complete(create_server(own, echo_factory(), on_loopback()));
  const auto offered = hand_over_listeners(own, offer({{"web", old}}));
  TakenListeners held = own.run_until_complete(take_over_listeners(own, path_));
  const auto waiting = take_over_listeners(own, path_);
  EXPECT_EQ(own.stats().operations, 3u);
  own.close();
  EXPECT_EQ(own.stats().operations, 0u);
  EXPECT_FALSE(offered.done());
  EXPECT_FALSE(waiting.done());
  EXPECT_EQ(held.listeners.size(), 1u);
  { const TakenListeners dropped = std::move(held); }
}

}  // namespace
}  // namespace ferry::test
