// A StreamWriter: what it passes on, when it makes its task wait, how it ends.

#include "streams_fixture.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace ferry::test {
namespace {

class Writer : public StreamsFixture {
 protected:
  /// Lets everything out and reads it at the far end, until `condition`.
  void release(FarStream& stream, Function<bool()> condition) {
    kernel().release_sends();
    run_until([&] {
      stream.peer->pump();
      return condition();
    });
  }
  /// How often the loop called back while `call` ran as a part of a task.
  std::uint64_t callbacks_of(Coro<> call) {
    const auto body = [](EventLoop* loop, Coro<> counted) -> Coro<std::uint64_t> {
      const std::uint64_t before = loop->stats().callbacks;
      co_await std::move(counted);
      co_return loop->stats().callbacks - before;
    };
    return run(body(&loop(), std::move(call)));
  }
};
INSTANTIATE_WORLDS(Writer);

Coro<> write_for_ever(StreamWriter writer, std::string bytes) {
  for (;;) {
    writer.write(bytes);
    co_await writer.drain();
  }
}

bool is_lost(const std::error_code& code) {
  return code == std::errc::connection_reset || code == std::errc::broken_pipe;
}

// -- passing on

TEST_P(Writer, WritesInOrderInOneOrManyPieces) {
  FarStream stream = open_stream();
  stream.writer.write("a");
  stream.writer.writelines({"bc", "", "def"});
  const std::vector<BytesView> pieces{"g", "hi"};
  stream.writer.writelines(pieces);
  run(send(stream.writer, "j"));
  run_until_received(*stream.peer, 10);
  EXPECT_EQ(stream.peer->received(), "abcdefghij");
  run(close_stream(stream.writer));
}

TEST_P(Writer, WriteEofEndsOneDirection) {
  FarStream stream = open_stream();
  EXPECT_TRUE(stream.writer.can_write_eof());
  stream.writer.write("last");
  stream.writer.write_eof();
  run_until_ended(*stream.peer);
  EXPECT_EQ(stream.peer->received(), "last");
  EXPECT_TRUE(stream.peer->eof());
  EXPECT_FALSE(stream.writer.is_closing());
  EXPECT_THROW(stream.writer.write("more"), std::logic_error);
  stream.peer->send("answer");
  stream.peer->shutdown_write();
  EXPECT_EQ(run(read(stream.reader)), "answer");
  run(close_stream(stream.writer));
}

TEST_P(Writer, TheEndOfThePeerLeavesTheStreamOpenForWriting) {
  FarStream stream = open_stream();
  stream.peer->shutdown_write();
  EXPECT_EQ(run(read(stream.reader)), "");
  EXPECT_FALSE(stream.writer.is_closing());
  run(send(stream.writer, "after the end"));
  run_until_received(*stream.peer, 13);
  EXPECT_EQ(stream.peer->received(), "after the end");
  run(close_stream(stream.writer));
  run_until_ended(*stream.peer);
  EXPECT_TRUE(stream.peer->eof());
}

TEST_P(Writer, CloseSendsWhatIsWrittenAndDropsWhatFollows) {
  FarStream stream = open_stream();
  EXPECT_FALSE(stream.writer.is_closing());
  const std::size_t written = fill(stream.writer);
  stream.writer.close();
  EXPECT_TRUE(stream.writer.is_closing());
  stream.writer.write("dropped");
  stream.writer.close();
  const Task<> closed = start(wait_closed(stream.writer));
  release(stream, [&] { return closed.done() && stream.peer->ended(); });
  closed.result();
  EXPECT_EQ(stream.peer->received().size(), written);
  EXPECT_TRUE(stream.peer->eof());
  EXPECT_TRUE(stream.writer.is_closing());
}

// -- drain

TEST_P(Writer, C0572_DrainWithoutPressureTakesNoTurn) {
  FarStream stream = open_stream();
  EXPECT_EQ(callbacks_of(drain(stream.writer)), 0u);
  EXPECT_EQ(callbacks_of(send(stream.writer, "some")), 0u);
  kernel().block_sends();
  EXPECT_EQ(callbacks_of(send(stream.writer, pattern(60'000))), 0u) << "below the mark";
  kernel().release_sends();
  run(close_stream(stream.writer));
}

TEST_P(Writer, C0572_DrainUnderPressureWaitsUntilThereIsRoom) {
  FarStream stream = open_stream();
  const std::size_t written = fill(stream.writer);
  const Task<> task = start(drain(stream.writer));
  settle();
  EXPECT_FALSE(task.done());
  // Still above the low mark.
  kernel().allow_sends(written - 20'000);
  run_until([&] {
    stream.peer->pump();
    return transport_of(stream.writer)->get_write_buffer_size() == 20'000;
  });
  settle();
  EXPECT_FALSE(task.done());
  release(stream, [&] { return task.done(); });
  task.result();
  EXPECT_LE(transport_of(stream.writer)->get_write_buffer_size(), 16u * 1024);
  run(send(stream.writer, "more"));
  release(stream, [&] { return stream.peer->received().size() == written + 4; });
  run(close_stream(stream.writer));
}

TEST_P(Writer, C0573_TenDrainsAllGoOn) {
  FarStream stream = open_stream();
  fill(stream.writer);
  std::vector<Task<>> tasks;
  for (int i = 0; i < 10; ++i) tasks.push_back(start(drain(stream.writer)));
  settle();
  for (const Task<>& task : tasks) EXPECT_FALSE(task.done());
  tasks[3].cancel();
  tasks[9].cancel();
  release(stream, [&] {
    return std::all_of(tasks.begin(), tasks.end(), [](const auto& task) { return task.done(); });
  });
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    EXPECT_EQ(tasks[i].cancelled(), i == 3 || i == 9);
    if (!tasks[i].cancelled()) {
      tasks[i].result();
    }
  }
  run(close_stream(stream.writer));
}

TEST_P(Writer, C0573_TenDrainsAllHearOfALoss) {
  FarStream stream = open_stream();
  fill(stream.writer);
  std::vector<Task<>> tasks;
  for (int i = 0; i < 10; ++i) tasks.push_back(start(drain(stream.writer)));
  settle();
  stream.peer->reset();
  for (const Task<>& task : tasks) {
    finish(task);
    try {
      task.result();
      ADD_FAILURE() << "no error";
    } catch (const std::system_error& error) {
      EXPECT_TRUE(is_lost(error.code())) << error.what();
    }
  }
  EXPECT_TRUE(is_lost(failure_of<std::system_error>(drain(stream.writer)).code()));
}

TEST_P(Writer, C0573_AnEndWithoutAnErrorWakesTheDrainsAndTheNextOneTells) {
  FarStream stream = open_stream();
  fill(stream.writer);
  const Task<> first = start(drain(stream.writer));
  const Task<> second = start(drain(stream.writer));
  settle();
  EXPECT_FALSE(first.done());
  transport_of(stream.writer)->abort();
  finish(first);
  finish(second);
  first.result();
  second.result();
  EXPECT_EQ(failure_of<std::system_error>(drain(stream.writer)).code(),
            std::errc::connection_reset);
}

TEST_P(Writer, C0574_WritingToAClosedPeerEnds) {
  FarStream stream = open_stream();
  run(send(stream.writer, "first"));
  run_until_received(*stream.peer, 5);
  stream.peer->close();
  const std::error_code code =
      failure_of<std::system_error>(write_for_ever(stream.writer, "more")).code();
  EXPECT_TRUE(is_lost(code)) << code.message();
}

TEST_P(Writer, C0574_WritingMuchToAPeerThatClosesEnds) {
  FarStream stream = open_stream();
  const Task<> task = start(write_for_ever(stream.writer, pattern(10'000)));
  settle();
  EXPECT_FALSE(task.done()) << "the peer does not read";
  stream.peer->close();
  finish(task);
  EXPECT_THROW(task.result(), std::system_error);
}

TEST_P(Writer, C0574_WritingToOneThatThisSideHasClosedEnds) {
  FarStream stream = open_stream();
  stream.writer.close();
  const std::error_code code =
      failure_of<std::system_error>(write_for_ever(stream.writer, "more")).code();
  EXPECT_TRUE(is_lost(code)) << code.message();
}

TEST_P(Writer, DrainingWhileItClosesTakesATurnAndNotForEver) {
  FarStream stream = open_stream();
  kernel().block_sends();
  stream.writer.write("not out yet");
  stream.writer.close();
  const Task<> task = start(drain(stream.writer));
  tick(5);
  EXPECT_TRUE(task.done());
  EXPECT_EQ(failure_text(task), "");
  kernel().release_sends();
  run(wait_closed(stream.writer));
}

TEST_P(Writer, C0576_DrainThrowsWhatTheReaderHas) {
  FarStream stream = open_stream();
  stream.reader.set_exception(std::make_exception_ptr(TestError("from the reader")));
  EXPECT_EQ(std::string(failure_of<TestError>(drain(stream.writer)).what()), "from the reader");
  run(close_stream(stream.writer));
}

// -- ending

TEST_P(Writer, C0577_WaitClosedTwiceAndByMany) {
  FarStream stream = open_stream();
  const Task<> before = start(wait_closed(stream.writer));
  const Task<> given_up = start(wait_closed(stream.writer));
  settle();
  EXPECT_FALSE(before.done());
  given_up.cancel();
  stream.writer.close();
  run(wait_closed(stream.writer));
  run(wait_closed(stream.writer));
  finish(before);
  before.result();
  finish(given_up);
  EXPECT_TRUE(given_up.cancelled());
}

TEST_P(Writer, C0577_WaitClosedWithUnreadData) {
  FarStream stream = open_stream(1000);
  stream.peer->send(pattern(50'000));
  settle();
  EXPECT_FALSE(transport_of(stream.writer)->is_reading());
  stream.writer.close();
  run(wait_closed(stream.writer));
}

TEST_P(Writer, C0577_WaitClosedTellsOfTheErrorEachTime) {
  FarStream stream = open_stream();
  stream.peer->reset();
  EXPECT_EQ(failure_of<std::system_error>(read(stream.reader)).code(), std::errc::connection_reset);
  EXPECT_EQ(failure_of<std::system_error>(wait_closed(stream.writer)).code(),
            std::errc::connection_reset);
  stream.writer.close();
  EXPECT_EQ(failure_of<std::system_error>(wait_closed(stream.writer)).code(),
            std::errc::connection_reset);
}

TEST_P(Writer, C0577_AnErrorThatNobodyAsksForIsNotReported) {
  FarStream stream = open_stream();
  stream.peer->reset();
  run_until([&] { return stream.writer.is_closing(); });
  settle();  // the fixture looks at the exception handler
}

TEST_P(Writer, TheLossIsTheReadersErrorEvenIfThereIsData) {
  FarStream stream = open_stream();
  stream.peer->send("data");
  settle();
  stream.peer->reset();
  run_until([&] { return stream.writer.is_closing(); });
  settle();
  ASSERT_NE(stream.reader.exception(), nullptr);
  EXPECT_EQ(failure_of<std::system_error>(read(stream.reader, 4)).code(),
            std::errc::connection_reset);
}

TEST_P(Writer, C0578_CloseIsTheEndForTheReader) {
  FarStream stream = open_stream();
  const Task<std::string> task = start(read(stream.reader, 10));
  settle();
  EXPECT_FALSE(task.done());
  stream.writer.close();
  finish(task);
  EXPECT_EQ(task.result(), "");
  EXPECT_TRUE(stream.reader.at_eof());
  run(wait_closed(stream.writer));
}

TEST_P(Writer, C0578_WhatHadArrivedCanBeReadAfterTheClose) {
  FarStream stream = open_stream();
  stream.peer->send("arrived\n");
  EXPECT_EQ(run(read(stream.reader, 3)), "arr");
  run(close_stream(stream.writer));
  EXPECT_EQ(run(readline(stream.reader)), "ived\n");
  EXPECT_EQ(run(readline(stream.reader)), "");
}

// -- dropped

std::size_t warnings(const std::vector<std::string>& log) {
  return static_cast<std::size_t>(std::count_if(log.begin(), log.end(), [](const auto& line) {
    return line.find("warning") == 0 && line.find("unclosed") != std::string::npos;
  }));
}

TEST_P(Writer, C0582_DroppingTheLastHandleClosesAndWarns) {
  loop().set_debug(true);
  auto stream = std::make_unique<FarStream>(open_stream());
  const std::shared_ptr<FarEnd> peer = stream->peer;
  auto copy = std::make_unique<StreamWriter>(stream->writer);
  StreamReader reader = stream->reader;
  copy->write("sent all the same");
  stream.reset();
  settle();
  EXPECT_FALSE(copy->is_closing());
  copy.reset();
  run_until_ended(*peer);
  EXPECT_TRUE(peer->eof());
  EXPECT_EQ(peer->received(), "sent all the same");
  EXPECT_EQ(run(read(reader)), "");
  EXPECT_EQ(warnings(take_log()), 1u);
}

TEST_P(Writer, C0582_AClosedOrLostStreamIsDroppedWithoutAWord) {
  loop().set_debug(true);
  {
    FarStream closed = open_stream();
    closed.writer.close();
    FarStream lost = open_stream();
    lost.peer->reset();
    run_until([&] { return lost.writer.is_closing(); });
    FarStream waited_for = open_stream();
    run(close_stream(waited_for.writer));
  }
  settle();
  EXPECT_EQ(warnings(take_log()), 0u);
}

TEST_P(Writer, C0582_OnlyInDebugModeThereIsAWarning) {
  loop().set_debug(false);
  std::shared_ptr<FarEnd> peer = open_stream().peer;
  run_until_ended(*peer);
  EXPECT_TRUE(peer->eof());
  EXPECT_EQ(warnings(take_log()), 0u);
}

TEST_P(Writer, C0582_AWriterMayOutliveItsLoop) {
  FarStream stream = open_stream();
  loop().set_debug(true);
  stream.peer->close();
  close_loop();
  EXPECT_TRUE(stream.writer.is_closing());
  stream.writer.write("nobody hears it");
  stream.writer.close();
}

TEST_P(Writer, ADroppedReaderLeavesTheWriterAtWork) {
  FarStream stream = open_stream(10);
  stream.reader = StreamReader();
  stream.peer->send(pattern(1000));
  settle();
  run(send(stream.writer, "still here"));
  run_until_received(*stream.peer, 10);
  EXPECT_EQ(stream.peer->received(), "still here");
  run(close_stream(stream.writer));
}

TEST_P(Writer, ATaskThatReadsKeepsTheConnectionOnlyWithItsWriter) {
  // The task holds the reader alone: the connection ends with the last writer, the task is told.
  FarStream stream = open_stream();
  const Task<std::string> task = start(read(stream.reader));
  tick(2);
  std::make_unique<StreamWriter>(std::move(stream.writer)).reset();
  finish(task);
  EXPECT_EQ(task.result(), "");
}

}  // namespace
}  // namespace ferry::test
