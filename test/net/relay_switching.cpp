// Relays that splice while it pays: from copying to splicing and back in mid-stream.

#include "relay_fixture.h"

#include <algorithm>
#include <cerrno>
#include <random>

namespace ferry::test {
namespace {

/// Large enough for reads that fill the loop's buffer.
constexpr int kBuffers = 512 * 1024;

class RelaySwitching : public RelayTest {
 protected:
  /// Sends so many bytes from a to b at once, and waits until they are there.
  void pass(std::size_t bytes) {
    a_.peer->send(pattern(bytes, sent_));
    sent_ += bytes;
    run_sending(*a_.peer, [&] {
      received_.append(b_.peer->read_some(1 << 20));
      return received_.size() >= sent_ || b_.peer->ended();
    });
    ASSERT_EQ(received_.size(), sent_);
  }
  void expect_all() { EXPECT_TRUE(same_bytes(received_, pattern(sent_))); }

  std::size_t sent_ = 0;
  std::string received_;
};

constexpr RelayWorld kAutomatic[] = {{{World::asio, Wire::tcp}, Splice::automatic},
                                     {{World::asio, Wire::unix_socket}, Splice::automatic},
                                     {{World::sim, Wire::tcp}, Splice::automatic},
                                     {{World::sim, Wire::unix_socket}, Splice::automatic}};

TEST_P(RelaySwitching, SmallMessagesAreCopied) {
  open_both(kBuffers);
  join();
  for (int i = 0; i < 50; ++i) pass(500);
  expect_all();
  EXPECT_EQ(kernel().spliced(), 0u);
  EXPECT_EQ(kernel().pipe_calls(), 0u);
}

TEST_P(RelaySwitching, LargeFlowIsSplicedAndSmallMessagesAfterItAreCopied) {
  open_both(kBuffers);
  join();
  for (int round = 0; round < 3; ++round) {
    const std::size_t before = kernel().spliced();
    while (kernel().spliced() < before + (1 << 20)) {
      pass(4 << 20);
      ASSERT_LT(sent_, 512u << 20) << "it never splices";
    }
    for (int i = 0; i < 10; ++i) pass(100);
    const std::size_t then = kernel().spliced();
    for (int i = 0; i < 50; ++i) pass(100);
    EXPECT_EQ(kernel().spliced(), then) << "it still splices";
  }
  expect_all();
}

TEST_P(RelaySwitching, SwitchingAtRandomPointsKeepsEveryByte) {
  constexpr std::size_t kTotal = (kSanitized ? 8 : 24) << 20;
  for (unsigned seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE(seed);
    std::minstd_rand random(seed);
    const auto below = [&](std::size_t n) { return random() % n; };
    open_both(kBuffers);
    join();
    FarEnd* const ends[] = {a_.peer.get(), b_.peer.get()};
    std::size_t sent[2] = {0, 0};
    std::size_t received[2] = {0, 0};
    const std::size_t spliced = kernel().spliced();
    bool blocked = false;
    while (received[0] < kTotal || received[1] < kTotal) {
      // Bursts and drops, short counts, refusals for the moment, readers that pause.
      for (std::size_t i = 0; i < 2; ++i) {
        if (ends[i]->unsent() == 0 && sent[i] < kTotal) {
          const std::size_t most = below(2) == 0 ? 900 : 4 << 20;
          const std::size_t size = std::min(kTotal - sent[i], 1 + below(most));
          ends[i]->send(pattern(size, sent[i]));
          sent[i] += size;
        } else {
          ends[i]->send("");
        }
        if (below(4) == 0) continue;
        const std::string got = ends[i]->read_some(1 + below(1 << 20));
        ASSERT_TRUE(same_bytes(got, pattern(got.size(), received[i]))) << "after " << received[i];
        received[i] += got.size();
        ASSERT_FALSE(ends[i]->ended()) << ends[i]->error().message();
      }
      switch (below(16)) {
        case 0:
          kernel().limit_next_sends({1 + below(5000), 1 + below(100'000)});
          break;
        case 1:
          kernel().limit_next_recvs({1 + below(5000), 1 + below(200'000)});
          break;
        case 2:
          kernel().fail_next_send(EAGAIN);
          break;
        case 3:
          kernel().fail_next_recv(EAGAIN);
          break;
        case 4:
          kernel().block_sends(below(200'000));
          blocked = true;
          break;
        default:
          if (std::exchange(blocked, false)) kernel().release_sends();
          break;
      }
      tick(1);
    }
    kernel().release_sends();
    EXPECT_GT(kernel().spliced(), spliced) << "nothing was spliced";
    EXPECT_LT(kernel().spliced() - spliced, 2 * kTotal) << "nothing was copied";
    a_.peer->shutdown_write();
    b_.peer->shutdown_write();
    const RelayResult result = finished();
    EXPECT_EQ(result.a_to_b, kTotal);
    EXPECT_EQ(result.b_to_a, kTotal);
    EXPECT_FALSE(result.error) << result.error.message();
  }
}

INSTANTIATE_TEST_SUITE_P(Worlds, RelaySwitching, ::testing::ValuesIn(kAutomatic), relay_world_name);

}  // namespace
}  // namespace ferry::test
