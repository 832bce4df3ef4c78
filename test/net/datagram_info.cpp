// What travels beside a datagram's bytes; broadcast and multicast.

#include "datagram_fixture.h"

#include <net/if.h>
#include <sys/socket.h>

namespace ferry::test {
namespace {

using Strings = std::vector<std::string>;

class DatagramInfos : public DatagramTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, DatagramInfos, ::testing::ValuesIn(kWorlds), world_name);

TEST_P(DatagramInfos, TosAndLocalAddressAreTold) {
  Endpoint server = open({.local_host = "0.0.0.0", .receive_info = true});
  const std::uint16_t port = server.transport->sockname().port();
  Endpoint client = open();
  for (const char* host : {"127.0.0.1", "127.0.0.7"}) {
    client.transport->sendto("x", DatagramInfo{*Address::ip(host, port), {}, 0x2a});
  }
  client.transport->sendto("plain", Address::loopback(port));
  run_until_received(server, 3);
  EXPECT_EQ(server.protocol->infos[0].local, *Address::ip("127.0.0.1", port));
  EXPECT_EQ(server.protocol->infos[1].local, *Address::ip("127.0.0.7", port));
  EXPECT_EQ(server.protocol->infos[0].tos, 0x2a);
  EXPECT_EQ(server.protocol->infos[2].tos, 0);
}

TEST_P(DatagramInfos, TrafficClassAndLocalAddressOfIpv6) {
  Endpoint server = open({.local_host = "::1", .receive_info = true});
  Endpoint client = open_to(server.transport->sockname());
  client.transport->sendto("x", DatagramInfo{{}, {}, 0x01});
  run_until_received(server, 1);
  EXPECT_EQ(server.protocol->infos[0].tos, 1);
  EXPECT_EQ(server.protocol->infos[0].local, server.transport->sockname());
}

TEST_P(DatagramInfos, AnAnswerCanComeFromTheAddressThatWasAsked) {
  Endpoint server = open({.local_host = "0.0.0.0", .receive_info = true});
  server.protocol->on_data = [&](BytesView data, const DatagramInfo& info) {
    server.transport->sendto(data, info);
  };
  const Address asked = *Address::ip("127.0.0.9", server.transport->sockname().port());
  Endpoint client = open_to(asked);  // connected: it would not hear another address
  client.transport->sendto("hello", DatagramInfo{{}, {}, 0x48});
  run_until_received(client, 1);
  EXPECT_EQ(client.protocol->infos[0].peer, asked);
  EXPECT_EQ(server.protocol->infos[0].tos, 0x48);
}

TEST_P(DatagramInfos, WaitsInTheQueueWithTheDatagram) {
  Endpoint server = open({.local_host = "127.0.0.1", .receive_info = true});
  Endpoint client = open();
  kernel().block_sends();
  client.transport->sendto("x", DatagramInfo{server.transport->sockname(), {}, 0x14});
  client.transport->sendto("y", server.transport->sockname());
  kernel().release_sends();
  run_until_received(server, 2);
  EXPECT_EQ(server.protocol->infos[0].tos, 0x14);
  EXPECT_EQ(server.protocol->infos[1].tos, 0);
}

TEST_P(DatagramInfos, C0473_BroadcastNeedsTheOptionAndThenArrives) {
  Endpoint hearer = open({.local_host = "0.0.0.0"});
  const Address everybody = *Address::ip("127.255.255.255", hearer.transport->sockname().port());
  Endpoint shy = open();
  shy.transport->sendto("x", everybody);
  ASSERT_EQ(shy.protocol->errors.size(), 1u);
  EXPECT_EQ(shy.protocol->errors[0], std::errc::permission_denied);
  Endpoint loud = open({.local_host = "127.0.0.1", .allow_broadcast = true});
  loud.transport->sendto("hear", everybody);
  run_until_received(hearer, 1);
  EXPECT_EQ(hearer.protocol->data, Strings{"hear"});
}

TEST_P(DatagramInfos, MulticastReachesThoseWhoJoinedUntilTheyLeave) {
  const Address group = *Address::ip("239.193.7.13", 0);
  const unsigned lo = ::if_nametoindex("lo");
  ASSERT_NE(lo, 0u);
  Endpoint member = open({.local_host = "0.0.0.0"});
  const std::uint16_t port = member.transport->sockname().port();
  Endpoint sender = open();
  member.transport->join_group(group, lo);
  EXPECT_THROW(member.transport->join_group(group, lo), IoError);
  sender.transport->sendto("to the group", group.with_port(port));
  run_until_received(member, 1);
  member.transport->leave_group(group, lo);
  EXPECT_THROW(member.transport->leave_group(group, lo), IoError);
  sender.transport->sendto("to nobody", group.with_port(port));
  sender.transport->sendto("to you", Address::loopback(port));
  run_until_received(member, 2);
  EXPECT_EQ(member.protocol->data, (Strings{"to the group", "to you"}));
}

TEST_P(DatagramInfos, NoGroupIsJoinedByAnOrdinaryAddress) {
  Endpoint a = open();
  EXPECT_THROW(a.transport->join_group(*Address::ip("127.0.0.1", 0)), IoError);
}

}  // namespace
}  // namespace ferry::test
