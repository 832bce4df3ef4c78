#include "stream_fixture.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

namespace ferry::test {

using namespace std::chrono_literals;

class ReadData : public StreamTest {
 protected:
  /// Runs until `record` has received `size` bytes, sending on what the peer still holds.
  void run_until_bytes(FarEnd& peer, const ConnectionRecord& record, std::size_t size) {
    run_until(
        [&] {
          if (peer.unsent() > 0) peer.send("");
          return record.bytes() >= size;
        },
        60s);
  }
};
INSTANTIATE_TEST_SUITE_P(Worlds, ReadData, ::testing::ValuesIn(kStreamWorlds), stream_world_name);

/// The sizes of the data events of `record`.
std::vector<std::size_t> chunks(const ConnectionRecord& record) {
  std::vector<std::size_t> sizes;
  for (const std::string& event : record.events()) {
    if (event.starts_with("data:")) sizes.push_back(std::stoul(event.substr(5)));
  }
  return sizes;
}

TEST_P(ReadData, C0436_ALargeBurstComesInChunksOfAtMost256KiB) {
  auto probe = recording();
  Link link = open(probe);
  link.peer->send(pattern(1'000'000));
  run_until_bytes(*link.peer, *probe, 1'000'000);
  EXPECT_TRUE(probe->data() == pattern(1'000'000));
  for (const std::size_t size : chunks(*probe)) {
    EXPECT_GT(size, 0u);
    EXPECT_LE(size, 256u * 1024);
  }
}

TEST_P(ReadData, C0436_OneSmallMessageIsOneChunk) {
  auto probe = recording();
  Link link = open(probe);
  for (int i = 1; i <= 20; ++i) {
    link.peer->send("message");
    run_until_bytes(*link.peer, *probe, static_cast<std::size_t>(i) * 7);
  }
  EXPECT_EQ(chunks(*probe), std::vector<std::size_t>(20, 7));
}

TEST_P(ReadData, C0437_PausingInConnectionMadeHoldsBackWhatWasSentBefore) {
  auto probe = recording();
  probe->on_made = [&] { probe->pause_reading(); };
  ConnectedSockets sockets = connect_sockets();
  sockets.far->send("early");
  auto transport = adopt(sockets.near, probe);
  EXPECT_FALSE(transport->is_reading());
  run_for(50ms);
  EXPECT_EQ(probe->bytes(), 0u);
  probe->resume_reading();
  EXPECT_TRUE(transport->is_reading());
  run_until([&] { return probe->bytes() == 5; });
  EXPECT_EQ(probe->data(), "early");
}

TEST_P(ReadData, C0437_PausingInConnectionMadeWorksForClientsToo) {
  auto probe = recording();
  probe->on_made = [&] { probe->pause_reading(); };
  ConnectedSockets sockets = connect_sockets();
  sockets.far->send("early");
  ConnectOptions options;
  options.socket = sockets.near;
  auto connected = create_connection(
      loop(), [&] { return probe; }, std::move(options));
  run_until([&] { return connected.done(); });
  run_for(50ms);
  EXPECT_EQ(probe->bytes(), 0u);
  probe->resume_reading();
  run_until([&] { return probe->bytes() == 5; });
}

TEST_P(ReadData, C0438_PausingInsideDataReceivedStopsAFlood) {
  const std::size_t total = 10'000'000;
  auto probe = recording();
  bool first = true;
  probe->on_data = [&](BytesView) {
    if (std::exchange(first, false)) probe->pause_reading();
  };
  Link link = open(probe);
  link.peer->send(pattern(total));
  run_until([&] { return probe->bytes() > 0; });
  for (int i = 0; i < 20; ++i) {
    link.peer->send("");
    tick(2);
  }
  run_for(20ms);
  EXPECT_EQ(chunks(*probe).size(), 1u);
  EXPECT_GT(link.peer->unsent(), 0u) << "the sender must be blocked by now";
  probe->resume_reading();
  run_until_bytes(*link.peer, *probe, total);
  EXPECT_TRUE(probe->data() == pattern(total));
}

TEST_P(ReadData, C0438_PausingAndResumingOnEachChunkLosesNothing) {
  const std::size_t total = 3'000'000;
  auto probe = recording();
  probe->on_data = [&](BytesView) {
    probe->pause_reading();
    loop().call_soon([&] { probe->resume_reading(); });
  };
  Link link = open(probe);
  link.peer->send(pattern(total));
  run_until_bytes(*link.peer, *probe, total);
  EXPECT_TRUE(probe->data() == pattern(total));
  tick();
}

TEST_P(ReadData, C0438_PausingAndResumingInsideOneCallbackIsHarmless) {
  auto probe = recording();
  probe->on_data = [&](BytesView) {
    probe->pause_reading();
    probe->resume_reading();
    probe->pause_reading();
    probe->resume_reading();
  };
  Link link = open(probe);
  link.peer->send(pattern(1'000'000));
  run_until_bytes(*link.peer, *probe, 1'000'000);
  EXPECT_TRUE(probe->data() == pattern(1'000'000));
}

TEST_P(ReadData, C0438_BothAreIdempotentAndHarmlessAfterClose) {
  auto probe = recording();
  Link link = open(probe);
  probe->resume_reading();
  probe->pause_reading();
  probe->pause_reading();
  EXPECT_FALSE(link.transport->is_reading());
  probe->resume_reading();
  probe->resume_reading();
  EXPECT_TRUE(link.transport->is_reading());
  link.peer->send("x");
  run_until([&] { return probe->bytes() == 1; });
  probe->close();
  probe->pause_reading();
  probe->resume_reading();
  EXPECT_FALSE(link.transport->is_reading());
  run_until_lost(*probe);
  probe->pause_reading();
  probe->resume_reading();
  EXPECT_FALSE(link.transport->is_reading());
}

TEST_P(ReadData, C0440_ResumeDeliversWhatArrivedWhilePaused) {
  auto probe = recording();
  Link link = open(probe);
  probe->pause_reading();
  for (const char* word : {"one ", "two ", "three"}) link.peer->send(word);
  settle();
  EXPECT_EQ(probe->bytes(), 0u);
  probe->resume_reading();
  EXPECT_EQ(probe->bytes(), 0u) << "never from inside resume_reading";
  // One turn to let the kernel in, one to hear of it.
  tick(2);
  EXPECT_EQ(probe->data(), "one two three");
}

TEST_P(ReadData, C0446_ARecvThatWouldBlockIsNothing) {
  auto probe = recording();
  Link link = open(probe);
  kernel().fail_next_recv(EAGAIN);
  link.peer->send("data");
  run_until([&] { return probe->bytes() == 4; });
  EXPECT_EQ(probe->summary(), "made data:4");
  EXPECT_FALSE(link.transport->is_closing());
}

TEST_P(ReadData, ShortReadsLoseNothing) {
  auto probe = recording();
  Link link = open(probe);
  kernel().limit_next_recvs({1, 2, 3, 5, 8, 13, 1, 1, 1, 40});
  link.peer->send(pattern(1000));
  run_until([&] { return probe->bytes() == 1000; });
  EXPECT_TRUE(probe->data() == pattern(1000));
}

}  // namespace ferry::test
