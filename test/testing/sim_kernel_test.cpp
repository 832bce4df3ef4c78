// What only SimKernel has: virtual time, its own table of descriptors, limits, strictness.

#include "kernel_suite.h"

#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <thread>

namespace ferry::test {
namespace {

using namespace std::chrono_literals;
using testing::SimKernel;
using testing::SimOptions;
using Arm = FdWatch::Arm;

class SimKernelTest : public KernelSuite {
 protected:
  World world() const override { return World::sim; }
  Socket open(int family = AF_INET) {
    return Socket(kernel(), kernel().socket(family, SOCK_STREAM, 0).fd());
  }
};

// -- time

TEST_F(SimKernelTest, ClockStandsStillUntilNothingIsReadyThenJumpsToTheTimer) {
  const TimePoint start = kernel().now();
  turns(100);
  EXPECT_EQ(kernel().now(), start);
  timed_ = [this] { kernel().stop(); };
  kernel().set_timer(start + 24h);
  const auto real = std::chrono::steady_clock::now();
  kernel().run();
  EXPECT_EQ(kernel().now(), start + 24h);
  EXPECT_LT(std::chrono::steady_clock::now() - real, 1h);
  EXPECT_EQ(sim().stats().jumps, 1u);
}

TEST_F(SimKernelTest, BusyWorkMakesATimerLate) {
  const TimePoint start = kernel().now();
  drained_ = [this] { sim().advance(5s); };
  timed_ = [this] { kernel().stop(); };
  kernel().set_timer(start + 1s);
  kernel().request_drain();
  kernel().run();
  EXPECT_EQ(kernel().now(), start + 5s);
  EXPECT_EQ(sim().stats().jumps, 0u);
}

TEST_F(SimKernelTest, TurnCostAgesAProgramThatIsNeverIdle) {
  sim().set_turn_cost(1ms);
  const TimePoint start = kernel().now();
  bool timed = false;
  timed_ = [&] { timed = true; };
  drained_ = [&] { timed ? kernel().stop() : kernel().request_drain(); };
  kernel().set_timer(start + 10ms);
  kernel().request_drain();
  kernel().run();
  EXPECT_GE(kernel().now(), start + 10ms);
  EXPECT_EQ(sim().stats().jumps, 0u);
}

TEST_F(SimKernelTest, SocketsComeBeforeTheTimerOfTheSameTurn) {
  auto [near, far] = stream_pair(kernel());
  Ear ear("socket", &log_);
  const FdWatchPtr w = watch(kernel(), near.get(), ear);
  w->arm(Direction::read, Arm::if_ready);
  kernel().set_timer(kernel().now());
  kernel().send(far.get(), "x");
  timed_ = [this] { kernel().stop(); };
  kernel().run();
  EXPECT_EQ(log_, (std::vector<std::string>{"socket readable", "timer"}));
}

TEST_F(SimKernelTest, TheWorldActsAtItsTimesWithoutATimer) {
  const TimePoint start = kernel().now();
  std::vector<std::pair<int, Duration>> acts;
  const auto act = [&](int number) { acts.emplace_back(number, kernel().now() - start); };
  sim().at(start + 3s, [&] { act(3); });
  sim().at(start + 1s, [&] { act(1); });
  sim().at(start + 3s, [&] {
    act(4);
    sim().at(start, [&] { act(5); });
    sim().at(start + 4s, [&] { kernel().stop(); });
  });
  timed_ = [&] { act(2); };
  kernel().set_timer(start + 2s);
  kernel().run();
  EXPECT_EQ(acts,
            (std::vector<std::pair<int, Duration>>{{1, 1s}, {2, 2s}, {3, 3s}, {4, 3s}, {5, 3s}}));
  EXPECT_EQ(kernel().now(), start + 4s);
  EXPECT_EQ(sim().stats().jumps, 4u);
}

TEST_F(SimKernelTest, TheClockJumpsWhenTheWorldSaysSo) {
  const TimePoint start = kernel().now();
  sim().at(start + 1s, [&] { sim().advance(10s); });
  timed_ = [this] { kernel().stop(); };
  kernel().set_timer(start + 2s);
  kernel().run();
  EXPECT_EQ(kernel().now(), start + 11s);
  EXPECT_EQ(sim().stats().jumps, 1u) << "the timer was due after the jump";
}

TEST_F(SimKernelTest, WhatTheWorldWouldStillHaveDoneIsDropped) {
  auto held = std::make_shared<int>(0);
  {
    SimKernel other;
    other.at(other.now() + 1s, [held] { ++*held; });
    EXPECT_EQ(held.use_count(), 2);
  }
  EXPECT_EQ(held.use_count(), 1);
  EXPECT_EQ(*held, 0);
}

TEST_F(SimKernelTest, AWorldThatIsStuckIsAskedForBeforeItWaitsForEver) {
  int asked = 0;
  sim().set_stuck([&] { return ++asked == 0; });
  const TimePoint start = kernel().now();
  kernel().run();
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(kernel().now(), start);
  // Not while anything goes on: a timer, an arrival, a drain.
  timed_ = [this] { kernel().request_drain(); };
  kernel().set_timer(start + 1s);
  sim().at(start + 2s, [&] { EXPECT_EQ(asked, 1); });
  kernel().run();
  EXPECT_EQ(asked, 2);
  EXPECT_EQ(log_, (std::vector<std::string>{"timer", "drain"}));
  EXPECT_EQ(kernel().now(), start + 2s);
}

TEST_F(SimKernelTest, WhoIsAskedWhenItIsStuckMayGetItGoingAgain) {
  int asked = 0;
  sim().set_stuck([&] {
    if (++asked > 3) return false;
    kernel().set_timer(kernel().now() + 1s);
    return true;
  });
  kernel().run();
  EXPECT_EQ(asked, 4);
  EXPECT_EQ(log_, (std::vector<std::string>{"timer", "timer", "timer"}));
}

TEST_F(SimKernelTest, AStuckWorldThatWantsToWaitIsWokenByAnotherThread) {
  int asked = 0;
  std::thread other;
  sim().set_stuck([&] {
    if (++asked == 1) other = std::thread([this] { kernel().wake(); });
    return true;
  });
  drained_ = [this] { kernel().stop(); };
  kernel().run();
  EXPECT_EQ(log_, (std::vector<std::string>{"drain"}));
  EXPECT_EQ(asked, 1);
  other.join();
}

TEST_F(SimKernelTest, PatienceWaitsForAWakeBeforeTheClockJumps) {
  const TimePoint start = kernel().now();
  sim().set_patience([] { return Duration(60s); });
  drained_ = [this] { kernel().stop(); };
  kernel().set_timer(start + 1h);
  std::thread other([this] { kernel().wake(); });
  kernel().run();
  other.join();
  EXPECT_EQ(kernel().now(), start);
}

TEST_F(SimKernelTest, PatienceEnds) {
  const TimePoint start = kernel().now();
  sim().set_patience([] { return Duration(1ms); });
  timed_ = [this] { kernel().stop(); };
  kernel().set_timer(start + 1h);
  kernel().run();
  EXPECT_EQ(kernel().now(), start + 1h);
}

TEST_F(SimKernelTest, TurnHookComesInEveryTurnAndMayStop) {
  int looks = 0;
  sim().set_turn_hook([&] {
    if (++looks == 5) kernel().stop();
  });
  drained_ = [this] { kernel().request_drain(); };
  kernel().request_drain();
  kernel().run();
  EXPECT_EQ(looks, 5);
  sim().set_turn_hook(nullptr);
  drained_ = nullptr;
  turns();
}

TEST_F(SimKernelTest, SignalOfAnotherThreadEndsTheSleep) {
  ASSERT_FALSE(kernel().watch_signal(SIGTERM));
  signalled_ = [this](int) { kernel().stop(); };
  std::thread other([this] { EXPECT_TRUE(sim().raise_signal(SIGTERM)); });
  kernel().run();
  other.join();
  EXPECT_EQ(log_, std::vector<std::string>{"signal"});
  EXPECT_FALSE(sim().raise_signal(SIGINT));
}

// -- descriptors

TEST_F(SimKernelTest, DescriptorsAreFarFromRealOnesAndTheLowestIsUsedFirst) {
  const Socket first = open();
  Socket second = open();
  const Socket third = open();
  EXPECT_EQ(first.get(), 1000);
  EXPECT_EQ(second.get(), 1001);
  EXPECT_EQ(third.get(), 1002);
  second.reset();
  EXPECT_EQ(open().get(), 1001);
  EXPECT_EQ(sim().stats().open_sockets, 2u);
}

TEST_F(SimKernelTest, DescriptorLimitStopsSocketAndAccept) {
  RawListener listener(kernel());
  const RawPeer client = RawPeer::connect(kernel(), listener.address());
  turns();
  sim().set_descriptor_limit(2);
  EXPECT_EQ(error_of(kernel().socket(AF_INET, SOCK_STREAM, 0)), EMFILE);
  Address peer;
  EXPECT_EQ(error_of(kernel().accept(listener.fd(), peer)), EMFILE);
  sim().set_descriptor_limit(3);
  EXPECT_TRUE(listener.accept()) << "the connection must wait for better times";
}

TEST_F(SimKernelTest, StatsCountCallsByName) {
  {
    auto [near, far] = stream_pair(kernel());
    kernel().send(near.get(), "x");
    kernel().send(near.get(), "y");
    EXPECT_EQ(sim().unread(far.get()), 2u);
    EXPECT_EQ(sim().stats().open_sockets, 2u);
    EXPECT_EQ(sim().stats().names, 2u);
  }
  kernel().close(4711);
  const auto stats = sim().stats();
  EXPECT_EQ(stats.calls.at("send"), 2u);
  EXPECT_EQ(stats.calls.at("close"), 3u);
  EXPECT_EQ(stats.calls.count("recv"), 0u);
  EXPECT_EQ(stats.bad_descriptors, 1u);
}

TEST_F(SimKernelTest, ClosingAWatchedDescriptorEndsTheProgram) {
  auto [near, far] = stream_pair(kernel());
  Ear ear;
  const FdWatchPtr w = watch(kernel(), near.get(), ear);
  EXPECT_DEATH(kernel().close(near.get()), "close of a descriptor that is still watched");
}

TEST_F(SimKernelTest, DescriptorIsWatchedOnce) {
  auto [near, far] = stream_pair(kernel());
  Ear ear;
  const FdWatchPtr w = watch(kernel(), near.get(), ear);
  std::error_code error;
  EXPECT_FALSE(kernel().watch(near.get(), ear, error));
  EXPECT_EQ(error, std::errc::file_exists);
}

// -- pipes

TEST_F(SimKernelTest, PipeHoldsWhatTheTwoBuffersSay) {
  auto [near, far] = stream_pair(kernel());
  EXPECT_EQ(fill(kernel(), near.get()), 64u * 1024);
  read_dry(kernel(), far.get());
  kernel().set_option(near.get(), SOL_SOCKET, SO_SNDBUF, 1000);
  kernel().set_option(far.get(), SOL_SOCKET, SO_RCVBUF, 500);
  EXPECT_EQ(fill(kernel(), near.get()), 1500u);
  int value = 0;
  kernel().get_option(near.get(), SOL_SOCKET, SO_SNDBUF, value);
  EXPECT_EQ(value, 1000);
}

TEST_F(SimKernelTest, WriterSleepsUntilAThirdIsFree) {
  auto [near, far] = stream_pair(kernel());
  Ear ear;
  const FdWatchPtr w = watch(kernel(), near.get(), ear);
  fill(kernel(), near.get());
  w->arm(Direction::write, Arm::after_would_block);
  std::vector<std::byte> chunk(21 * 1024);
  ASSERT_TRUE(kernel().recv(far.get(), chunk).ok());
  turns();
  EXPECT_EQ(ear.writable, 0);
  ASSERT_TRUE(kernel().recv(far.get(), chunk).ok());
  turns();
  EXPECT_EQ(ear.writable, 1);
}

TEST_F(SimKernelTest, BiggerBufferWakesABlockedWriter) {
  auto [near, far] = stream_pair(kernel());
  Ear ear;
  const FdWatchPtr w = watch(kernel(), near.get(), ear);
  fill(kernel(), near.get());
  w->arm(Direction::write, Arm::after_would_block);
  kernel().set_option(far.get(), SOL_SOCKET, SO_RCVBUF, 1 << 20);
  turns();
  EXPECT_EQ(ear.writable, 1);
}

TEST_F(SimKernelTest, DrainIsSaidWhenAFinOrAResetWaits) {
  auto [near, far] = stream_pair(kernel());
  Ear ear;
  const FdWatchPtr w = watch(kernel(), near.get(), ear);
  w->arm(Direction::read, Arm::after_would_block);
  kernel().send(far.get(), "x");
  turns();
  EXPECT_FALSE(ear.drain);
  w->arm(Direction::read, Arm::after_would_block);
  kernel().shutdown(far.get(), SHUT_WR);
  turns();
  EXPECT_EQ(ear.readable, 2);
  EXPECT_TRUE(ear.drain);
}

// -- names

TEST_F(SimKernelTest, ConnectsToAFullBacklogAreTriedAgainAsLinuxDoes) {
  RawListener listener(kernel(), Address::loopback(0), 0);
  std::vector<RawPeer> clients;
  const TimePoint start = kernel().now();
  for (int i = 0; i < 3; ++i) clients.push_back(RawPeer::connect(kernel(), listener.address()));
  turns();
  const auto first = listener.accept();
  turns();
  EXPECT_FALSE(clients[1].connected()) << "its SYN was lost";
  run_until([&] { return clients[1].connected() || clients[2].connected(); });
  EXPECT_GE(kernel().now() - start, 1s);
  EXPECT_LT(kernel().now() - start, 1s + 2ms);
  EXPECT_FALSE(clients[2].connected());
  timed_ = [this] { kernel().stop(); };
  kernel().set_timer(start + 126s);
  kernel().run();
  EXPECT_FALSE(clients[2].connected());
  EXPECT_FALSE(clients[2].error());
  kernel().set_timer(start + 127s);
  kernel().run();
  EXPECT_FALSE(clients[2].connected());
  EXPECT_EQ(clients[2].error(), std::errc::timed_out);
}

TEST_F(SimKernelTest, AConnectToAFullBacklogEndsAlsoIfNothingElseDoes) {
  RawListener listener(kernel(), Address::loopback(0), 0);
  const RawPeer there = RawPeer::connect(kernel(), listener.address());
  turns();
  const Socket late = open();
  kernel().connect(late.get(), listener.address());
  Ear ear;
  const FdWatchPtr w = watch(kernel(), late.get(), ear);
  w->arm(Direction::write, Arm::if_ready);
  ear.then_writable = [this] { kernel().stop(); };
  turns();
  sim().advance(30min);  // a clock that jumps
  kernel().run();
  int error = 0;
  ASSERT_TRUE(kernel().get_option(late.get(), SOL_SOCKET, SO_ERROR, error).ok());
  EXPECT_EQ(error, ETIMEDOUT);
}

TEST_F(SimKernelTest, WaitingForRoomEndsWhenTheListenerCloses) {
  RawListener listener(kernel(), Address::loopback(0), 0);
  std::vector<RawPeer> clients;
  for (int i = 0; i < 2; ++i) clients.push_back(RawPeer::connect(kernel(), listener.address()));
  turns();
  listener.close();
  run_until([&] { return clients[1].connected() || clients[1].error(); });
  EXPECT_FALSE(clients[1].connected());
  EXPECT_EQ(clients[1].error(), std::errc::connection_refused);
}

TEST_F(SimKernelTest, DocumentationNetworksNeverAnswer) {
  for (const char* host : {"192.0.2.7", "198.51.100.7", "203.0.113.7", "2001:db8::7"}) {
    const Address to = *Address::ip(host, 80);
    const Socket client = open(to.family());
    EXPECT_EQ(error_of(kernel().connect(client.get(), to)), EINPROGRESS);
    turns();
    EXPECT_EQ(error_of(kernel().connect(client.get(), to)), EALREADY);
    std::byte byte{};
    EXPECT_TRUE(kernel().recv(client.get(), {&byte, 1}).would_block());
  }
}

TEST_F(SimKernelTest, OtherNetworksAreUnreachable) {
  const Socket client = open();
  EXPECT_EQ(error_of(kernel().connect(client.get(), *Address::ip("8.8.8.8", 80))), ENETUNREACH);
}

TEST_F(SimKernelTest, PathsAreNamesInsideTheSimulation) {
  RawListener listener(kernel(), Address::unix_path("/no/such/directory/sim.sock"));
  const RawPeer client = RawPeer::connect(kernel(), listener.address());
  EXPECT_TRUE(listener.accept());
  EXPECT_TRUE(kernel().remove_file(listener.address()).ok());
  const Socket late = open(AF_UNIX);
  EXPECT_EQ(error_of(kernel().connect(late.get(), listener.address())), ENOENT);
}

TEST_F(SimKernelTest, PortsRunOutWithAnError) {
  std::vector<Socket> sockets;
  for (int i = 32768; i <= 60999; ++i) {
    sockets.push_back(open());
    ASSERT_TRUE(kernel().bind(sockets.back().get(), Address::loopback(0)).ok());
  }
  const Socket one_more = open();
  EXPECT_EQ(error_of(kernel().bind(one_more.get(), Address::loopback(0))), EADDRINUSE);
  EXPECT_EQ(error_of(kernel().connect(one_more.get(), Address::loopback(1))), EADDRNOTAVAIL);
}

// -- the same again

/// Some traffic on a kernel of its own; what happened, with its times.
class Traffic : private Kernel::Client {
 public:
  std::vector<std::string> run() {
    kernel_.attach(*this);
    for (std::size_t i = 0; i < 5; ++i) {
      auto [near, far] = stream_pair(kernel_);
      near_.push_back(std::move(near));
      far_.push_back(std::move(far));
      ears_.push_back(std::make_unique<Ear>("ear" + std::to_string(i), &log_));
      watches_.push_back(watch(kernel_, near_.back().get(), *ears_.back()));
      ears_.back()->then_readable = [this, i] {
        log_.push_back(read_dry(kernel_, near_[i].get()));
        watches_[i]->arm(Direction::read, Arm::after_would_block);
      };
      watches_.back()->arm(Direction::read, Arm::if_ready);
    }
    on_timer();
    kernel_.run();
    return log_;
  }

 private:
  void on_drain() override {}
  void on_signal(int) override {}
  void on_timer() override {
    if (++rounds_ == 50) return kernel_.stop();
    log_.push_back(std::to_string(kernel_.now().time_since_epoch().count()));
    for (std::size_t i = 0; i < 3; ++i) {
      kernel_.send(far_[(rounds_ * 7 + i * 3) % 5].get(), std::to_string(rounds_));
    }
    kernel_.set_timer(kernel_.now() + 1ms * (rounds_ % 4));
  }

  SimKernel kernel_;
  std::vector<Socket> near_;
  std::vector<Socket> far_;
  std::vector<std::unique_ptr<Ear>> ears_;
  std::vector<FdWatchPtr> watches_;
  std::vector<std::string> log_;
  std::size_t rounds_ = 0;
};

TEST(SimKernelDeterminism, TheSameProgramRunsTheSameWayEachTime) {
  const auto once = Traffic().run();
  EXPECT_GT(once.size(), 200u);
  EXPECT_EQ(once, Traffic().run());
}

}  // namespace
}  // namespace ferry::test
