#include "stream_fixture.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>
#include <string>

namespace ferry::test {

using namespace std::chrono_literals;

class BufferedReading : public StreamTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, BufferedReading, ::testing::ValuesIn(kStreamWorlds),
                         stream_world_name);

TEST_P(BufferedReading, C0448_EveryUpdateHasItsGetBuffer) {
  auto probe = recording_buffered(50);
  std::size_t updates = 0;
  probe->on_data = [&](BytesView data) {
    ++updates;
    EXPECT_GT(data.size(), 0u);
    EXPECT_LE(data.size(), 50u);
    EXPECT_LE(updates, probe->hints().size());
  };
  Link link = open(probe);
  link.peer->send(pattern(123'123));
  run_until([&] {
    link.peer->send("");
    return probe->bytes() == 123'123;
  });
  EXPECT_TRUE(probe->data() == pattern(123'123));
  EXPECT_GE(probe->hints().size(), updates);
}

TEST_P(BufferedReading, C0448_BytesGoStraightToTheProtocolsMemory) {
  auto probe = recording_buffered(16);
  std::string memory(4096, '.');
  probe->on_get_buffer = [&](std::size_t) {
    return MutableBytes(reinterpret_cast<std::byte*>(memory.data()), memory.size());
  };
  Link link = open(probe);
  link.peer->send("straight");
  run_until([&] { return probe->bytes() == 8; });
  EXPECT_EQ(memory.substr(0, 9), "straight.");
}

struct BufferedFailure {
  const char* name;
  void (*arrange)(RecordingBufferedProtocol&);
};

TEST_P(BufferedReading, C0449_FailuresEndTheConnectionOnce) {
  const BufferedFailure failures[] = {
      {"get_buffer",
       [](RecordingBufferedProtocol& probe) {
         probe.on_get_buffer = [](std::size_t) -> MutableBytes {
           throw std::runtime_error("no memory for you");
         };
       }},
      {"get_buffer",
       [](RecordingBufferedProtocol& probe) {
         probe.on_get_buffer = [](std::size_t) { return MutableBytes(); };
       }},
      {"buffer_updated",
       [](RecordingBufferedProtocol& probe) {
         probe.on_data = [](BytesView) { throw std::runtime_error("no taste"); };
       }},
  };
  for (const BufferedFailure& failure : failures) {
    auto probe = recording_buffered(50);
    Link link = open(probe);
    failure.arrange(*probe);
    link.peer->send("x");
    run_until_lost(*probe);
    EXPECT_EQ(probe->error(), errc::protocol_failed);
    const auto told = take_exceptions();
    ASSERT_EQ(told.size(), 1u);
    EXPECT_NE(told[0].message.find(failure.name), std::string::npos) << told[0].message;
    run_until_ended(*link.peer);
  }
}

TEST_P(BufferedReading, C0450_EofClosesByDefault) {
  auto probe = recording_buffered(50);
  Link link = open(probe);
  link.peer->send("last");
  link.peer->shutdown_write();
  run_until_lost(*probe);
  EXPECT_EQ(probe->summary(), "made data:4 eof lost:ok");
  run_until_ended(*link.peer);
  EXPECT_TRUE(link.peer->eof());
}

TEST_P(BufferedReading, C0450_EofMayKeepTheConnectionOpen) {
  auto probe = recording_buffered(50);
  probe->keep_open_on_eof = true;
  Link link = open(probe);
  link.peer->shutdown_write();
  run_until([&] { return probe->eof(); });
  EXPECT_FALSE(link.transport->is_closing());
  probe->write("still writing");
  run_until_received(*link.peer, 13);
  probe->close();
  run_until_lost(*probe);
  EXPECT_FALSE(probe->error());
}

TEST_P(BufferedReading, C0444_OneByteMoreThanTheBufferAndEofInOneBurst) {
  auto probe = recording_buffered(50);
  ConnectedSockets sockets = connect_sockets();
  sockets.far->send(pattern(51));
  sockets.far->close();
  adopt(sockets.near, probe);
  run_until_lost(*probe);
  EXPECT_EQ(probe->summary(), "made data:51 eof lost:ok");
  EXPECT_EQ(probe->data(), pattern(51));
}

TEST_P(BufferedReading, C0452_NoGetBufferAfterClosingInBufferUpdated) {
  auto probe = recording_buffered(50);
  std::size_t buffers_at_close = 0;
  probe->on_data = [&](BytesView) {
    probe->close();
    buffers_at_close = probe->hints().size();
  };
  Link link = open(probe);
  link.peer->send(pattern(5000));
  run_until_lost(*probe);
  settle();
  EXPECT_EQ(probe->hints().size(), buffers_at_close);
  EXPECT_LE(probe->bytes(), 50u);
  EXPECT_FALSE(probe->error());
}

TEST_P(BufferedReading, C0452_ClosingInsideGetBufferDeliversNothingMore) {
  auto probe = recording_buffered(50);
  std::string memory(64, '.');
  probe->on_get_buffer = [&](std::size_t) {
    probe->close();
    return MutableBytes(reinterpret_cast<std::byte*>(memory.data()), memory.size());
  };
  Link link = open(probe);
  link.peer->send("unwanted");
  run_until_lost(*probe);
  settle();
  EXPECT_EQ(probe->bytes(), 0u);
}

TEST_P(BufferedReading, C0452_PausingInBufferUpdatedHoldsBackTheRest) {
  auto probe = recording_buffered(50);
  probe->on_data = [&](BytesView) { probe->pause_reading(); };
  Link link = open(probe);
  link.peer->send(pattern(5000));
  run_until([&] { return probe->bytes() == 50; });
  settle();
  EXPECT_EQ(probe->bytes(), 50u);
  probe->on_data = nullptr;
  probe->resume_reading();
  run_until([&] { return probe->bytes() == 5000; });
  EXPECT_TRUE(probe->data() == pattern(5000));
}

/// A BufferedProtocol with a buffer of `size` that only collects.
class Collector final : public BufferedProtocol {
 public:
  explicit Collector(std::size_t size) : buffer_(size, '\0') {}
  MutableBytes get_buffer(std::size_t) override {
    return {reinterpret_cast<std::byte*>(buffer_.data()), buffer_.size()};
  }
  void buffer_updated(std::size_t size) override { collected += buffer_.substr(0, size); }
  std::string collected;

 private:
  std::string buffer_;
};

TEST(BufferedFeeding, C0453_DataReceivedCopiesThroughShortBuffers) {
  for (const std::size_t size : {1u, 2u, 4u, 100u}) {
    Collector collector(size);
    collector.data_received("12345");
    EXPECT_EQ(collector.collected, "12345") << "buffer of " << size;
  }
}

TEST(BufferedFeeding, C0453_AnEmptyBufferIsAnError) {
  Collector collector(0);
  EXPECT_THROW(collector.data_received("12345"), std::exception);
  EXPECT_EQ(collector.collected, "");
}

/// Sends back what it receives, and stops reading while it cannot write.
void echo_with_back_pressure(RecordingBufferedProtocol& probe) {
  probe.on_data = [&probe](BytesView data) { probe.write(data); };
  probe.on_pause = [&probe] { probe.pause_reading(); };
  probe.on_resume = [&probe] { probe.resume_reading(); };
}

TEST_P(BufferedReading, C0454_DuplexBulkWithBackPressureNeitherLosesNorLocks) {
  const std::size_t total = 10'000'000;
  auto server = recording_buffered(30'000);
  auto client = recording_buffered(50'000);
  client->keep_data = false;
  server->keep_data = false;
  echo_with_back_pressure(*server);
  const std::string bytes = pattern(total);
  std::size_t written = 0;
  std::size_t wrong_at = total;
  const auto pump = [&] {
    while (!client->writing_paused() && written < total) {
      const std::size_t size = std::min<std::size_t>(total - written, 20'000);
      client->write(BytesView(bytes).drop(written).first(size));
      written += size;
    }
  };
  client->on_resume = [&] { pump(); };
  std::size_t echoed = 0;
  client->on_data = [&](BytesView data) {
    if (!(data == BytesView(bytes).drop(echoed).first(data.size()))) {
      wrong_at = std::min(wrong_at, echoed);
    }
    echoed += data.size();
  };
  TransportPair pair = open_pair(client, server);
  pump();
  run_until([&] { return echoed >= total; }, 120s);
  EXPECT_EQ(wrong_at, total);
  EXPECT_EQ(echoed, total);
  client->close();
  run_until([&] { return client->lost() && server->lost(); });
  EXPECT_FALSE(server->error());
}

}  // namespace ferry::test
