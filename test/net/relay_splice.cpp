// Relays that let the kernel move the bytes: what can go wrong on the way, and what must not.

#include "relay_fixture.h"

#include <ferry/pass_through.h>

#include <sys/socket.h>

#include <cerrno>

namespace ferry::test {
namespace {

using RelaySplice = RelayTest;

constexpr RelayWorld kSplicing[] = {kRelayWorlds[1], kRelayWorlds[3], kRelayWorlds[5],
                                    kRelayWorlds[7]};

TEST_P(RelaySplice, NothingIsReadIntoMemory) {
  open_both();
  join();
  a_.peer->send(pattern(4 << 20));
  const std::size_t reads = kernel().recv_calls();
  run_sending(*a_.peer, [&] { return b_.peer->read().size() == 4u << 20; });
  EXPECT_TRUE(same_bytes(b_.peer->received(), pattern(4 << 20)));
  EXPECT_EQ(kernel().spliced(), 4u << 20);
  // Only where an event told of more than data, or reading had waited: these find nothing.
  EXPECT_LE(kernel().recv_calls() - reads, kernel().send_calls() + 1);
}

TEST_P(RelaySplice, OnePipeServesManyRelays) {
  for (int i = 0; i < 5; ++i) {
    open_both();
    join();
    a_.peer->send("there");
    run_until_hears(*b_.peer, "there");
    b_.peer->send("and back");
    run_until_hears(*a_.peer, "and back");
    a_.peer->shutdown_write();
    b_.peer->shutdown_write();
    EXPECT_FALSE(finished().error);
  }
  EXPECT_EQ(kernel().pipes_opened(), 1u);
  EXPECT_EQ(loop().pipe_pool().idle(), 1u);
  EXPECT_EQ(loop().pipe_pool().lent(), 0u);
}

TEST_P(RelaySplice, PipeThatHoldsBytesIsNotUsedAgain) {
  open_both();
  join();
  kernel().block_sends();
  a_.peer->send("for nobody");
  run_until([&] { return b_.transport->get_write_buffer_size() == 10; });
  EXPECT_EQ(loop().pipe_pool().lent(), 1u);
  future_.cancel();
  run_until([&] { return loop().stats().transports == 0; });
  EXPECT_EQ(loop().pipe_pool().lent(), 0u);
  EXPECT_EQ(loop().pipe_pool().idle(), 0u);
  kernel().release_sends();
  open_both();
  join();
  a_.peer->send("for b");
  run_until_hears(*b_.peer, "for b");
  EXPECT_EQ(kernel().pipes_opened(), 2u);
}

TEST_P(RelaySplice, LoopThatClosesClosesPipesThatHoldBytes) {
  open_both();
  join();
  kernel().block_sends();
  a_.peer->send("never arrives");
  run_until([&] { return b_.transport->get_write_buffer_size() > 0; });
  future_ = {};
  loop().close();
  EXPECT_EQ(loop().pipe_pool().lent(), 0u);
}

TEST_P(RelaySplice, BytesInThePipeCountAsBuffered) {
  open_both();
  join();
  kernel().block_sends();
  a_.peer->send(pattern(8 << 20));
  run_sending(*a_.peer, [&] { return !a_.transport->is_reading(); });
  for (int i = 0; i < 5; ++i) {
    a_.peer->send("");
    settle();
  }
  const std::size_t held = b_.transport->get_write_buffer_size();
  EXPECT_GT(held, b_.transport->get_write_buffer_limits().high);
  EXPECT_LE(held, (64u + 256u) * 1024u);
  kernel().allow_sends(held / 2);
  run_until([&] { return b_.transport->get_write_buffer_size() == held - held / 2; });
  kernel().release_sends();
  run_sending(*a_.peer, [&] { return b_.peer->read().size() == 8u << 20; });
  EXPECT_TRUE(same_bytes(b_.peer->received(), pattern(8 << 20)));
}

TEST_P(RelaySplice, WritesFromElsewhereKeepTheirPlace) {
  open_both();
  join();
  kernel().block_sends();
  a_.peer->send("first ");
  run_until([&] { return b_.transport->get_write_buffer_size() == 6; });
  b_.transport->write("second ");
  b_.transport->writelines({"third ", "fourth "});
  EXPECT_EQ(b_.transport->get_write_buffer_size(), 26u);
  a_.peer->send("fifth");
  settle();
  kernel().release_sends();
  run_until_hears(*b_.peer, "first second third fourth fifth");
}

TEST_P(RelaySplice, CloseSendsWhatThePipeHolds) {
  open_both();
  join();
  kernel().block_sends();
  a_.peer->send("last");
  run_until([&] { return b_.transport->get_write_buffer_size() == 4; });
  b_.transport->close();
  settle();
  EXPECT_FALSE(b_.peer->eof());
  kernel().release_sends();
  run_until_ended(*b_.peer);
  EXPECT_EQ(b_.peer->received(), "last");
  EXPECT_FALSE(finished().error);
}

TEST_P(RelaySplice, WhatIsWrappedIsCopied) {
  for (const bool a_wrapped : {true, false}) {
    SCOPED_TRACE(a_wrapped);
    before_a_ = std::make_shared<RecordingProtocol>();
    before_b_ = std::make_shared<RecordingProtocol>();
    Link& wrapped = a_wrapped ? a_ : b_;
    Link& plain = a_wrapped ? b_ : a_;
    plain = open(a_wrapped ? before_b_ : before_a_);
    ConnectedSockets sockets = connect_sockets();
    auto connected = connect_accepted_socket(
        loop(), [&] { return a_wrapped ? before_a_ : before_b_; }, sockets.near,
        [](std::shared_ptr<Protocol> above) {
          return std::make_shared<PassThrough>(std::move(above));
        });
    run_until([&] { return connected.done(); });
    wrapped = {connected.result().transport, sockets.far};
    join();
    a_.peer->send(pattern(1 << 20));
    run_sending(*a_.peer, [&] { return b_.peer->read().size() == 1u << 20; });
    EXPECT_TRUE(same_bytes(b_.peer->received(), pattern(1 << 20)));
    b_.peer->send("back");
    run_until_hears(*a_.peer, "back");
    EXPECT_EQ(kernel().spliced(), 0u);
    EXPECT_EQ(kernel().pipe_calls(), 0u);
    a_.peer->shutdown_write();
    b_.peer->shutdown_write();
    EXPECT_FALSE(finished().error);
  }
}

TEST_P(RelaySplice, RefusedReadingIsCopiedForGood) {
  for (const int error : {EINVAL, ENOSYS, EOPNOTSUPP}) {
    open_both();
    join();
    kernel().refuse_splice_in(error);
    a_.peer->send(pattern(1 << 20));
    run_sending(*a_.peer, [&] { return b_.peer->read().size() == 1u << 20; });
    kernel().refuse_splice_in(0);
    a_.peer->send(pattern(1 << 20, 1 << 20));
    run_sending(*a_.peer, [&] { return b_.peer->read().size() == 2u << 20; });
    EXPECT_TRUE(same_bytes(b_.peer->received(), pattern(2 << 20)));
    EXPECT_EQ(kernel().spliced(), 0u);
    a_.peer->shutdown_write();
    b_.peer->shutdown_write();
    const RelayResult result = finished();
    EXPECT_EQ(result.a_to_b, 2u << 20);
    EXPECT_FALSE(result.error) << result.error.message();
  }
}

TEST_P(RelaySplice, TheOtherDirectionIsSplicedAllTheSame) {
  open_both();
  join();
  kernel().refuse_splice_in(EINVAL);
  a_.peer->send("copied");
  run_until_hears(*b_.peer, "copied");
  kernel().refuse_splice_in(0);
  b_.peer->send("spliced");
  run_until_hears(*a_.peer, "spliced");
  EXPECT_EQ(kernel().spliced(), 7u);
}

TEST_P(RelaySplice, RefusedWritingCopiesWhatThePipeHolds) {
  open_both();
  join();
  kernel().refuse_splice_out(EINVAL);
  a_.peer->send(pattern(1 << 20));
  run_sending(*a_.peer, [&] { return b_.peer->read().size() == 1u << 20; });
  EXPECT_TRUE(same_bytes(b_.peer->received(), pattern(1 << 20)));
  kernel().refuse_splice_out(0);
  a_.peer->send(pattern(1 << 20, 1 << 20));
  run_sending(*a_.peer, [&] { return b_.peer->read().size() == 2u << 20; });
  EXPECT_TRUE(same_bytes(b_.peer->received(), pattern(2 << 20)));
  EXPECT_EQ(kernel().spliced(), 0u) << "it was tried again";
}

TEST_P(RelaySplice, RefusedWritingLaterOnKeepsTheOrder) {
  open_both();
  join();
  kernel().block_sends(3);
  a_.peer->send("abcdef");
  run_until([&] { return b_.transport->get_write_buffer_size() == 3; });
  b_.transport->write("ghi");
  a_.peer->send("jkl");
  kernel().refuse_splice_out(EINVAL);
  kernel().allow_sends(2);
  settle();
  EXPECT_EQ(b_.peer->read(), "abcde");
  EXPECT_GE(b_.transport->get_write_buffer_size(), 4u);
  kernel().release_sends();
  run_until_hears(*b_.peer, "abcdefghijkl");
}

TEST_P(RelaySplice, WithoutAPipeItCopiesAndTriesAgain) {
  open_both();
  join();
  kernel().refuse_pipes(EMFILE);
  a_.peer->send("copied ");
  run_until_hears(*b_.peer, "copied ");
  EXPECT_EQ(kernel().spliced(), 0u);
  EXPECT_EQ(loop().pipe_pool().lent(), 0u);
  kernel().refuse_pipes(0);
  a_.peer->send("spliced");
  run_until_hears(*b_.peer, "copied spliced");
  EXPECT_EQ(kernel().spliced(), 7u);
}

TEST_P(RelaySplice, PipeThatStaysSmallIsNotUsed) {
  open_both();
  join();
  kernel().refuse_pipe_sizes(EPERM);
  a_.peer->send("copied ");
  run_until_hears(*b_.peer, "copied ");
  EXPECT_EQ(kernel().spliced(), 0u);
  EXPECT_EQ(loop().pipe_pool().lent(), 0u);
  EXPECT_EQ(loop().pipe_pool().idle(), 0u);
}

TEST_P(RelaySplice, ResetInMidStreamIsTheResult) {
  if (wire() != Wire::tcp) GTEST_SKIP() << "unix sockets do not reset";
  open_both();
  join();
  a_.peer->send(pattern(1 << 20));
  run_sending(*a_.peer, [&] { return b_.peer->read().size() > 0; });
  a_.peer->reset();
  run_until_ended(*b_.peer);
  EXPECT_TRUE(same_bytes(b_.peer->received(), pattern(b_.peer->received().size())));
  const RelayResult result = finished();
  EXPECT_EQ(result.error.code, std::errc::connection_reset);
  EXPECT_STREQ(result.error.operation, "splice");
  EXPECT_EQ(result.error.address, a_.transport->peername());
}

// SIGPIPE would end this program.
TEST_P(RelaySplice, PeerThatIsGoneIsTheResult) {
  for (const bool half_closed : {false, true}) {
    SCOPED_TRACE(half_closed);
    open_both();
    join();
    if (half_closed) {
      b_.peer->shutdown_write();
      settle();
    }
    a_.peer->send("0");
    run_until_hears(*b_.peer, "0");
    kernel().block_sends();
    a_.peer->send("1");
    run_until([&] { return b_.transport->get_write_buffer_size() == 1; });
    if (wire() == Wire::tcp) {
      b_.peer->reset();
    } else {
      b_.peer->close();
    }
    settle();
    kernel().release_sends();
    for (int i = 0; i < 4; ++i) {
      a_.peer->send("2");
      settle();
    }
    run_until_ended(*a_.peer);
    const RelayResult result = finished();
    EXPECT_TRUE(result.error.code == std::errc::connection_reset ||
                result.error.code == std::errc::broken_pipe)
        << result.error.message();
    EXPECT_EQ(result.error.address, b_.transport->peername());
  }
}

TEST_P(RelaySplice, ErrorOfTheSpliceItselfEndsBothSides) {
  open_both();
  join();
  kernel().refuse_splice_in(ENOTCONN);
  a_.peer->send("lost");
  run_until_ended(*b_.peer);
  kernel().refuse_splice_in(0);
  const RelayResult result = finished();
  EXPECT_EQ(result.error.code, std::errc::not_connected);
  EXPECT_STREQ(result.error.operation, "splice");
}

TEST_P(RelaySplice, WhatFollowsUrgentDataIsNotLost) {
  if (simulated() || wire() != Wire::tcp) GTEST_SKIP() << "there is no urgent data";
  open_both();
  join();
  for (int i = 0; i < 20; ++i) {
    a_.peer->send("before ");
    if (i % 2 == 0) tick(2);
    ASSERT_EQ(::send(a_.peer->fd(), "!", 1, MSG_OOB | MSG_NOSIGNAL), 1);
    if (i % 3 == 0) tick(2);
    a_.peer->send("after ");
    std::string text;
    for (int j = 0; j <= i; ++j) text += "before after ";
    run_until_hears(*b_.peer, text);
  }
}

TEST_P(RelaySplice, AnotherProtocolEndsIt) {
  open_both();
  join();
  a_.peer->send("relayed");
  run_until_hears(*b_.peer, "relayed");
  const auto third = std::make_shared<RecordingProtocol>();
  a_.transport->set_protocol(third);
  a_.peer->send("to the third");
  run_until([&] { return third->data() == "to the third"; });
  b_.peer->send("still relayed");
  run_until_hears(*a_.peer, "still relayed");
  a_.transport->abort();
  b_.transport->abort();
  run_until([&] { return loop().stats().transports == 0; });
}

TEST_P(RelaySplice, AnotherProtocolGetsTheRestWhileThePipeHoldsBytes) {
  open_both();
  join();
  kernel().block_sends();
  a_.peer->send("held");
  run_until([&] { return b_.transport->get_write_buffer_size() == 4; });
  const auto third = std::make_shared<RecordingProtocol>();
  a_.transport->set_protocol(third);
  a_.peer->send("rest");
  run_until([&] { return third->data() == "rest"; });
  kernel().release_sends();
  run_until_hears(*b_.peer, "held");
  a_.transport->abort();
  b_.transport->abort();
  run_until([&] { return loop().stats().transports == 0; });
}

INSTANTIATE_TEST_SUITE_P(Worlds, RelaySplice, ::testing::ValuesIn(kSplicing), relay_world_name);

}  // namespace
}  // namespace ferry::test
