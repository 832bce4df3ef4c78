// A reader holds its transport back while too much waits to be read.

#include "recording_transport.h"
#include "streams_fixture.h"

#include <gtest/gtest.h>

namespace ferry::test {
namespace {

using Calls = std::vector<std::string>;

class ReaderFlow : public StreamsFixture {
 protected:
  World world() const override { return World::sim; }

  void SetUp() override {
    StreamsFixture::SetUp();
    transport_ = std::make_shared<RecordingTransport>(loop());
  }
  StreamReader reading(std::size_t limit) {
    StreamReader reader(limit);
    reader.set_transport(transport_);
    return reader;
  }
  Calls take_calls() { return std::exchange(transport_->calls, {}); }
  bool reading() const { return transport_->is_reading(); }

 private:
  std::shared_ptr<RecordingTransport> transport_;
};

TEST_F(ReaderFlow, C0570_PausedAboveTwiceTheLimitAndResumedAtIt) {
  StreamReader reader = reading(10);
  reader.feed_data(pattern(20));
  EXPECT_EQ(take_calls(), Calls());
  reader.feed_data("x");
  EXPECT_EQ(take_calls(), Calls{"pause"});
  reader.feed_data(pattern(100));  // was under way
  EXPECT_EQ(take_calls(), Calls());
  EXPECT_EQ(run(readexactly(reader, 110)).size(), 110u);
  EXPECT_EQ(take_calls(), Calls()) << "11 are left";
  EXPECT_EQ(run(read(reader, 1)).size(), 1u);
  EXPECT_EQ(take_calls(), Calls{"resume"});
  reader.feed_data(pattern(10));
  EXPECT_EQ(take_calls(), Calls());
  reader.feed_data("y");
  EXPECT_EQ(take_calls(), Calls{"pause"});
}

TEST_F(ReaderFlow, C0570_EachKindOfReadResumes) {
  const auto paused = [this] {
    StreamReader reader = reading(8);
    reader.feed_data("123456789\nabcdefghi\n");
    EXPECT_EQ(take_calls(), Calls{"pause"});
    return reader;
  };
  const auto resumed_by = [&](Coro<std::string> (*call)(StreamReader)) {
    StreamReader reader = paused();
    run(outcome_of(call(reader)));
    run(outcome_of(call(reader)));
    EXPECT_EQ(take_calls(), Calls{"resume"});
  };
  resumed_by([](StreamReader reader) { return read(std::move(reader), 7); });
  resumed_by([](StreamReader reader) { return readexactly(std::move(reader), 7); });
  resumed_by([](StreamReader reader) { return readexactly_view(std::move(reader), 7); });
  resumed_by([](StreamReader reader) { return read_view(std::move(reader), 7); });
}

TEST_F(ReaderFlow, C0570_LinesResume) {
  StreamReader reader = reading(9);
  reader.feed_data("123456789\nabcdefgh\n");
  EXPECT_EQ(take_calls(), Calls{"pause"});
  EXPECT_EQ(run(readline(reader)), "123456789\n");
  EXPECT_EQ(take_calls(), Calls{"resume"});
  reader.feed_data("0123456789");
  EXPECT_EQ(take_calls(), Calls{"pause"});
  EXPECT_EQ(run(readuntil(reader, {"fgh"})), "abcdefgh");
  EXPECT_EQ(take_calls(), Calls()) << "11 are left";
  EXPECT_EQ(run(readuntil_view(reader, "1")), "\n01");
  EXPECT_EQ(take_calls(), Calls{"resume"});
}

TEST_F(ReaderFlow, C0570_ALineThatWasDroppedResumes) {
  StreamReader reader = reading(5);
  reader.feed_data("0123456789abcdef");
  EXPECT_EQ(take_calls(), Calls{"pause"});
  EXPECT_THROW(run(readline(reader)), LimitOverrunError);
  EXPECT_EQ(take_calls(), Calls{"resume"});
}

TEST_F(ReaderFlow, C0570_WhoeverWaitsFindsTheTransportReading) {
  StreamReader reader = reading(5);
  reader.feed_data(pattern(11));
  EXPECT_FALSE(reading());
  const Task<std::string> task = start(readexactly(reader, 100));
  tick(3);
  EXPECT_TRUE(reading());
  for (std::size_t at = 11; at < 100; at += 11) {
    ASSERT_FALSE(task.done());
    reader.feed_data(pattern(std::min<std::size_t>(11, 100 - at), at));
    tick(3);
    EXPECT_TRUE(reading());
  }
  finish(task);
  EXPECT_EQ(task.result(), pattern(100));
}

TEST_F(ReaderFlow, C0554_ReadUntilTheEndIsNeverLeftPaused) {
  StreamReader reader = reading(5);
  reader.feed_data(pattern(11));
  EXPECT_FALSE(reading());
  const Task<std::string> task = start(read(reader));
  tick(3);
  for (std::size_t at = 11; at < 1001; at += 11) {
    ASSERT_TRUE(reading()) << "at " << at;
    reader.feed_data(pattern(11, at));
    tick(3);
  }
  reader.feed_eof();
  finish(task);
  EXPECT_EQ(task.result(), pattern(1001));
}

TEST_F(ReaderFlow, AReadThatWasCancelledPausesAgainInTime) {
  StreamReader reader = reading(5);
  reader.feed_data(pattern(11));
  EXPECT_EQ(take_calls(), Calls{"pause"});
  const Task<std::string> task = start(readexactly(reader, 100));
  tick(3);
  task.cancel();
  finish(task);
  reader.feed_data(pattern(11, 11));
  EXPECT_FALSE(reading());
  EXPECT_EQ(run(readexactly(reader, 22)), pattern(22));
  EXPECT_TRUE(reading());
}

TEST_F(ReaderFlow, PausesAndResumesAlternate) {
  StreamReader reader = reading(10);
  std::size_t fed = 0;
  std::size_t taken = 0;
  for (int round = 0; round < 100; ++round) {
    if (reading()) {
      reader.feed_data(pattern(7, fed));
      fed += 7;
    } else {
      EXPECT_EQ(run(readexactly(reader, 5)), pattern(5, taken));
      taken += 5;
    }
  }
  const Calls calls = take_calls();
  ASSERT_GT(calls.size(), 6u);
  for (std::size_t i = 0; i < calls.size(); ++i) {
    EXPECT_EQ(calls[i], i % 2 == 0 ? "pause" : "resume");
  }
}

/// The same with a real connection on both sides of it.
class ReaderFlowOnTheWire : public StreamsFixture {};
INSTANTIATE_WORLDS(ReaderFlowOnTheWire);

TEST_P(ReaderFlowOnTheWire, C0570_APeerIsHeldBackUntilSomebodyReads) {
  FarStream stream = open_stream(1000, 64 * 1024);
  stream.peer->send(pattern(3'000'000));
  settle();
  EXPECT_FALSE(transport_of(stream.writer)->is_reading());
  EXPECT_GT(stream.peer->unsent(), 0u);
  const Task<std::string> task = start(readexactly(stream.reader, 3'000'000));
  run_until([&] {
    stream.peer->pump();
    return task.done();
  });
  EXPECT_TRUE(task.result() == pattern(3'000'000));
  EXPECT_TRUE(transport_of(stream.writer)->is_reading());
  run(close_stream(stream.writer));
}

TEST_P(ReaderFlowOnTheWire, C0554_AllOfALongStreamWithASmallLimit) {
  FarStream stream = open_stream(10);
  stream.peer->send(pattern(1'000'000));
  settle();
  const Task<std::string> task = start(read(stream.reader));
  run_until([&] {
    stream.peer->pump();
    if (stream.peer->unsent() == 0) stream.peer->shutdown_write();
    return task.done();
  });
  EXPECT_TRUE(task.result() == pattern(1'000'000));
  run(close_stream(stream.writer));
}

}  // namespace
}  // namespace ferry::test
