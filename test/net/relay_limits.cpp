#include "relay_fixture.h"

namespace ferry::test {
namespace {

/// The time limits: minutes and seconds of virtual time, so in the simulation only.
class RelayLimits : public RelayTest {
 protected:
  TimePoint begin_;
  void join(RelayOptions options) {
    begin_ = loop().time();
    RelayTest::join(options);
  }
  Duration passed() { return loop().time() - begin_; }
  static RelayOptions none() { return {.idle = 0s, .half_close_linger = 0s, .drain = 0s}; }
};

TEST_P(RelayLimits, SilenceAbortsBothSides) {
  open_both();
  RelayOptions options = none();
  options.idle = 10s;
  join(options);
  run_for(9s);
  a_.peer->send("one byte pushes it back");
  run_for(9s);
  EXPECT_FALSE(future_.done());
  b_.peer->send("so does the other side");
  const TimePoint last = loop().time();
  const RelayResult result = finished();
  EXPECT_EQ(loop().time() - last, 10s);
  EXPECT_EQ(result.error.code, errc::timed_out);
  EXPECT_NE(result.error.message().find("idle"), std::string::npos);
}

TEST_P(RelayLimits, SlowReaderIsNotSilence) {
  open_both();
  RelayOptions options = none();
  options.idle = 10s;
  join(options);
  kernel().block_sends();
  a_.peer->send(pattern(60'000));
  run_until([&] { return b_.transport->get_write_buffer_size() == 60'000; });
  for (int i = 0; i < 5; ++i) {
    run_for(8s);
    kernel().allow_sends(10'000);
  }
  tick(3);
  EXPECT_FALSE(future_.done()) << "cut off while data flowed";
  EXPECT_TRUE(same_bytes(b_.peer->read(), pattern(50'000)));
  EXPECT_EQ(finished().error.code, errc::timed_out);
}

TEST_P(RelayLimits, DefaultIdleLimitIsTenMinutes) {
  open_both();
  join({});
  EXPECT_EQ(finished(1h).error.code, errc::timed_out);
  EXPECT_EQ(passed(), 10min);
}

TEST_P(RelayLimits, SilenceAfterAHalfCloseClosesBothSides) {
  open_both();
  RelayOptions options = none();
  options.half_close_linger = 5s;
  join(options);
  run_for(1h);
  EXPECT_FALSE(future_.done()) << "it lingers before the half-close";
  a_.peer->shutdown_write();
  run_for(4s);
  b_.peer->send("still talking");
  run_for(4s);
  EXPECT_FALSE(future_.done());
  EXPECT_EQ(a_.peer->read(), "still talking");
  b_.peer->send("goodbye");
  const TimePoint last = loop().time();
  run_until_ended(*a_.peer);
  EXPECT_EQ(a_.peer->received(), "still talkinggoodbye");
  EXPECT_TRUE(a_.peer->eof()) << "closed, not aborted";
  const RelayResult result = finished();
  EXPECT_EQ(loop().time() - last, 5s);
  EXPECT_EQ(result.error.code, errc::timed_out);
  EXPECT_NE(result.error.message().find("half-closed"), std::string::npos);
}

TEST_P(RelayLimits, LingerDoesNotCutOffWhatIsStillBeingSent) {
  open_both();
  RelayOptions options = none();
  options.half_close_linger = 5s;
  join(options);
  kernel().block_sends();
  a_.peer->send(pattern(60'000));
  run_until([&] { return b_.transport->get_write_buffer_size() == 60'000; });
  a_.peer->shutdown_write();
  for (int i = 0; i < 6; ++i) {
    run_for(4s);
    kernel().allow_sends(10'000);
  }
  kernel().release_sends();
  run_until_ended(*b_.peer);
  EXPECT_TRUE(same_bytes(b_.peer->received(), pattern(60'000)));
  EXPECT_FALSE(future_.done());
  b_.peer->shutdown_write();
  EXPECT_FALSE(finished().error);
}

TEST_P(RelayLimits, DrainLimitCutsOffASideThatTakesNothing) {
  open_both();
  RelayOptions options = none();
  options.drain = 7s;
  join(options);
  kernel().block_sends();
  a_.peer->send("stuck");
  run_until([&] { return b_.transport->get_write_buffer_size() == 5; });
  begin_ = loop().time();
  a_.peer->shutdown_write();
  b_.peer->shutdown_write();
  const RelayResult result = finished();
  EXPECT_EQ(passed(), 7s);
  EXPECT_EQ(result.error.code, errc::timed_out);
  EXPECT_NE(result.error.message().find("drain"), std::string::npos);
}

TEST_P(RelayLimits, DrainLimitHoldsAfterALoss) {
  open_both();
  RelayOptions options = none();
  options.drain = 7s;
  join(options);
  kernel().block_sends();
  a_.peer->send("stuck");
  run_until([&] { return b_.transport->get_write_buffer_size() == 5; });
  begin_ = loop().time();
  a_.transport->abort();
  EXPECT_EQ(finished().error.code, errc::timed_out);
  EXPECT_EQ(passed(), 7s);
}

TEST_P(RelayLimits, LimitsThatAreOffEndNothing) {
  open_both();
  join(none());
  run_for(24h);
  a_.peer->shutdown_write();
  run_for(24h);
  EXPECT_FALSE(future_.done());
  kernel().block_sends();
  b_.peer->send("stuck");
  run_until([&] { return a_.transport->get_write_buffer_size() == 5; });
  b_.peer->shutdown_write();
  run_for(24h);
  EXPECT_FALSE(future_.done());
  kernel().release_sends();
  EXPECT_FALSE(finished().error);
  EXPECT_EQ(loop().stats().timers, 0u);
}

INSTANTIATE_TEST_SUITE_P(Worlds, RelayLimits, ::testing::ValuesIn(std::span(kRelayWorlds).last(4)),
                         relay_world_name);

}  // namespace
}  // namespace ferry::test
