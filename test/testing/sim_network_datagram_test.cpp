// Links and troubles of the simulated network: what they do to datagrams.

#include "network_suite.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <set>

namespace ferry::test {
namespace {

class SimNetworkDatagramTest : public NetworkSuite {
 protected:
  void SetUp() override {
    NetworkSuite::SetUp();
    a_ = bound();
    b_ = bound();
    // Room for all that a test sends.
    ASSERT_TRUE(kernel().set_option(b_.get(), SOL_SOCKET, SO_RCVBUF, 1 << 21).ok());
    to_b_ = name_of(b_);
  }
  void TearDown() override {
    a_.reset();
    b_.reset();
    NetworkSuite::TearDown();
  }
  Socket bound() {
    Socket socket(kernel(), kernel().socket(AF_INET, SOCK_DGRAM, 0).fd());
    EXPECT_TRUE(kernel().bind(socket.get(), Address::loopback(0)).ok());
    return socket;
  }
  Address name_of(const Socket& socket) {
    Address address;
    EXPECT_TRUE(kernel().local_address(socket.get(), address).ok());
    return address;
  }
  /// Sends the numbers from `first` to `last`, each in a datagram.
  void send(int first, int last) {
    for (int i = first; i <= last; ++i) {
      const std::string text = std::to_string(i);
      const OutgoingDatagram one{.bytes = text, .to = &to_b_};
      EXPECT_EQ(kernel().send_datagrams(a_.get(), std::span(&one, 1)).value, 1);
    }
  }
  /// What is there at b.
  std::vector<int> receive() {
    std::vector<int> numbers;
    std::array<std::byte, 64> bytes;
    for (;;) {
      IncomingDatagram one{.buffer = bytes};
      if (!kernel().recv_datagrams(b_.get(), std::span(&one, 1)).ok()) return numbers;
      numbers.push_back(std::stoi(std::string(BytesView(bytes).first(one.size).text())));
    }
  }

