// The end of a sendfile that reads the file, of a connection that closes at the same time.

#include "stream_fixture.h"

#include <ferry/sendfile.h>

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

namespace ferry::test {

class SendfileEnd : public StreamTest {
 protected:
  /// Sends a file by reading it, to a peer that takes nothing, until its sender waits for room.
  Future<std::uint64_t> send_until_full(const Link& link) {
    EXPECT_EQ(std::fwrite(text_.data(), 1, text_.size(), file_.get()), text_.size());
    EXPECT_EQ(std::fflush(file_.get()), 0);
    kernel().native_sendfile = false;
    const auto sending = sendfile(link.transport, ::fileno(file_.get()));
    run_until([&] {
      return link.transport->get_write_buffer_size() >
             link.transport->get_write_buffer_limits().high;
    });
    settle();
    return sending;
  }

  const std::string text_ = pattern(1'000'000);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_{std::tmpfile(), std::fclose};
};
INSTANTIATE_TEST_SUITE_P(Worlds, SendfileEnd, ::testing::ValuesIn(kStreamWorlds),
                         stream_world_name);

// The owner, which had not been told of the pause while the file was sent, was told of its end.
TEST_P(SendfileEnd, OfAPauseThatNobodyWasToldOfNobodyHearsTheEnd) {
  auto probe = recording();
  const Link link = open(probe, 10'000);
  const auto sending = send_until_full(link);
  sending.cancel();
  probe->close();
  run_until([&] {
    link.peer->pump();
    return probe->lost();
  });
  EXPECT_EQ(probe->summary(), "made lost:ok");
  EXPECT_TRUE(text_.starts_with(link.peer->received()));
}

// Writing stayed reserved and reading paused: the connection could be closed, and nothing else.
TEST_P(SendfileEnd, AProtocolThatTakesTheSendersPlaceHasTheConnection) {
  auto probe = recording();
  auto next = recording();
  const Link link = open(probe, 10'000);
  const auto sending = send_until_full(link);
  next->checker().adopt();
  { const auto told = next->checker().pause_writing(); }  // as the one before it, by the sender
  link.transport->set_protocol(next);
  expect_replaced(*probe);
  EXPECT_TRUE(sending.done());
  EXPECT_NE(sending.exception(), nullptr);
  EXPECT_TRUE(link.transport->is_reading());
  EXPECT_EQ(next->summary(), "");
  link.peer->send("heard");
  link.transport->write("the end");
  link.transport->write_eof();
  run_until([&] {
    link.peer->pump();
    return link.peer->eof() && next->bytes() == 5;
  });
  EXPECT_TRUE(link.peer->received().ends_with("the end"));
  link.transport->close();
  run_until_lost(*next);
}

}  // namespace ferry::test
