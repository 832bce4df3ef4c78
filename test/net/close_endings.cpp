#include "stream_fixture.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <stdexcept>
#include <string>

namespace ferry::test {

class CloseEndings : public StreamTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, CloseEndings, ::testing::ValuesIn(kStreamWorlds),
                         stream_world_name);

TEST_P(CloseEndings, C0416_CloseWhenIdleIsToldFromTheLoop) {
  auto probe = recording();
  Link link = open(probe);
  probe->close();
  EXPECT_TRUE(link.transport->is_closing());
  EXPECT_FALSE(link.transport->is_reading());
  EXPECT_FALSE(probe->lost());
  tick(1);
  EXPECT_TRUE(probe->lost());
  EXPECT_FALSE(probe->error());
  run_until_ended(*link.peer);
  EXPECT_TRUE(link.peer->eof());
}

TEST_P(CloseEndings, C0416_AbortIsToldFromTheLoopToo) {
  auto probe = recording();
  Link link = open(probe);
  probe->abort();
  EXPECT_TRUE(link.transport->is_closing());
  EXPECT_FALSE(probe->lost());
  tick(1);
  EXPECT_TRUE(probe->lost());
  EXPECT_FALSE(probe->error());
  run_until_ended(*link.peer);
}

TEST_P(CloseEndings, C0417_CloseWithABacklogFlushesFirst) {
  auto probe = recording();
  Link link = open(probe);
  kernel().block_sends(1000);
  probe->write(pattern(1'000'000));
  probe->close();
  EXPECT_TRUE(link.transport->is_closing());
  settle();
  EXPECT_FALSE(probe->lost());
  EXPECT_EQ(link.transport->get_write_buffer_size(), 999'000u);
  kernel().release_sends();
  run_until_ended(*link.peer);
  EXPECT_TRUE(link.peer->received() == pattern(1'000'000));
  EXPECT_TRUE(link.peer->eof());
  run_until_lost(*probe);
  EXPECT_FALSE(probe->error());
}

TEST_P(CloseEndings, C0417_CloseInsideACallbackSendsWhatTheCallbackWrote) {
  auto probe = recording();
  probe->on_data = [&](BytesView) {
    probe->write("last ");
    probe->write("words");
    probe->close();
    probe->write(" never said");
  };
  Link link = open(probe);
  link.peer->send("go");
  run_until_ended(*link.peer);
  EXPECT_EQ(link.peer->received(), "last words");
  run_until_lost(*probe);
  EXPECT_FALSE(probe->error());
}

TEST_P(CloseEndings, C0417_AFailingFlushAfterCloseIsReported) {
  auto probe = recording();
  Link link = open(probe);
  kernel().block_sends();
  probe->write("never arrives");
  probe->close();
  kernel().fail_next_send(EPIPE);
  kernel().release_sends();
  run_until_lost(*probe);
  EXPECT_EQ(probe->error(), std::errc::broken_pipe);
}

TEST_P(CloseEndings, C0418_TwoEndingsMakeOneConnectionLost) {
  using Record = RecordingProtocol;
  void (ConnectionRecord::*const close)() = &Record::close;
  void (ConnectionRecord::*const abort)() = &Record::abort;
  for (const auto first : {close, abort}) {
    for (const auto second : {close, abort}) {
      auto probe = recording();
      Link link = open(probe);
      (*probe.*first)();
      (*probe.*second)();
      run_until_lost(*probe);
      settle();
      EXPECT_EQ(probe->summary(), "made lost:ok");
    }
  }
}

TEST_P(CloseEndings, C0418_EndingInsideConnectionLostDoesNothing) {
  auto probe = recording();
  Link link = open(probe);
  probe->on_lost = [&](std::error_code) {
    probe->close();
    probe->abort();
    probe->write("x");
    probe->write_eof();
    probe->pause_reading();
    probe->resume_reading();
  };
  probe->close();
  run_until_lost(*probe);
  settle();
  EXPECT_EQ(probe->summary(), "made lost:ok");
}

TEST_P(CloseEndings, C0420_AbortAfterCloseCutsTheFlush) {
  auto probe = recording();
  Link link = open(probe);
  kernel().block_sends(1000);
  probe->write(pattern(1'000'000));
  probe->close();
  probe->abort();
  EXPECT_EQ(link.transport->get_write_buffer_size(), 0u);
  EXPECT_FALSE(probe->lost());
  tick(1);
  EXPECT_TRUE(probe->lost());
  EXPECT_FALSE(probe->error());
  kernel().release_sends();
  run_until_ended(*link.peer);
  EXPECT_LE(link.peer->received().size(), 1000u);
}

TEST_P(CloseEndings, C0421_NoDataAfterCloseFromABystandersCallback) {
  auto probe = recording();
  Link link = open(probe);
  link.peer->send("too late");
  loop().call_soon([&] { probe->close(); });
  run_until_lost(*probe);
  settle();
  EXPECT_EQ(probe->bytes(), 0u);
  EXPECT_FALSE(probe->error());
}

TEST_P(CloseEndings, C0421_NoDataAfterAnotherConnectionOfTheSameTurnClosedIt) {
  auto one = recording();
  auto two = recording();
  Link first = open(one);
  Link second = open(two);
  one->on_data = [&](BytesView) { two->close(); };
  two->on_data = [&](BytesView) { one->close(); };
  // Both are readable at the loop's next look: whichever is served first closes the other.
  first.peer->send("a");
  second.peer->send("b");
  run_until([&] { return one->lost() || two->lost(); });
  settle();
  EXPECT_EQ(one->bytes() + two->bytes(), 1u);
  first.peer->close();
  second.peer->close();
  run_until([&] { return one->lost() && two->lost(); });
}

TEST_P(CloseEndings, C0421_NoDataAfterCloseInTheMiddleOfAStream) {
  auto probe = recording();
  probe->on_data = [&](BytesView) { probe->close(); };
  Link link = open(probe);
  link.peer->send(pattern(1'000'000));
  run_until_lost(*probe);
  settle();
  std::size_t data_events = 0;
  for (const std::string& event : probe->events()) data_events += event.starts_with("data");
  EXPECT_EQ(data_events, 1u);
}

TEST_P(CloseEndings, C0422_WritesAfterCloseAreDroppedAndTheFifthAndLaterOnesWarn) {
  auto probe = recording();
  Link link = open(probe);
  take_log();
  probe->close();
  for (int i = 1; i <= 10; ++i) {
    EXPECT_NO_THROW(probe->write("lost"));
    EXPECT_EQ(take_log().size(), i < 5 ? 0u : 1u) << "at write " << i;
  }
  EXPECT_EQ(link.transport->get_write_buffer_size(), 0u);
  run_until_ended(*link.peer);
  EXPECT_EQ(link.peer->received(), "");
  EXPECT_NO_THROW(probe->write("lost"));
}

TEST_P(CloseEndings, C0422_BytesWrittenAfterCloseDoNotJoinTheBacklog) {
  auto probe = recording();
  Link link = open(probe);
  kernel().block_sends();
  probe->write("queued");
  probe->close();
  probe->write("dropped");
  const BytesView more[] = {"dropped", "too"};
  probe->writelines(more);
  EXPECT_EQ(link.transport->get_write_buffer_size(), 6u);
  kernel().release_sends();
  run_until_ended(*link.peer);
  EXPECT_EQ(link.peer->received(), "queued");
  run_until_lost(*probe);
}

TEST_P(CloseEndings, C0424_AWriteErrorEndsTheConnectionWithThatError) {
  for (const int error : {EPIPE, EIO, ECONNRESET}) {
    auto probe = recording();
    Link link = open(probe);
    kernel().fail_next_send(error);
    EXPECT_NO_THROW(probe->write("x"));
    EXPECT_FALSE(probe->lost());
    EXPECT_EQ(link.transport->get_write_buffer_size(), 0u);
    run_until_lost(*probe);
    EXPECT_EQ(probe->error(), system_error_code(error));
    EXPECT_TRUE(take_exceptions().empty());
  }
}

TEST_P(CloseEndings, C0424_AWriteErrorDuringTheFlushDropsTheBacklog) {
  auto probe = recording();
  Link link = open(probe);
  kernel().block_sends();
  probe->write(pattern(200'000));
  kernel().fail_next_send(EIO);
  kernel().release_sends();
  run_until_lost(*probe);
  EXPECT_EQ(probe->error(), system_error_code(EIO));
  EXPECT_EQ(link.transport->get_write_buffer_size(), 0u);
  EXPECT_EQ(times(*probe, "resume"), 0u);
}

TEST_P(CloseEndings, C0424_AWriteErrorInsideACallbackComesFromTheLoop) {
  auto probe = recording();
  probe->on_data = [&](BytesView) {
    kernel().fail_next_send(EPIPE);
    probe->write("x");
    EXPECT_FALSE(probe->lost());
  };
  Link link = open(probe);
  link.peer->send("go");
  run_until_lost(*probe);
  EXPECT_EQ(probe->error(), std::errc::broken_pipe);
}

TEST_P(CloseEndings, C0425_AnExceptionOutOfDataReceivedIsReportedWithItsTransportAndProtocol) {
  auto probe = recording();
  Link link = open(probe);
  const Transport* transport = nullptr;
  const Protocol* protocol = nullptr;
  loop().set_exception_handler([&](EventLoop&, const ExceptionContext& context) {
    transport = context.transport;
    protocol = context.protocol;
    EXPECT_NE(context.message.find("data_received"), std::string::npos) << context.message;
    EXPECT_EQ(what(context.exception), "cannot parse");
  });
  probe->on_data = [](BytesView) { throw std::runtime_error("cannot parse"); };
  link.peer->send("???");
  run_until_lost(*probe);
  EXPECT_EQ(transport, link.transport.get());
  EXPECT_EQ(protocol, probe.get());
  EXPECT_EQ(probe->error(), errc::protocol_failed);
  EXPECT_EQ(probe->summary().substr(0, 16), "made data:3 lost");
  run_until_ended(*link.peer);
}

TEST_P(CloseEndings, C0425_SoIsWhatIsNoStdException) {
  auto probe = recording();
  Link link = open(probe);
  probe->on_data = [](BytesView) { throw 42; };
  link.peer->send("???");
  run_until_lost(*probe);
  EXPECT_EQ(probe->error(), errc::protocol_failed);
  EXPECT_EQ(take_exceptions().size(), 1u);
}

TEST_P(CloseEndings, C0426_AnExceptionOutOfConnectionLostLeaksNothing) {
  auto probe = std::make_shared<RecordingProtocol>();
  probe->on_lost = [](std::error_code) { throw std::runtime_error("in the end"); };
  Link link = open(probe);
  std::weak_ptr<RecordingProtocol> protocol = probe;
  std::weak_ptr<Transport> transport = link.transport;
  probe->close();
  run_until_lost(*probe);
  tick();
  const auto told = take_exceptions();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_NE(told[0].message.find("connection_lost"), std::string::npos) << told[0].message;
  EXPECT_EQ(link.transport->native_handle(), -1);
  EXPECT_EQ(loop().stats().transports, 0u);
  EXPECT_EQ(probe->checker().final_violations(), std::vector<std::string>());
  probe.reset();
  link.transport.reset();
  EXPECT_TRUE(protocol.expired());
  EXPECT_TRUE(transport.expired());
  run_until_ended(*link.peer);
}

}  // namespace ferry::test
