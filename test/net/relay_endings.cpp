#include "relay_fixture.h"

#include <cerrno>

namespace ferry::test {
namespace {

using RelayEndings = RelayTest;

TEST_P(RelayEndings, HalfCloseIsPassedOnAndTheOtherDirectionGoesOn) {
  for (const bool a_first : {true, false}) {
    SCOPED_TRACE(a_first ? "a ends first" : "b ends first");
    open_both();
    join();
    Link& first = a_first ? a_ : b_;
    Link& second = a_first ? b_ : a_;
    first.peer->send("request");
    first.peer->shutdown_write();
    run_until_ended(*second.peer);
    EXPECT_EQ(second.peer->received(), "request");
    EXPECT_FALSE(second.peer->error());
    second.peer->send("a long answer");
    run_until_hears(*first.peer, "a long answer");
    EXPECT_FALSE(future_.done());
    second.peer->shutdown_write();
    run_until_ended(*first.peer);
    EXPECT_FALSE(first.peer->error());
    const RelayResult result = finished();
    EXPECT_EQ(a_first ? result.a_to_b : result.b_to_a, 7u);
    EXPECT_EQ(a_first ? result.b_to_a : result.a_to_b, 13u);
    EXPECT_FALSE(result.error) << result.error.message();
  }
}

TEST_P(RelayEndings, EndIsPassedOnBehindAllThatIsQueued) {
  open_both();
  join();
  kernel().block_sends();
  a_.peer->send(pattern(300'000));
  run_sending(*a_.peer, [&] { return !a_.transport->is_reading(); });
  kernel().release_sends();
  run_sending(*a_.peer, [&] {
    b_.peer->read();
    return a_.peer->unsent() == 0;
  });
  a_.peer->shutdown_write();
  run_until_ended(*b_.peer);
  EXPECT_TRUE(same_bytes(b_.peer->received(), pattern(300'000)));
  b_.peer->shutdown_write();
  EXPECT_FALSE(finished().error);
}

TEST_P(RelayEndings, ResetOfEitherSideClosesTheOtherBehindItsQueue) {
  if (wire() != Wire::tcp) GTEST_SKIP() << "unix sockets do not reset";
  for (const bool a_first : {true, false}) {
    SCOPED_TRACE(a_first ? "a resets" : "b resets");
    open_both();
    join();
    Link& first = a_first ? a_ : b_;
    Link& second = a_first ? b_ : a_;
    first.peer->send("last words");
    run_until([&] { return second.peer->read() == "last words"; });
    first.peer->reset();
    run_until_ended(*second.peer);
    EXPECT_TRUE(second.peer->eof()) << second.peer->error().message();
    const RelayResult result = finished();
    EXPECT_EQ(result.error.code, std::errc::connection_reset);
    EXPECT_EQ(result.error.address, first.transport->peername());
  }
}

TEST_P(RelayEndings, QueueIsSentAfterTheSourceIsLost) {
  open_both();
  join();
  kernel().block_sends();
  a_.peer->send(pattern(50'000));
  run_until([&] { return b_.transport->get_write_buffer_size() == 50'000; });
  a_.transport->abort();
  settle();
  EXPECT_FALSE(future_.done());
  kernel().release_sends();
  run_until_ended(*b_.peer);
  EXPECT_TRUE(same_bytes(b_.peer->received(), pattern(50'000)));
  EXPECT_EQ(finished().a_to_b, 50'000u);
}

TEST_P(RelayEndings, WriteErrorEndsBothSides) {
  open_both();
  join();
  kernel().fail_next_send(EPIPE);
  a_.peer->send("nobody takes it");
  run_until_ended(*a_.peer);
  const RelayResult result = finished();
  EXPECT_EQ(result.error.code, std::errc::broken_pipe);
  EXPECT_EQ(result.error.address, b_.transport->peername());
}

TEST_P(RelayEndings, CloseFromOutsideEndsTheOtherSide) {
  open_both();
  join();
  a_.transport->close();
  run_until_ended(*b_.peer);
  EXPECT_FALSE(finished().error);
}

TEST_P(RelayEndings, CancelAbortsBothSides) {
  open_both();
  join();
  kernel().block_sends();
  a_.peer->send("never arrives");
  run_until([&] { return b_.transport->get_write_buffer_size() > 0; });
  EXPECT_TRUE(future_.cancel());
  EXPECT_TRUE(a_.transport->is_closing());
  EXPECT_TRUE(b_.transport->is_closing());
  run_until_ended(*a_.peer);
  run_until_ended(*b_.peer);
  EXPECT_TRUE(future_.cancelled());
  EXPECT_EQ(b_.peer->received(), "");
  EXPECT_EQ(loop().stats().operations, 0u);
  EXPECT_EQ(loop().stats().timers, 0u);
}

TEST_P(RelayEndings, SideThatIsLostAlreadyClosesTheOther) {
  for (const bool a_lost : {true, false}) {
    SCOPED_TRACE(a_lost ? "a is lost" : "b is lost");
    open_both();
    Link& lost = a_lost ? a_ : b_;
    Link& other = a_lost ? b_ : a_;
    const auto& lost_protocol = a_lost ? before_a_ : before_b_;
    lost.transport->abort();
    run_until_lost(*lost_protocol);
    other.transport->write("queued");
    join();
    run_until_ended(*other.peer);
    EXPECT_EQ(other.peer->received(), "queued");
    run_until([&] { return future_.done(); });
    EXPECT_FALSE(future_.result().error);
    EXPECT_EQ(loop().stats().transports, 0u);
    EXPECT_EQ(loop().stats().operations, 0u);
  }
}

TEST_P(RelayEndings, BothSidesLostAlreadyAreDoneAtOnce) {
  open_both();
  a_.transport->abort();
  b_.transport->abort();
  run_until_lost(*before_a_);
  run_until_lost(*before_b_);
  join();
  EXPECT_TRUE(future_.done());
  EXPECT_EQ(loop().stats().operations, 0u);
}

TEST_P(RelayEndings, SideThatIsClosingEndsTheRelayOnceItIsLost) {
  open_both();
  kernel().block_sends();
  a_.transport->write("flushed");
  a_.transport->close();
  join();
  settle();
  EXPECT_FALSE(future_.done());
  kernel().release_sends();
  run_until_ended(*a_.peer);
  run_until_ended(*b_.peer);
  EXPECT_EQ(a_.peer->received(), "flushed");
  EXPECT_FALSE(finished().error);
}

TEST_P(RelayEndings, ClosingTheLoopLeavesNothing) {
  open_both();
  join();
  a_.peer->send("under way");
  tick(2);
  std::weak_ptr<Transport> weak[] = {a_.transport, b_.transport};
  future_ = {};
  a_.peer.reset();
  b_.peer.reset();
  loop().close();
  a_.transport.reset();
  b_.transport.reset();
  before_a_.reset();
  before_b_.reset();
  EXPECT_TRUE(weak[0].expired());
  EXPECT_TRUE(weak[1].expired());
}

TEST_P(RelayEndings, NothingIsHeldOnceBothAreLost) {
  open_both();
  join();
  a_.peer->shutdown_write();
  b_.peer->shutdown_write();
  finished();
  std::weak_ptr<Transport> weak[] = {a_.transport, b_.transport};
  a_.transport.reset();
  b_.transport.reset();
  before_a_.reset();
  before_b_.reset();
  tick(2);
  EXPECT_TRUE(weak[0].expired());
  EXPECT_TRUE(weak[1].expired());
}

INSTANTIATE_TEST_SUITE_P(Worlds, RelayEndings, ::testing::ValuesIn(kRelayWorlds), relay_world_name);

}  // namespace
}  // namespace ferry::test
