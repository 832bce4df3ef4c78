#include "relay_fixture.h"

#include <algorithm>

namespace ferry::test {
namespace {

using RelayData = RelayTest;

TEST_P(RelayData, BytesGoBothWaysAndAreCounted) {
  open_both();
  join();
  a_.peer->send("from a");
  b_.peer->send("from b, longer");
  run_until_hears(*b_.peer, "from a");
  run_until_hears(*a_.peer, "from b, longer");
  a_.peer->shutdown_write();
  b_.peer->shutdown_write();
  const RelayResult result = finished();
  EXPECT_EQ(result.a_to_b, 6u);
  EXPECT_EQ(result.b_to_a, 14u);
  EXPECT_FALSE(result.error) << result.error.message();
}

TEST_P(RelayData, MebibytesBothWaysAreExact) {
  constexpr std::size_t kSize = (kSanitized ? 8 : 64) << 20;
  constexpr std::size_t kChunk = 1 << 20;
  open_both();
  join();
  std::size_t received[2] = {0, 0};
  std::size_t sent[2] = {0, 0};
  FarEnd* const ends[] = {a_.peer.get(), b_.peer.get()};
  std::size_t most_buffered = 0;
  const auto work = [&] {
    for (std::size_t i = 0; i < 2; ++i) {
      if (ends[i]->unsent() == 0 && sent[i] < kSize) {
        ends[i]->send(pattern(kChunk, sent[i]));
        sent[i] += kChunk;
      } else {
        ends[i]->send("");
      }
      const std::string got = ends[i]->read_some(kChunk);
      ASSERT_TRUE(same_bytes(got, pattern(got.size(), received[i]))) << "after " << received[i];
      received[i] += got.size();
    }
    most_buffered = std::max(most_buffered, buffered());
  };
  while (received[0] < kSize || received[1] < kSize) {
    work();
    if (HasFatalFailure()) return;
    tick(1);
  }
  a_.peer->shutdown_write();
  b_.peer->shutdown_write();
  const RelayResult result = finished();
  EXPECT_EQ(result.a_to_b, kSize);
  EXPECT_EQ(result.b_to_a, kSize);
  EXPECT_FALSE(result.error) << result.error.message();
  // A full queue and one read behind it, each way.
  EXPECT_LE(most_buffered, 2 * (64u + 256u) * 1024u);
}

TEST_P(RelayData, EndThatDoesNotReadHoldsTheOtherBack) {
  open_both();
  join();
  kernel().block_sends();
  a_.peer->send(pattern(8 << 20));
  run_sending(*a_.peer, [&] { return !a_.transport->is_reading(); });
  for (int i = 0; i < 3; ++i) {
    a_.peer->send("");
    settle();
  }
  EXPECT_FALSE(a_.transport->is_reading());
  EXPECT_GT(a_.peer->unsent(), 0u) << "the relay took it all";
  const std::size_t held = b_.transport->get_write_buffer_size();
  EXPECT_GT(held, b_.transport->get_write_buffer_limits().high);
  EXPECT_LE(held, b_.transport->get_write_buffer_limits().high + 256 * 1024);
  EXPECT_TRUE(b_.transport->is_reading()) << "the other direction is held, too";
  kernel().release_sends();
  run_sending(*a_.peer, [&] { return b_.peer->read().size() == 8u << 20; });
  EXPECT_TRUE(same_bytes(b_.peer->received(), pattern(8 << 20)));
}

TEST_P(RelayData, QueueThatIsFullFromBeforeHoldsTheOtherBack) {
  open_both();
  kernel().block_sends();
  b_.transport->write(pattern(1 << 20));
  ASSERT_TRUE(before_b_->writing_paused());
  join();
  EXPECT_FALSE(a_.transport->is_reading());
  a_.peer->send("behind it");
  settle();
  EXPECT_EQ(b_.transport->get_write_buffer_size(), 1u << 20);
  kernel().release_sends();
  run_until_hears(*b_.peer, pattern(1 << 20) + "behind it");
}

TEST_P(RelayData, QueueBetweenItsMarksDoesNotGrowPastThem) {
  open_both();
  kernel().block_sends();
  b_.transport->write(pattern(128 * 1024));
  ASSERT_TRUE(before_b_->writing_paused());
  kernel().allow_sends(96 * 1024);  // below the high mark, above the low one: still paused
  run_until([&] {
    b_.peer->read();
    return b_.transport->get_write_buffer_size() == 32 * 1024;
  });
  ASSERT_TRUE(before_b_->writing_paused());
  join();
  a_.peer->send(pattern(8 << 20));
  for (int i = 0; i < 10; ++i) {
    a_.peer->send("");
    settle();
  }
  EXPECT_LE(b_.transport->get_write_buffer_size(), (64u + 256u) * 1024u);
  kernel().release_sends();
}

TEST_P(RelayData, ReadingThatWasPausedGoesOn) {
  open_both();
  a_.transport->pause_reading();
  b_.transport->pause_reading();
  a_.peer->send("waited");
  b_.peer->send("waited, too");
  settle();
  join();
  run_until_hears(*b_.peer, "waited");
  run_until_hears(*a_.peer, "waited, too");
}

TEST_P(RelayData, MayBeginInsideDataReceived) {
  open_both();
  before_a_->on_data = [&](BytesView data) {
    b_.transport->write(std::string("head:") + std::string(data.text()));
    join();
  };
  a_.peer->send("first");
  run_until([&] { return future_.valid(); });
  a_.peer->send(" second");
  run_until_hears(*b_.peer, "head:first second");
  EXPECT_EQ(before_a_->summary(), "made data:5");
  b_.peer->send("answer");
  run_until_hears(*a_.peer, "answer");
}

TEST_P(RelayData, MayBeginInsideConnectionMade) {
  before_a_ = std::make_shared<RecordingProtocol>();
  before_b_ = std::make_shared<RecordingProtocol>();
  a_ = open(before_a_);
  before_b_->on_made = [&] {
    b_.transport = before_b_->transport();
    join();
  };
  b_ = open(before_b_);
  ASSERT_TRUE(future_.valid());
  a_.peer->send("to b");
  b_.peer->send("to a");
  run_until_hears(*b_.peer, "to b");
  run_until_hears(*a_.peer, "to a");
}

TEST_P(RelayData, MayBeginInsideACallbackOfABufferedProtocol) {
  auto buffered = std::make_shared<RecordingBufferedProtocol>();
  before_b_ = std::make_shared<RecordingProtocol>();
  a_ = open(buffered);
  b_ = open(before_b_);
  buffered->on_data = [&](BytesView) { join(); };
  a_.peer->send("taken");
  run_until([&] { return future_.valid(); });
  a_.peer->send("relayed");
  run_until_hears(*b_.peer, "relayed");
}

TEST_P(RelayData, NonsenseIsAnInvalidArgument) {
  open_both();
  const auto join_these = [](std::shared_ptr<Transport> a, std::shared_ptr<Transport> b) {
    static_cast<void>(relay(std::move(a), std::move(b)));
  };
  EXPECT_THROW(join_these(a_.transport, a_.transport), std::invalid_argument);
  EXPECT_THROW(join_these(a_.transport, nullptr), std::invalid_argument);
  EXPECT_THROW(join_these(nullptr, b_.transport), std::invalid_argument);
  EXPECT_EQ(a_.transport->get_protocol(), before_a_);
  EXPECT_EQ(loop().stats().operations, 0u);
}

INSTANTIATE_TEST_SUITE_P(Worlds, RelayData, ::testing::ValuesIn(kRelayWorlds), relay_world_name);

}  // namespace
}  // namespace ferry::test
