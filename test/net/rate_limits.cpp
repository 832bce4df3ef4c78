#include "wrap_fixture.h"

#include <ferry/rate_limit.h>
#include <ferry/wraps.h>

#include <algorithm>
#include <vector>

namespace ferry::test {
namespace {

constexpr Rate kRate{100'000, 10'000};

class RateLimitTest : public WrapTest {
 protected:
  TimePoint begin_ = TimePoint();

  void start() { begin_ = loop().time(); }
  Duration elapsed() { return loop().time() - begin_; }
  /// What may have moved by now, all buckets having been full when `start` was called.
  std::size_t allowed(Rate rate = kRate) {
    const double seconds = std::chrono::duration<double>(elapsed()).count();
    return rate.burst + static_cast<std::size_t>(seconds * double(rate.bytes_per_second)) + 1;
  }
  Link open_limited(std::shared_ptr<Protocol> protocol, RateLimits limits, int buffer = 0) {
    start();
    return open_wrapped(std::move(protocol), rate_limit(limits), buffer);
  }
};
INSTANTIATE_WORLDS(RateLimitTest);

TEST_P(RateLimitTest, ReadingKeepsToTheRate) {
  const auto near = recording();
  const Link link = open_limited(near, {.read = kRate});
  link.peer->send(pattern(60'000));
  near->on_data = [&](BytesView) { EXPECT_LE(near->bytes(), allowed()); };
  run_until([&] {
    link.peer->pump();
    return near->bytes() == 60'000;
  });
  EXPECT_GE(elapsed(), 499ms);
  EXPECT_TRUE(near->data() == pattern(60'000));
  near->close();
  run_until_lost(*near);
}

TEST_P(RateLimitTest, ReadingIntoTheProtocolsOwnBufferKeepsToTheRateToo) {
  const auto near = recording_buffered(700);
  const Link link = open_limited(near, {.read = kRate});
  link.peer->send(pattern(40'000));
  near->on_data = [&](BytesView) { EXPECT_LE(near->bytes(), allowed()); };
  run_until([&] {
    link.peer->pump();
    return near->bytes() == 40'000;
  });
  EXPECT_GE(elapsed(), 299ms);
  EXPECT_TRUE(near->data() == pattern(40'000));
  near->close();
  run_until_lost(*near);
}

TEST_P(RateLimitTest, PausedReadingStaysPausedWhenThereAreTokensAgain) {
  const auto near = recording();
  const Link link = open_limited(near, {.read = kRate});
  near->on_data = [&](BytesView) { near->pause_reading(); };
  link.peer->send(pattern(60'000));
  run_until([&] { return near->bytes() > 0; });
  for (int i = 0; i < 3; ++i) {
    const std::size_t had = near->bytes();
    run_for(100ms);
    EXPECT_EQ(near->bytes(), had);
    near->resume_reading();
    run_until([&] { return near->bytes() > had; });
  }
  near->on_data = nullptr;
  near->resume_reading();
  run_until([&] { return near->bytes() == 60'000; });
  EXPECT_TRUE(near->data() == pattern(60'000));
  near->close();
  run_until_lost(*near);
}

TEST_P(RateLimitTest, WritingKeepsToTheRateAndTheBufferIsExact) {
  const auto near = recording();
  const Link link = open_limited(near, {.write = kRate});
  near->write(pattern(60'000));
  run_until([&] {
    const std::size_t waiting = near->transport()->get_write_buffer_size();
    EXPECT_LE(60'000 - waiting, allowed());
    EXPECT_LE(link.peer->read().size(), 60'000 - waiting);
    return link.peer->read().size() == 60'000;
  });
  EXPECT_GE(elapsed(), 499ms);
  EXPECT_EQ(near->transport()->get_write_buffer_size(), 0u);
  EXPECT_TRUE(link.peer->read() == pattern(60'000));
  near->close();
  run_until_lost(*near);
}

TEST_P(RateLimitTest, WritingIsPausedAboveTheHighWaterMarkAndResumedAtTheLow) {
  const auto near = recording();
  const Link link = open_limited(near, {.write = kRate});
  near->transport()->set_write_buffer_limits(20'000, 5'000);
  near->write(pattern(30'000));  // 10,000 of them are the burst
  EXPECT_LE(near->transport()->get_write_buffer_size(), 20'000u);
  const std::size_t room = 20'000 - near->transport()->get_write_buffer_size();
  EXPECT_FALSE(near->writing_paused());
  near->write(pattern(room, 30'000));
  EXPECT_FALSE(near->writing_paused());
  near->write(pattern(5'000, 30'000 + room));
  EXPECT_TRUE(near->writing_paused());
  near->on_resume = [&] { EXPECT_LE(near->transport()->get_write_buffer_size(), 5'000u); };
  run_until([&] { return !near->writing_paused(); });
  EXPECT_GE(elapsed(), 100ms);
  run_until([&] { return link.peer->read().size() == 35'000 + room; });
  EXPECT_TRUE(link.peer->read() == pattern(35'000 + room));
  near->abort();
  run_until_lost(*near);
}

TEST_P(RateLimitTest, CloseFlushesAtTheRate) {
  const auto near = recording();
  const Link link = open_limited(near, {.write = kRate});
  near->write(pattern(50'000));
  near->close();
  near->write("too late");
  EXPECT_TRUE(near->transport()->is_closing());
  run_until([&] {
    EXPECT_LE(link.peer->read().size(), allowed());
    return near->lost();
  });
  EXPECT_GE(elapsed(), 399ms);
  EXPECT_FALSE(near->error());
  run_until_ended(*link.peer);
  EXPECT_TRUE(link.peer->read() == pattern(50'000));
}

TEST_P(RateLimitTest, NothingIsReceivedAfterClose) {
  const auto near = recording();
  const Link link = open_limited(near, {.write = kRate});
  near->write(pattern(30'000));
  near->close();
  link.peer->send("unwanted");
  run_until_lost(*near);
  EXPECT_EQ(near->summary(), "made lost:ok");
}

TEST_P(RateLimitTest, AbortDropsWhatWaits) {
  const auto near = recording();
  const Link link = open_limited(near, {.write = kRate});
  near->write(pattern(50'000));
  near->abort();
  EXPECT_EQ(near->transport()->get_write_buffer_size(), 0u);
  run_until_lost(*near);
  EXPECT_FALSE(near->error());
  run_until_ended(*link.peer);
  EXPECT_LT(link.peer->read().size(), 50'000u);
}

TEST_P(RateLimitTest, WriteEofComesAfterWhatWaits) {
  const auto near = recording();
  const Link link = open_limited(near, {.write = kRate});
  near->write(pattern(30'000));
  near->write_eof();
  EXPECT_THROW(near->transport()->write("more"), std::logic_error);
  run_until_ended(*link.peer);
  EXPECT_TRUE(link.peer->read() == pattern(30'000));
  EXPECT_GE(elapsed(), 199ms);
  link.peer->send("still read");
  run_until([&] { return near->bytes() == 10; });
  near->close();
  run_until_lost(*near);
}

TEST_P(RateLimitTest, AnAnswerWrittenAtEofArrivesWhole) {
  const auto near = recording();
  near->on_eof = [&] { near->write(pattern(40'000)); };  // and false: close
  const Link link = open_limited(near, {.write = kRate});
  link.peer->shutdown_write();
  run_until_ended(*link.peer);
  EXPECT_TRUE(link.peer->read() == pattern(40'000));
  run_until_lost(*near);
  EXPECT_EQ(near->summary(), "made eof lost:ok");
}

TEST_P(RateLimitTest, AFlushThatStandsStillEnds) {
  const auto near = recording();
  const Link link =
      open_limited(near, {.write = {1'000'000'000, 1'000'000}, .flush_timeout = 150ms}, 8192);
  near->write(pattern(10'000'000));
  near->close();
  run_until_lost(*near);
  EXPECT_GE(elapsed(), 150ms);
  EXPECT_EQ(near->error(), errc::timed_out);
  EXPECT_STREQ(near->transport()->error().operation, "flush");
}

TEST_P(RateLimitTest, BeyondTheHardLimitTheConnectionIsAborted) {
  const auto near = recording();
  const Link link = open_limited(near, {.write = kRate});
  near->transport()->set_write_hard_limit(100'000);
  near->write(pattern(200'000));
  run_until_lost(*near);
  EXPECT_EQ(near->error(), errc::write_overflow);
}

TEST_P(RateLimitTest, SmallWritesInACallbackAreSentTogether) {
  const auto near = recording();
  near->on_data = [&](BytesView) {
    for (int i = 0; i < 100; ++i) near->write("ten bytes\n");
  };
  const Link link = open_limited(near, {.read = kRate, .write = kRate});
  const auto before = kernel().send_calls();
  link.peer->send("go");
  run_until([&] { return link.peer->read().size() == 1000; });
  EXPECT_EQ(kernel().send_calls() - before, 1u);
  near->close();
  run_until_lost(*near);
}

TEST_P(RateLimitTest, ConnectionsShareOneRateAndTakeTurns) {
  constexpr Rate kShared{200'000, 20'000};
  const ProtocolWrap wrap = shared_rate_limit(loop(), {.read = kShared, .write = kShared});
  start();
  std::vector<std::shared_ptr<RecordingProtocol>> near;
  std::vector<Link> links;
  for (int i = 0; i < 4; ++i) {
    near.push_back(recording());
    links.push_back(open_wrapped(near.back(), wrap));
  }
  for (auto& record : near) record->write(pattern(60'000));
  const auto received = [&] {
    std::size_t sum = 0;
    for (auto& link : links) sum += link.peer->read().size();
    return sum;
  };
  run_until([&] {
    EXPECT_LE(received(), allowed(kShared));
    return received() >= 120'000;
  });
  for (auto& link : links) EXPECT_GE(link.peer->read().size(), 15'000u);
  run_until([&] { return received() == 240'000; });
  EXPECT_GE(elapsed(), 1099ms);

  run_for(200ms);  // the bucket fills up again
  start();
  for (auto& link : links) link.peer->send(pattern(40'000));
  const auto got = [&] {
    std::size_t sum = 0;
    for (auto& record : near) sum += record->bytes();
    return sum;
  };
  run_until([&] {
    for (auto& link : links) link.peer->pump();
    EXPECT_LE(got(), allowed(kShared));
    return got() >= 80'000;
  });
  for (auto& record : near) EXPECT_GE(record->bytes(), 5'000u);
  run_until([&] {
    for (auto& link : links) link.peer->pump();
    return got() == 160'000;
  });
  EXPECT_GE(elapsed(), 699ms);
  for (auto& record : near) {
    EXPECT_TRUE(record->data() == pattern(40'000));
    record->close();
  }
  run_until(
      [&] { return std::all_of(near.begin(), near.end(), [](auto& r) { return r->lost(); }); });
}

TEST_P(RateLimitTest, WhoLeavesTheQueueHoldsNobodyUp) {
  const ProtocolWrap wrap = shared_rate_limit(loop(), {.write = kRate});
  start();
  const auto first = recording();
  const auto second = recording();
  const Link one = open_wrapped(first, wrap);
  const Link two = open_wrapped(second, wrap);
  first->write(pattern(50'000));
  second->write(pattern(20'000));
  first->abort();
  run_until([&] { return two.peer->read().size() == 20'000; });
  EXPECT_TRUE(first->lost());
  second->close();
  run_until_lost(*second);
}

TEST_P(RateLimitTest, TheSlowerOfTwoStackedRatesCounts) {
  const auto near = recording();
  start();
  const Link link =
      open_wrapped(near, stacked({shared_rate_limit(loop(), {.write = {10'000'000, 1'000'000}}),
                                  rate_limit({.read = kRate, .write = kRate})}));
  near->write(pattern(40'000));
  link.peer->send(pattern(40'000));
  run_until([&] {
    EXPECT_LE(link.peer->read().size(), allowed());
    return link.peer->read().size() == 40'000 && near->bytes() == 40'000;
  });
  EXPECT_GE(elapsed(), 299ms);
  near->close();
  run_until_lost(*near);
}

TEST_P(RateLimitTest, AConnectionOfAnotherLoopIsRefused) {
  EventLoop other;
  const auto near = recording();
  ConnectedSockets sockets = connect_sockets();
  const auto failed = failure(connect_accepted_socket(
      loop(), [&]() -> std::shared_ptr<Protocol> { return near; }, sockets.near,
      shared_rate_limit(other, {.read = kRate})));
  EXPECT_EQ(near->summary(), "");
  EXPECT_EQ(take_exceptions().size(), 1u);
}

TEST(RateLimits, ATimeoutThatIsNotPositiveIsRefused) {
  EXPECT_THROW(rate_limit({.flush_timeout = 0s}), std::invalid_argument);
}

}  // namespace
}  // namespace ferry::test
