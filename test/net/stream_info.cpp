#include "stream_fixture.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <memory>
#include <string>

namespace ferry::test {

class StreamInfo : public StreamTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, StreamInfo, ::testing::ValuesIn(kStreamWorlds), stream_world_name);

TEST_P(StreamInfo, C0432_AddressesStayKnownAfterTheLoss) {
  auto probe = recording();
  ConnectedSockets sockets = connect_sockets();
  Address local;
  Address peer;
  ASSERT_TRUE(kernel().local_address(sockets.near, local).ok());
  ASSERT_TRUE(kernel().peer_address(sockets.near, peer).ok());
  auto transport = adopt(sockets.near, probe);
  EXPECT_EQ(transport->sockname(), local);
  EXPECT_EQ(transport->peername(), peer);
  probe->close();
  EXPECT_EQ(transport->peername(), peer);
  run_until_lost(*probe);
  EXPECT_EQ(transport->sockname(), local);
  EXPECT_EQ(transport->peername(), peer);
}

TEST_P(StreamInfo, C0432_APeerThatIsGoneBeforeTheStartIsStillNamed) {
  auto probe = recording();
  ConnectedSockets sockets = connect_sockets();
  Address peer;
  ASSERT_TRUE(kernel().peer_address(sockets.near, peer).ok());
  sockets.far->close();
  auto transport = adopt(sockets.near, probe);
  run_until_lost(*probe);
  EXPECT_EQ(transport->peername(), peer);
}

TEST_P(StreamInfo, C0433_TheDescriptorTakesOptionsAndIsGoneAfterTheLoss) {
  auto probe = recording();
  Link link = open(probe);
  const int fd = link.transport->native_handle();
  ASSERT_GE(fd, 0);
  EXPECT_TRUE(kernel().set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1).ok());
  int value = 0;
  EXPECT_TRUE(kernel().get_option(fd, SOL_SOCKET, SO_KEEPALIVE, value).ok());
  EXPECT_EQ(value, 1);
  probe->close();
  run_until_lost(*probe);
  EXPECT_EQ(link.transport->native_handle(), -1);
}

TEST_P(StreamInfo, TheSocketIsNonBlockingAndClosedOnExecAndWithoutDelay) {
  if (simulated()) GTEST_SKIP() << "descriptor flags are the real kernel's";
  Link link = open(recording());
  const int fd = link.transport->native_handle();
  EXPECT_TRUE(fcntl(fd, F_GETFL) & O_NONBLOCK);
  EXPECT_TRUE(fcntl(fd, F_GETFD) & FD_CLOEXEC);
  if (wire() == Wire::tcp) {
    int value = 0;
    ASSERT_TRUE(kernel().get_option(fd, IPPROTO_TCP, TCP_NODELAY, value).ok());
    EXPECT_NE(value, 0);
  }
}

TEST_P(StreamInfo, TheLoopsReadersMayNotTouchATransportsDescriptor) {
  Link link = open(recording());
  const int fd = link.transport->native_handle();
  EXPECT_THROW(loop().add_reader(fd, [] {}), std::logic_error);
  EXPECT_THROW(loop().add_writer(fd, [] {}), std::logic_error);
}

TEST_P(StreamInfo, C0434_SetProtocolInACallbackSendsLaterCallbacksToTheNewOne) {
  auto first = recording();
  auto second = recording();
  second->checker().adopt();
  first->on_data = [&](BytesView) { first->transport()->set_protocol(second); };
  Link link = open(first);
  link.peer->send("one");
  run_until([&] { return first->bytes() == 3; });
  EXPECT_EQ(link.transport->get_protocol(), second);
  link.peer->send("two");
  run_until([&] { return second->bytes() == 3; });
  link.peer->close();
  run_until_lost(*second);
  EXPECT_EQ(first->summary(), "made data:3");
  EXPECT_EQ(second->summary(), "data:3 eof lost:ok");
  expect_replaced(*first);
}

TEST_P(StreamInfo, C0434_TheReplacedProtocolLivesUntilItsCallbackReturns) {
  auto second = recording();
  second->checker().adopt();
  std::weak_ptr<RecordingProtocol> watched;
  bool alive_inside = false;
  Link link;
  {
    auto first = std::make_shared<RecordingProtocol>();
    watched = first;
    first->on_data = [&](BytesView) {
      link.transport->set_protocol(second);
      alive_inside = !watched.expired();
    };
    link = open(first);
  }
  link.peer->send("one");
  run_until([&] { return watched.expired(); });
  EXPECT_TRUE(alive_inside);
  link.peer->close();
  run_until_lost(*second);
}

TEST_P(StreamInfo, C0434_StreamingAndBufferedProtocolsMayReplaceEachOther) {
  auto streaming = recording();
  auto buffered = recording_buffered(8);
  auto last = recording();
  buffered->checker().adopt();
  last->checker().adopt();
  Link link = open(streaming);
  streaming->on_data = [&](BytesView) { link.transport->set_protocol(buffered); };
  buffered->on_data = [&](BytesView) {
    if (buffered->bytes() == 12) link.transport->set_protocol(last);
  };
  link.peer->send("a");
  run_until([&] { return streaming->bytes() == 1; });
  link.peer->send("twelve bytes");
  run_until([&] { return buffered->bytes() == 12; });
  link.peer->send("the rest");
  run_until([&] { return last->bytes() == 8; });
  EXPECT_EQ(buffered->data(), "twelve bytes");
  EXPECT_EQ(last->data(), "the rest");
  expect_replaced(*streaming);
  expect_replaced(*buffered);
}

}  // namespace ferry::test
