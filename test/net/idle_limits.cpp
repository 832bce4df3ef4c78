#include "wrap_fixture.h"

#include <ferry/idle_limit.h>

#include <algorithm>
#include <vector>

namespace ferry::test {
namespace {

class IdleLimitTest : public WrapTest {
 protected:
  TimePoint begin_ = TimePoint();

  Link open_idle(std::shared_ptr<Protocol> protocol, IdleLimits limits, int buffer = 0) {
    begin_ = loop().time();
    return open_wrapped(std::move(protocol), idle_limit(std::move(limits)), buffer);
  }
  Duration elapsed() { return loop().time() - begin_; }
  /// `scenario` keeps a connection from being idle for `limit`, and gives the longest time between
  /// what it does for that. If the process stood still for so long that the connection was idle,
  /// the scenario shows nothing: it is called again, a few times at most.
  void without_a_stall(Duration limit, Function<Duration()> scenario) {
    for (int attempt = 0; attempt < 5; ++attempt) {
      if (2 * scenario() < limit) return;  // what one step does may be seen as late as at the next
    }
    ADD_FAILURE() << "the process stands still again and again";
  }
};
INSTANTIATE_WORLDS(IdleLimitTest);

TEST_P(IdleLimitTest, SilenceEndsTheConnectionAndNotTooEarly) {
  const auto near = recording();
  const Link link = open_idle(near, {.both = 100ms});
  run_until_lost(*near);
  EXPECT_GE(elapsed(), 100ms);
  EXPECT_EQ(near->error(), errc::timed_out);
  EXPECT_EQ(near->error(), std::errc::timed_out);
  EXPECT_EQ(near->summary().substr(0, 9), "made lost");
  EXPECT_STREQ(near->transport()->error().operation, "idle");
  run_until_ended(*link.peer);
}

TEST_P(IdleLimitTest, WithoutALimitNothingEnds) {
  const auto near = recording();
  const Link link = open_idle(near, {});
  run_for(200ms);
  EXPECT_FALSE(near->lost());
  near->close();
  run_until_lost(*near);
}

TEST_P(IdleLimitTest, TrafficInEitherDirectionKeepsItOpen) {
  std::shared_ptr<RecordingProtocol> near;
  Link link;
  TimePoint silent;
  without_a_stall(500ms, [&] {
    near = recording();
    link = open_idle(near, {.both = 500ms});
    const Duration opening = elapsed();
    const Duration receiving = repeat(8, 100ms, [&] { link.peer->send("x"); });
    const Duration sending = repeat(8, 100ms, [&] {
      silent = loop().time();
      near->write("y");
    });
    return std::max({opening, receiving, sending});
  });
  EXPECT_FALSE(near->lost());
  run_until_lost(*near);
  EXPECT_GE(loop().time() - silent, 500ms);
  EXPECT_EQ(link.peer->read(), "yyyyyyyy");
}

TEST_P(IdleLimitTest, TheReadLimitCaresForNothingThatIsWritten) {
  const auto near = recording();
  const Link link = open_idle(near, {.both = 10s, .read = 300ms});
  Function<void()> again = [&] {
    if (near->lost()) return;
    near->write("y");
    loop().call_later(50ms, [&] { again(); });
  };
  again();
  run_until_lost(*near);
  EXPECT_GE(elapsed(), 300ms);
  EXPECT_STREQ(near->transport()->error().operation, "idle (read)");
  run_for(60ms);
}

TEST_P(IdleLimitTest, TheWriteLimitCaresForNothingThatIsReceived) {
  const auto near = recording();
  const Link link = open_idle(near, {.write = 300ms});
  Function<void()> again = [&] {
    if (near->lost()) return;
    link.peer->send("x");
    loop().call_later(50ms, [&] { again(); });
  };
  again();
  run_until_lost(*near);
  EXPECT_GE(elapsed(), 300ms);
  EXPECT_STREQ(near->transport()->error().operation, "idle (write)");
  run_for(60ms);
}

TEST_P(IdleLimitTest, AHookIsCalledInsteadAgainAndAgain) {
  const auto near = recording();
  std::vector<Idleness> told;
  IdleLimits limits{.write = 50ms};
  limits.on_idle = [&](Transport& transport, Idleness which) {
    EXPECT_EQ(&transport, near->transport().get());
    told.push_back(which);
    transport.write("beat ");
  };
  const Link link = open_idle(near, std::move(limits));
  run_until([&] { return link.peer->read().size() >= 15; });
  EXPECT_GE(elapsed(), 150ms);
  EXPECT_EQ(told.front(), Idleness::write);
  EXPECT_FALSE(near->lost());
  near->close();
  run_until_lost(*near);
  EXPECT_FALSE(near->error());
}

TEST_P(IdleLimitTest, AHookMayEndTheConnectionOrThrow) {
  const auto near = recording();
  int calls = 0;
  IdleLimits limits{.both = 30ms};
  limits.on_idle = [&](Transport& transport, Idleness) {
    if (++calls == 2) return transport.close();
    throw std::runtime_error("no heart");
  };
  const Link link = open_idle(near, std::move(limits));
  run_until_lost(*near);
  EXPECT_FALSE(near->error());
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(take_exceptions().size(), 1u);
}

TEST_P(IdleLimitTest, WhilePausedSilenceIsNoIdleness) {
  const auto near = recording();
  near->on_made = [&] { near->pause_reading(); };  // before the limits can be over
  const Link link = open_idle(near, {.both = 100ms, .read = 100ms});
  run_for(400ms);
  EXPECT_FALSE(near->lost());
  const TimePoint resumed = loop().time();
  near->resume_reading();
  run_until_lost(*near);
  EXPECT_GE(loop().time() - resumed, 100ms);
}

TEST_P(IdleLimitTest, APeerThatDoesNotReadIsIdleHoweverMuchIsWritten) {
  const auto near = recording();
  const Link link = open_idle(near, {.both = 200ms}, 8192);
  near->pause_reading();
  Function<void()> again = [&] {
    if (near->lost()) return;
    near->write(pattern(20'000));
    loop().call_later(20ms, [&] { again(); });
  };
  again();
  run_until_lost(*near, 30s);
  EXPECT_GE(elapsed(), 200ms);
  EXPECT_EQ(near->error(), errc::timed_out);
  run_for(30ms);
}

TEST_P(IdleLimitTest, APeerThatReadsSlowlyIsNotIdle) {
  const std::size_t size = 300'000;
  std::shared_ptr<RecordingProtocol> near;
  Link link;
  std::string received;
  without_a_stall(600ms, [&] {
    near = recording();
    link = open_idle(near, {.write = 600ms}, 8192);
    near->write(pattern(size));
    received.clear();
    const Duration opening = elapsed();
    const auto more = [&] { return received.size() < size && !near->lost(); };
    return std::max(opening,
                    repeat_while(more, 100ms, [&] { received += link.peer->read_some(30'000); }));
  });
  EXPECT_TRUE(received == pattern(size));
  EXPECT_FALSE(near->lost());
  run_until_lost(*near);
}

TEST_P(IdleLimitTest, CloseDoesNotWaitForeverForAPeerThatDoesNotRead) {
  const auto near = recording();
  const Link link = open_idle(near, {.both = 100ms}, 8192);
  near->write(pattern(10'000'000));
  near->close();
  run_until_lost(*near, 30s);
  EXPECT_EQ(near->error(), errc::timed_out);
}

TEST_P(IdleLimitTest, AfterEofOnlyTheOtherLimitsCount) {
  std::shared_ptr<RecordingProtocol> near;
  Link link;
  without_a_stall(300ms, [&] {
    near = recording();
    near->keep_open_on_eof = true;
    link = open_idle(near, {.both = 600ms, .read = 300ms});
    link.peer->shutdown_write();
    run_until([&] { return near->eof() || near->lost(); });
    return elapsed();
  });
  run_until_lost(*near);
  EXPECT_GE(elapsed(), 600ms);
  EXPECT_STREQ(near->transport()->error().operation, "idle");
}

TEST_P(IdleLimitTest, BytesReadIntoTheProtocolsOwnBufferCount) {
  std::shared_ptr<RecordingBufferedProtocol> near;
  Link link;
  without_a_stall(500ms, [&] {
    near = recording_buffered(100);
    link = open_idle(near, {.read = 500ms});
    const Duration opening = elapsed();
    return std::max(opening, repeat(8, 100ms, [&] { link.peer->send(pattern(300)); }));
  });
  EXPECT_FALSE(near->lost());
  run_until([&] { return near->bytes() == 2400; });
  run_until_lost(*near);
}

TEST_P(IdleLimitTest, OneTimerIsAllItTakesHoweverManyMessages) {
  const auto near = recording();
  const std::size_t before = loop().stats().timers;
  const Link link = open_idle(near, {.both = 10s, .read = 10s, .write = 10s});
  for (int i = 0; i < 1000; ++i) near->write("x");
  EXPECT_EQ(loop().stats().timers, before + 1);
  near->close();
  run_until_lost(*near);
  EXPECT_EQ(loop().stats().timers, before);
}

TEST_P(IdleLimitTest, ItHoldsForAConnectionThatIsMadeToo) {
  const auto server = serve(echo_factory());
  const auto near = recording();
  ConnectOptions options = to(server->sockets()[0]);
  options.wrap = idle_limit(100ms);
  const auto made = wait(create_connection(
      loop(), [&]() -> std::shared_ptr<Protocol> { return near; }, options));
  EXPECT_EQ(made.transport, near->transport());
  EXPECT_EQ(made.protocol.get(), near.get());
  run_until_lost(*near);
  EXPECT_EQ(near->error(), errc::timed_out);
  server->close();
}

TEST(IdleLimits, NegativeOnesAreRefused) {
  EXPECT_THROW(idle_limit(-1ms), std::invalid_argument);
  EXPECT_THROW(idle_limit(IdleLimits{.write = -1ms}), std::invalid_argument);
}

}  // namespace
}  // namespace ferry::test
