#include "kernel_suite.h"

#include <ferry/testing/fault_kernel.h>
#include <ferry/testing/sim_kernel.h>

#include <gtest/gtest.h>

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>

namespace ferry::test {
namespace {

using testing::Fault;
using testing::FaultKernel;

class FaultKernelTest : public ::testing::Test {
 protected:
  FaultKernelTest() {
    auto sim = std::make_unique<testing::SimKernel>();
    std::tie(a_, b_) = sim->connected_pair();
    kernel_ = std::make_unique<FaultKernel>(std::move(sim));
  }
  int send(std::string_view text) { return kernel_->send(a_, text).error; }
  std::string recv() {
    std::byte bytes[64];
    const IoResult result = kernel_->recv(b_, bytes);
    return result.ok() ? std::string(BytesView(bytes, result.count()).text()) : "";
  }

  std::unique_ptr<FaultKernel> kernel_;
  int a_ = -1;
  int b_ = -1;
};

TEST_F(FaultKernelTest, PassesEverythingOnWithoutARule) {
  EXPECT_EQ(send("hello"), 0);
  EXPECT_EQ(recv(), "hello");
  EXPECT_EQ(kernel_->calls(), 2u);
  EXPECT_TRUE(kernel_->injected().empty());
}

TEST_F(FaultKernelTest, ARuleFailsTheCallsItNamesAndNoOthers) {
  const auto guard = kernel_->inject({.call = "send", .error = ENOBUFS, .after = 1, .times = 2});
  EXPECT_EQ(send("1"), 0);
  EXPECT_EQ(send("2"), ENOBUFS);
  EXPECT_EQ(recv(), "1");
  EXPECT_EQ(send("3"), ENOBUFS);
  EXPECT_EQ(send("4"), 0);
  EXPECT_EQ(recv(), "4") << "what failed was sent all the same";
  ASSERT_EQ(kernel_->injected().size(), 2u);
  EXPECT_EQ(kernel_->injected()[0].call, "send");
  EXPECT_EQ(kernel_->injected()[0].number, 1u);
}

TEST_F(FaultKernelTest, KnowsWhatItsCallsCanFailWith) {
  for (const char* call : {"accept", "send", "sendmsg", "sendmmsg", "recv", "socket", "connect"}) {
    const auto errors = FaultKernel::errors_of(call);
    EXPECT_NE(std::find(errors.begin(), errors.end(), ENOBUFS), errors.end()) << call;
    // No failures, or only a wrong program's.
    for (const int never : {EAGAIN, EBADF, EINVAL, EFAULT, 0}) {
      EXPECT_EQ(std::find(errors.begin(), errors.end(), never), errors.end()) << call;
    }
    EXPECT_EQ(std::set<int>(errors.begin(), errors.end()).size(), errors.size()) << call;
  }
}

TEST_F(FaultKernelTest, AnObserverHearsOfEachCallAndWhatCameOfIt) {
  std::vector<std::string> heard;
  kernel_->set_observer([&](std::string_view call, int fd, const IoResult& result) {
    const char* who = fd == a_ ? "a" : fd == b_ ? "b" : "-";
    heard.push_back(std::string(call) + " " + who + " " + std::to_string(result.value) + " " +
                    std::to_string(result.error));
  });
  send("hello");
  recv();
  {
    const auto guard = kernel_->inject({.call = "send", .error = ENOBUFS, .times = 1});
    send("lost");
    const auto cut = kernel_->inject({.call = "send", .count = 3});
    send("short");
  }
  const int fd = kernel_->socket(AF_INET, SOCK_STREAM, 0).fd();
  kernel_->close(fd);
  const std::string no_room = std::to_string(ENOBUFS);
  const std::string number = std::to_string(fd);
  EXPECT_EQ(heard,
            (std::vector<std::string>{"send a 5 0", "recv b 5 0", "send a -1 " + no_room,
                                      "send a 3 0", "socket - " + number + " 0", "close - 0 0"}));
  heard.clear();
  int ends[2];
  kernel_->pipe(ends[0], ends[1]);
  EXPECT_EQ(heard.size(), 2u) << "one for each end";
  kernel_->set_observer(nullptr);
  kernel_->close(ends[0]);
  kernel_->close(ends[1]);
  EXPECT_EQ(heard.size(), 2u);
}

TEST_F(FaultKernelTest, ARuleEndsWithItsGuard) {
  {
    const auto guard = kernel_->inject({.call = "send", .error = EPIPE});
    EXPECT_EQ(send("1"), EPIPE);
  }
  EXPECT_EQ(send("2"), 0);
}

TEST_F(FaultKernelTest, ARuleForACallThatNeverAsksIsRefused) {
  EXPECT_THROW(auto guard = kernel_->inject({.call = "sned", .error = EPIPE}),
               std::invalid_argument);
  EXPECT_THROW(auto guard = kernel_->inject({.call = "close"}), std::invalid_argument);
  const auto guard = kernel_->inject({.error = ENOMEM, .times = 1});  // whichever can
  EXPECT_EQ(send("1"), ENOMEM);
}

TEST_F(FaultKernelTest, ARuleForOneDescriptorSparesTheOthers) {
  const auto guard = kernel_->inject({.call = "send", .error = EPIPE, .fd = b_});
  EXPECT_EQ(send("1"), 0);
  EXPECT_EQ(kernel_->send(b_, "2").error, EPIPE);
}

TEST_F(FaultKernelTest, AShortCountMovesLessAndLosesNothing) {
  const auto guard = kernel_->inject({.call = "send", .count = 3, .times = 1});
  EXPECT_EQ(kernel_->send(a_, "hello").count(), 3u);
  EXPECT_EQ(kernel_->send(a_, "lo").count(), 2u);
  EXPECT_EQ(recv(), "hello");
}

TEST_F(FaultKernelTest, EachWayInWhichACallCanFailIsReached) {
  const auto errors = FaultKernel::errors_of("recv");
  ASSERT_GT(errors.size(), 1u);
  std::set<int> seen;
  for (std::size_t variant = 0; variant < errors.size(); ++variant) {
    kernel_->fail_call(kernel_->calls(), variant);
    std::byte one[1];
    seen.insert(kernel_->recv(b_, one).error);
    EXPECT_EQ(kernel_->variants(), errors.size());  // of a single byte no part can be moved
  }
  EXPECT_EQ(seen, std::set<int>(errors.begin(), errors.end()));
}

TEST_F(FaultKernelTest, ACallMayMoveOneByteOrBeToldLater) {
  struct Nobody final : FdWatch::Listener {
    void on_readable(FdWatch::ReadEvent) override {}
    void on_writable() override {}
  } nobody;
  std::error_code error;
  const FdWatchPtr watch = kernel_->watch(a_, nobody, error);
  const std::size_t errors = FaultKernel::errors_of("send").size();
  kernel_->fail_call(kernel_->calls(), errors);
  EXPECT_EQ(kernel_->send(a_, "hello").count(), 1u);
  EXPECT_EQ(kernel_->variants(), errors + 2);
  kernel_->fail_call(kernel_->calls(), errors + 1);
  EXPECT_TRUE(kernel_->send(a_, "hello").would_block());
  EXPECT_EQ(recv(), "h");
  ASSERT_EQ(kernel_->injected().size(), 2u);
  EXPECT_EQ(kernel_->injected()[0].error, 0);
}

TEST_F(FaultKernelTest, AStormIsTheSameForTheSameSeed) {
  const auto faults_of = [](std::uint64_t seed) {
    auto sim = std::make_unique<testing::SimKernel>();
    const auto [a, b] = sim->connected_pair();
    FaultKernel kernel(std::move(sim));
    kernel.storm({.seed = seed, .errors = 100, .short_counts = 100});
    std::string story;
    for (int i = 0; i < 200; ++i) {
      std::byte bytes[16];
      static_cast<void>(kernel.send(a, "0123456789"));
      static_cast<void>(kernel.recv(b, bytes));
    }
    for (const auto& each : kernel.injected()) story += each.to_string() + "\n";
    return story;
  };
  const std::string once = faults_of(7);
  EXPECT_GT(once.size(), 100u);
  EXPECT_EQ(once, faults_of(7));
  EXPECT_NE(once, faults_of(8));
}

TEST_F(FaultKernelTest, SomeOfTheShortCountsOfAStormAreNothingForNow) {
  kernel_->storm({.short_counts = 1000});
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(send("nobody would say when to go on"), 0);
    recv();
  }
  struct Nobody : FdWatch::Listener {
    void on_readable(FdWatch::ReadEvent) override {}
    void on_writable() override {}
  } nobody;
  std::error_code failed;
  const FdWatchPtr watch = kernel_->watch(a_, nobody, failed);
  ASSERT_TRUE(watch);
  int refused = 0;
  for (int i = 0; i < 400; ++i) {
    const int error = send("some bytes");
    EXPECT_TRUE(error == 0 || error == EAGAIN);
    refused += error == EAGAIN ? 1 : 0;
    recv();
  }
  EXPECT_GT(refused, 20);
  EXPECT_LT(refused, 100);
  // What cannot wait does not.
  kernel_->storm({.seed = 2, .short_counts = 1000});
  const std::size_t before = kernel_->injected().size();
  for (int i = 0; i < 100; ++i) {
    Address address;
    EXPECT_TRUE(kernel_->local_address(a_, address).ok());
  }
  EXPECT_EQ(kernel_->injected().size(), before);
}

TEST_F(FaultKernelTest, ASpliceMayHaveToWaitForTheSocketThatIsWatched) {
  struct Client : Kernel::Client {
    FaultKernel& kernel;
    int left = 0;
    explicit Client(FaultKernel& k) : kernel(k) {}
    void on_drain() override { --left > 0 ? kernel.request_drain() : kernel.stop(); }
    void on_timer() override {}
    void on_signal(int) override {}
  } client(*kernel_);
  kernel_->attach(client);
  int ends[2];
  ASSERT_TRUE(kernel_->pipe(ends[0], ends[1]).ok());
  {
    Ear ear;
    const FdWatchPtr watched = watch(*kernel_, b_, ear);
    int refused = 0;
    for (int i = 0; i < 400; ++i) {
      send("some bytes");
      kernel_->storm({.seed = static_cast<std::uint64_t>(i), .short_counts = 1000});
      const IoResult moved = kernel_->splice_in(b_, ends[1], 100);
      kernel_->heal();
      if (!moved.ok()) {
        ASSERT_TRUE(moved.would_block());
        ++refused;
        watched->arm(Direction::read, FdWatch::Arm::after_would_block);
        client.left = 4;
        kernel_->request_drain();
        kernel_->run();
        EXPECT_EQ(ear.readable, refused) << "what is there is told again";
      }
      recv();
      std::byte bytes[100];
      kernel_->read(ends[0], bytes);
    }
    EXPECT_GT(refused, 20);
    EXPECT_LT(refused, 100);
  }
  kernel_->close(ends[0]);
  kernel_->close(ends[1]);
}

TEST_F(FaultKernelTest, HealEndsAllFaults) {
  const auto guard = kernel_->inject({.call = "send", .error = EPIPE});
  kernel_->storm({.errors = 1000});
  kernel_->heal();
  EXPECT_EQ(send("1"), 0);
}

TEST_F(FaultKernelTest, AConnectMayFailLater) {
  for (const bool real : {false, true}) {
    FaultKernel kernel(real ? make_asio_kernel() : testing::make_sim_kernel());
    struct Listener : FdWatch::Listener {
      FaultKernel& kernel;
      explicit Listener(FaultKernel& k) : kernel(k) {}
      void on_readable(FdWatch::ReadEvent) override {}
      void on_writable() override { kernel.stop(); }
    } listener(kernel);
    struct Client : Kernel::Client {
      void on_drain() override {}
      void on_timer() override {}
      void on_signal(int) override {}
    } client;
    kernel.attach(client);
    const auto guard =
        kernel.inject({.call = "connect", .error = ECONNREFUSED, .times = 3, .later = true});
    const int fd = kernel.socket(AF_INET, SOCK_STREAM, 0).fd();
    EXPECT_EQ(error_of(kernel.connect(fd, Address::loopback(9))), EINPROGRESS);
    std::error_code failed;
    FdWatchPtr watch = kernel.watch(fd, listener, failed);
    ASSERT_TRUE(watch);
    watch->arm(Direction::write, FdWatch::Arm::if_ready);
    kernel.run();
    int error = 0;
    EXPECT_TRUE(kernel.get_option(fd, SOL_SOCKET, SO_ERROR, error).ok());
    EXPECT_EQ(error, ECONNREFUSED);
    EXPECT_TRUE(kernel.get_option(fd, SOL_SOCKET, SO_ERROR, error).ok());
    EXPECT_EQ(error, 0);
    watch.reset();
    kernel.close(fd);
    const int other = kernel.socket(AF_INET, SOCK_STREAM, 0).fd();
    EXPECT_EQ(error_of(kernel.connect(other, Address::loopback(9))), EINPROGRESS);
    if (const IoResult copy = kernel.duplicate(other); copy.ok()) {  // a simulation has none
      EXPECT_TRUE(kernel.get_option(copy.fd(), SOL_SOCKET, SO_ERROR, error).ok());
      EXPECT_EQ(error, ECONNREFUSED) << "by whichever descriptor";
      EXPECT_TRUE(kernel.get_option(other, SOL_SOCKET, SO_ERROR, error).ok());
      EXPECT_EQ(error, 0);
      kernel.close(copy.fd());
    }
    kernel.close(other);
    const int udp = kernel.socket(AF_INET, SOCK_DGRAM, 0).fd();
    EXPECT_EQ(error_of(kernel.connect(udp, Address::loopback(9))), ECONNREFUSED) << "at once";
    kernel.close(udp);
  }
}

TEST_F(FaultKernelTest, AfterAMadeUpEagainTheProgramIsTold) {
  struct Listener : FdWatch::Listener {
    FaultKernel& kernel;
    int reads = 0;
    explicit Listener(FaultKernel& k) : kernel(k) {}
    void on_readable(FdWatch::ReadEvent) override {
      ++reads;
      kernel.stop();
    }
    void on_writable() override {}
  };
  struct Client : Kernel::Client {
    void on_drain() override {}
    void on_timer() override {}
    void on_signal(int) override {}
  } client;
  kernel_->attach(client);
  Listener listener(*kernel_);
  std::error_code error;
  FdWatchPtr watch = kernel_->watch(b_, listener, error);
  ASSERT_TRUE(watch);
  EXPECT_EQ(send("hello"), 0);
  watch->arm(Direction::read, FdWatch::Arm::if_ready);
  kernel_->run();
  EXPECT_EQ(listener.reads, 1);
  {
    const auto guard = kernel_->inject({.call = "recv", .error = EAGAIN});
    EXPECT_EQ(recv(), "");
  }
  // The edge is spent; the program believes that it will be told.
  watch->arm(Direction::read, FdWatch::Arm::after_would_block);
  kernel_->run();
  EXPECT_EQ(listener.reads, 2);
  EXPECT_EQ(recv(), "hello");
}

}  // namespace
}  // namespace ferry::test