  Socket a_;
  Socket b_;
  Address to_b_;
};

TEST_F(SimNetworkDatagramTest, DatagramsArriveAfterTheLatencyInOrder) {
  network().set_link({.latency_min = 5ms, .latency_max = 50ms});
  send(1, 100);
  EXPECT_TRUE(receive().empty());
  pass(50ms);
  const std::vector<int> got = receive();
  EXPECT_EQ(got.size(), 100u);
  EXPECT_TRUE(std::is_sorted(got.begin(), got.end()));
  EXPECT_EQ(network().stats().datagrams, 100u);
}

TEST_F(SimNetworkDatagramTest, WithoutLatencyTheyAreThereAtOnce) {
  network().set_link({});
  send(1, 2);
  EXPECT_EQ(receive(), (std::vector<int>{1, 2}));
}

TEST_F(SimNetworkDatagramTest, SomeAreLostAndCounted) {
  network().set_link({.loss = 300});
  send(1, 1000);
  const std::vector<int> got = receive();
  EXPECT_GT(got.size(), 600u);
  EXPECT_LT(got.size(), 800u);
  EXPECT_EQ(got.size() + network().stats().lost, 1000u);
  EXPECT_TRUE(std::is_sorted(got.begin(), got.end()));
}

TEST_F(SimNetworkDatagramTest, SomeArriveTwiceAndAreCounted) {
  network().set_link({.latency_min = 1ms, .duplication = 200});
  send(1, 1000);
  pass(10ms);
  const std::vector<int> got = receive();
  const auto doubled = network().stats().duplicated;
  EXPECT_GT(doubled, 100u);
  EXPECT_LT(doubled, 300u);
  EXPECT_EQ(got.size(), 1000u + doubled);
  EXPECT_EQ(std::set<int>(got.begin(), got.end()).size(), 1000u);
}

TEST_F(SimNetworkDatagramTest, SomeAreOvertakenAndCounted) {
  network().set_link({.latency_min = 5ms, .latency_max = 5ms, .reorder = 100});
  send(1, 1000);
  pass(100ms);
  std::vector<int> got = receive();
  ASSERT_EQ(got.size(), 1000u);
  EXPECT_GT(network().stats().reordered, 50u);
  EXPECT_LT(network().stats().reordered, 200u);
  const auto late = static_cast<std::uint64_t>(
      1000 - (std::find(got.begin(), got.end(), 1000) - got.begin()) - 1);
  EXPECT_LE(late, network().stats().reordered);
  EXPECT_FALSE(std::is_sorted(got.begin(), got.end()));
  std::sort(got.begin(), got.end());
  EXPECT_EQ(got.front(), 1);
  EXPECT_EQ(got.back(), 1000);
  EXPECT_EQ(std::unique(got.begin(), got.end()), got.end());
}

TEST_F(SimNetworkDatagramTest, APartitionLosesThemAndAStallKeepsThem) {
  {
    const auto guard = network().partition();
    send(1, 3);
  }
  {
    const auto guard = network().stall();
    send(4, 6);
    pass(1s);
    EXPECT_TRUE(receive().empty());
  }
  send(7, 7);
  turns();
  EXPECT_EQ(receive(), (std::vector<int>{4, 5, 6, 7}));
  EXPECT_EQ(network().stats().lost, 3u);
}

TEST_F(SimNetworkDatagramTest, APartitionLosesWhatIsInFlight) {
  network().set_link({.latency_min = 10ms});
  send(1, 1);
  pass(5ms);
  const auto guard = network().partition({.to = to_b_, .one_way = true});
  pass(10ms);
  EXPECT_TRUE(receive().empty());
  EXPECT_EQ(network().stats().lost, 1u);
}

TEST_F(SimNetworkDatagramTest, ABandwidthSpacesThemOut) {
  network().set_link({.bandwidth = 1000});
  send(100, 109);  // of three bytes each
  pass(15ms);
  EXPECT_EQ(receive().size(), 5u);
  pass(15ms);
  EXPECT_EQ(receive().size(), 5u);
}

TEST_F(SimNetworkDatagramTest, ARefusalComesWhenTheDatagramWouldHave) {
  network().set_link({.latency_min = 10ms});
  ASSERT_TRUE(kernel().connect(a_.get(), to_b_).ok());
  b_.reset();
  send(1, 1);
  turns();
  EXPECT_TRUE(kernel().send(a_.get(), "x").ok());
  pass(10ms);
  EXPECT_EQ(error_of(kernel().send(a_.get(), "x")), ECONNREFUSED);
}

TEST_F(SimNetworkDatagramTest, TheReceiverMayBeGoneWhenTheyArrive) {
  network().set_link({.latency_min = 10ms});
  send(1, 10);
  b_.reset();
  a_.reset();
  pass(20ms);
  EXPECT_EQ(network().stats().datagrams, 10u);
}

TEST_F(SimNetworkDatagramTest, WhatFindsNoRoomIsLostAndCounted) {
  network().set_link({.latency_min = 5ms});
  ASSERT_TRUE(kernel().set_option(b_.get(), SOL_SOCKET, SO_RCVBUF, 10 * 801).ok());
  send(1, 9);
  send(1, 9);
  pass(5ms);
  EXPECT_EQ(receive(), (std::vector<int>{1, 2, 3, 4, 5, 6, 7, 8, 9, 1}));
  EXPECT_EQ(sim().stats().dropped_datagrams, 8u);
  send(1, 9);
  pass(5ms);
  EXPECT_EQ(receive().size(), 9u);
}

TEST_F(SimNetworkDatagramTest, AMulticastArrivesLater) {
  network().set_link({.latency_min = 10ms});
  // One with an address of its own would hear no group.
  b_ = Socket(kernel(), kernel().socket(AF_INET, SOCK_DGRAM, 0).fd());
  ASSERT_TRUE(kernel().bind(b_.get(), *Address::ip("0.0.0.0", 0)).ok());
  const Address group = *Address::ip("239.1.2.3", name_of(b_).port());
  ASSERT_TRUE(kernel().set_membership(b_.get(), group, 0, true).ok());
  const OutgoingDatagram one{.bytes = "7", .to = &group};
  EXPECT_EQ(kernel().send_datagrams(a_.get(), std::span(&one, 1)).value, 1);
  EXPECT_TRUE(receive().empty());
  pass(10ms);
  EXPECT_EQ(receive(), std::vector<int>{7});
}

}  // namespace
}  // namespace ferry::test
