// What the system refuses, and what is a misuse.

#include "datagram_fixture.h"

#include <netinet/in.h>
#include <netinet/udp.h>

#include <cerrno>
#include <stdexcept>

namespace ferry::test {
namespace {

using Strings = std::vector<std::string>;

class DatagramErrors : public DatagramTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, DatagramErrors, ::testing::ValuesIn(kWorlds), world_name);

TEST_P(DatagramErrors, C0456_AConnectedSocketSendsToItsPeerOnly) {
  Endpoint server = open();
  Endpoint client = open_to(server.transport->sockname());
  EXPECT_EQ(client.transport->peername(), server.transport->sockname());
  client.transport->sendto("to the peer");
  client.transport->sendto("by name", server.transport->sockname());
  EXPECT_THROW(client.transport->sendto("x", Address::loopback(9)), std::invalid_argument);
  EXPECT_THROW(client.transport->send_each({}, Address::loopback(9)), std::invalid_argument);
  run_until_received(server, 2);
  EXPECT_EQ(server.protocol->data, (Strings{"to the peer", "by name"}));
}

TEST_P(DatagramErrors, AConnectedSocketHearsItsPeerOnly) {
  Endpoint server = open();
  Endpoint client = open_to(server.transport->sockname());
  Endpoint stranger = open();
  stranger.transport->sendto("psst", client.transport->sockname());
  server.transport->sendto("hello", client.transport->sockname());
  run_until_received(client, 1);
  settle();
  EXPECT_EQ(client.protocol->data, Strings{"hello"});
}

TEST_P(DatagramErrors, C0472_AnAddressOfAnotherFamilyIsAMisuse) {
  Endpoint a = open();
  EXPECT_THROW(a.transport->sendto("x", *Address::ip("::1", 9)), std::invalid_argument);
  EXPECT_THROW(a.transport->sendto("x", Address::unix_path("@x")), std::invalid_argument);
  EXPECT_THROW(a.transport->sendto("x"), std::invalid_argument);
  EXPECT_THROW(a.transport->sendto("x", DatagramInfo{Address::loopback(9), *Address::ip("::1", 0)}),
               std::invalid_argument);
  EXPECT_TRUE(a.protocol->errors.empty());
}

TEST_P(DatagramErrors, C0464_ARefusalIsHeardAndTheSocketGoesOn) {
  const Address address = nobody();
  Endpoint client = open_to(address);
  client.transport->sendto("anybody?");
  run_until([&] { return !client.protocol->errors.empty(); });
  EXPECT_EQ(client.protocol->errors[0], std::errc::connection_refused);
  EXPECT_FALSE(client.transport->is_closing());
  Endpoint server = open({.local_host = address.host(), .local_port = address.port()});
  client.transport->sendto("now?");
  run_until_received(server, 1);
  EXPECT_EQ(server.protocol->data, Strings{"now?"});
}

TEST_P(DatagramErrors, C0464_ARefusalReportedByTheNextSendComesFromInsideIt) {
  Endpoint client = open_to(nobody());
  bool inside = false;
  bool heard_inside = false;
  client.protocol->on_error = [&](std::error_code) { heard_inside |= inside; };
  inside = true;
  for (int i = 0; i < 3; ++i) client.transport->sendto("anybody?");
  inside = false;
  EXPECT_TRUE(heard_inside);
  settle();
}

TEST_P(DatagramErrors, C0465_NobodyThereDoesNotDisturbOthers) {
  const Address address = nobody();
  Endpoint a = open();
  Endpoint b = open();
  a.transport->sendto("anybody?", address);
  b.transport->sendto("me", a.transport->sockname());
  run_until_received(a, 1);
  settle();
  EXPECT_EQ(a.protocol->events, (Strings{"made", "data:me"}));
}

TEST_P(DatagramErrors, TooLargeADatagramIsAnErrorOfThatOne) {
  Endpoint a = open();
  Endpoint b = open();
  a.transport->sendto(pattern(65508), b.transport->sockname());
  ASSERT_EQ(a.protocol->errors.size(), 1u);
  EXPECT_EQ(a.protocol->errors[0], std::errc::message_size);
  a.transport->sendto("small", b.transport->sockname());
  run_until_received(b, 1);
}

TEST_P(DatagramErrors, C0469_AnErrorOfAQueuedDatagramLosesNoOther) {
  Endpoint a = open();
  Endpoint b = open();
  kernel().block_sends();
  for (const char* text : {"1", "22", "333"}) a.transport->sendto(text, b.transport->sockname());
  kernel().fail_next_send(ENETUNREACH);
  kernel().release_sends();
  run_until_received(b, 2);
  EXPECT_EQ(b.protocol->data, (Strings{"22", "333"}));
  ASSERT_EQ(a.protocol->errors.size(), 1u);
  EXPECT_EQ(a.protocol->errors[0], std::errc::network_unreachable);
}

TEST_P(DatagramErrors, AnErrorHandlerThatSendsAgainEndsInNoEndlessLoop) {
  Endpoint a = open();
  Endpoint b = open();
  int again = 0;
  a.protocol->on_error = [&](std::error_code) {
    if (++again < 500) kernel().fail_next_send(ENETUNREACH);
    a.transport->sendto("again", b.transport->sockname());
  };
  kernel().fail_next_send(ENETUNREACH);
  a.transport->sendto("first", b.transport->sockname());
  EXPECT_LT(again, 500);
  run_until_received(b, 1);
  EXPECT_EQ(again, 500);
}

TEST_P(DatagramErrors, CloseInsideErrorReceivedEndsInOrder) {
  Endpoint a = open();
  a.protocol->on_error = [&](std::error_code) { a.transport->close(); };
  kernel().fail_next_send(EPERM);
  a.transport->sendto("x", Address::loopback(9));
  EXPECT_FALSE(a.protocol->lost);
  run_until([&] { return a.protocol->lost; });
  EXPECT_EQ(a.protocol->events.back(), "lost:ok");
}

TEST_P(DatagramErrors, AReceiveErrorIsHeardAndReadingGoesOn) {
  Endpoint a = open();
  Endpoint b = open();
  kernel().fail_next_recv(ENOMEM);
  a.transport->sendto("x", b.transport->sockname());
  run_until_received(b, 1);
  ASSERT_EQ(b.protocol->errors.size(), 1u);
  EXPECT_EQ(b.protocol->errors[0], std::errc::not_enough_memory);
}

TEST_P(DatagramErrors, RefusedSegmentsAreSentOneByOneFromThenOn) {
  if (simulated()) GTEST_SKIP() << "the simulation has no segmentation to refuse";
  Endpoint a = open();
  Endpoint b = open();
  const std::vector<BytesView> datagrams(10, BytesView("equal"));
  a.transport->send_each(datagrams, b.transport->sockname());
  EXPECT_EQ(kernel().sent(), std::vector<std::size_t>{1});  // all in one place
  run_until_received(b, 10);
  for (int round = 0; round < 2; ++round) {
    if (round == 0) kernel().fail_next_send(EIO);
    const std::size_t before = kernel().send_calls();
    a.transport->send_each(datagrams, b.transport->sockname());
    EXPECT_EQ(kernel().sent().back(), 10u);
    EXPECT_EQ(kernel().send_calls() - before, round == 0 ? 2u : 1u);
  }
  run_until_received(b, 30);
  EXPECT_TRUE(a.protocol->errors.empty());
}

TEST_P(DatagramErrors, WithoutSegmentationNothingIsJoined) {
  if (simulated()) GTEST_SKIP() << "the simulation has no segmentation";
  Endpoint a = open({.local_host = "127.0.0.1", .segmentation = false});
  Endpoint b = open({.local_host = "127.0.0.1", .segmentation = false});
  const std::vector<BytesView> datagrams(10, BytesView("equal"));
  a.transport->send_each(datagrams, b.transport->sockname());
  EXPECT_EQ(kernel().sent(), std::vector<std::size_t>{10});
  run_until_received(b, 10);
  int joins = 0;  // stays so where the system knows no such option
  kernel().get_option(b.transport->native_handle(), IPPROTO_UDP, UDP_GRO, joins);
  EXPECT_EQ(joins, 0);
}

TEST_P(DatagramErrors, WithoutOffloadEachDatagramIsAPlaceOfItsOwn) {
  kernel().refuse_option(IPPROTO_UDP, UDP_SEGMENT);
  kernel().refuse_option(IPPROTO_UDP, UDP_GRO);
  Endpoint a = open();
  Endpoint b = open();
  const std::vector<BytesView> datagrams(10, BytesView("equal"));
  for (std::size_t round = 1; round <= 3; ++round) {
    a.transport->send_each(datagrams, b.transport->sockname());
    EXPECT_EQ(kernel().sent(), std::vector<std::size_t>(round, 10));
    run_until_received(b, round * 10);
  }
  EXPECT_EQ(b.protocol->data, Strings(30, "equal"));
  EXPECT_TRUE(a.protocol->errors.empty());
}

}  // namespace
}  // namespace ferry::test
