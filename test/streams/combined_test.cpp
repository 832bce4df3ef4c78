// What a stream's calls give, in wait_for, timeout, gather and the rest.

#include "streams_fixture.h"

#include <ferry/async.h>

#include <gtest/gtest.h>

namespace ferry::test {
namespace {

class CombinedStreams : public StreamsFixture {};
INSTANTIATE_WORLDS(CombinedStreams);

TEST_P(CombinedStreams, AReadWithATimeLimitTakesNothingWhenItIsOver) {
  const auto body = [](StreamReader reader, Log* log) -> Coro<> {
    try {
      log->push_back(co_await wait_for(reader.readline(), 20ms));
    } catch (const TimeoutError&) {
      log->push_back("late");
    }
    try {
      log->push_back(co_await timeout(20ms, reader.readexactly(100)));
    } catch (const TimeoutError&) {
      log->push_back("late");
    }
    try {
      log->push_back(co_await wait_for(reader.read(), 0s));
    } catch (const TimeoutError&) {
      log->push_back("late");
    }
    log->push_back(co_await wait_for(reader.readline(), 1h));
  };
  FarStream stream = open_stream();
  stream.peer->send("half a ");
  Log log;
  const Task<> task = start(body(stream.reader, &log));
  run_until([&] { return log.size() == 3; });
  stream.peer->send("line\n");
  finish(task);
  EXPECT_EQ(log, (Log{"late", "late", "late", "half a line\n"}));
  run(close_stream(stream.writer));
}

TEST_P(CombinedStreams, ReadsOfManyStreamsAreGathered) {
  const auto body = [](std::vector<StreamReader> readers, StreamReader other) -> Coro<std::string> {
    std::vector<StreamRead<std::string>> reads;
    for (const StreamReader& reader : readers) reads.push_back(reader.readline());
    const std::vector<std::string> lines = co_await gather(std::move(reads));
    std::string all;
    for (const std::string& line : lines) all += line;
    auto both = gather(readers[0].readexactly(2), other.next_line(), sleep(0s));
    const auto two = co_await both;
    all += std::get<0>(two);
    all += std::get<1>(two).value_or("none");
    co_return all;
  };
  std::vector<FarStream> streams;
  for (int i = 0; i < 4; ++i) streams.push_back(open_stream());
  std::vector<StreamReader> readers;
  for (int i = 0; i < 3; ++i) readers.push_back(streams[static_cast<std::size_t>(i)].reader);
  const Task<std::string> task = start(body(readers, streams[3].reader));
  settle();
  streams[2].peer->send("three\n");
  settle();
  streams[0].peer->send("one\n");
  streams[1].peer->send("two\n");
  settle();
  EXPECT_FALSE(task.done());
  streams[3].peer->shutdown_write();
  streams[0].peer->send("ab");
  finish(task);
  EXPECT_EQ(task.result(), "one\ntwo\nthree\nabnone");
  for (const FarStream& stream : streams) run(close_stream(stream.writer));
}

TEST_P(CombinedStreams, ReadingAndDrainingAtOnceMovesMuchBothWays) {
  const auto body = [](Stream stream, std::string text) -> Coro<std::string> {
    stream.writer.write(text);
    auto both = gather(stream.reader.readexactly(text.size()), stream.writer.drain());
    const auto done = co_await both;
    co_return std::get<0>(done);
  };
  StreamCouple couple = open_streams(1000);
  const std::string near = pattern(2'000'000);
  const std::string far = pattern(2'000'000, 7);
  const Task<std::string> first = start(body(couple.near, near));
  const Task<std::string> second = start(body(couple.far, far));
  finish(first);
  finish(second);
  EXPECT_TRUE(first.result() == far);
  EXPECT_TRUE(second.result() == near);
  run(close_stream(couple.near.writer));
  run(close_stream(couple.far.writer));
}

TEST_P(CombinedStreams, ADrainWithATimeLimit) {
  const auto body = [](StreamWriter writer) -> Coro<bool> {
    try {
      co_await wait_for(writer.drain(), 20ms);
    } catch (const TimeoutError&) {
      co_return true;
    }
    co_return false;
  };
  FarStream stream = open_stream();
  EXPECT_FALSE(run(body(stream.writer)));
  const std::size_t written = fill(stream.writer);
  EXPECT_TRUE(run(body(stream.writer)));
  kernel().release_sends();
  run_until([&] { return stream.peer->read().size() == written; });
  EXPECT_FALSE(run(body(stream.writer)));
  run(close_stream(stream.writer));
}

TEST_P(CombinedStreams, TheFirstOfTwoStreamsThatHasALineWins) {
  const auto body = [](StreamReader a, StreamReader b) -> Coro<std::string> {
    std::vector<Task<std::string>> tasks;
    tasks.push_back(create_task(a.readline()));
    tasks.push_back(create_task(b.readline()));
    const auto outcome = co_await ferry::wait(tasks, {.return_when = ReturnWhen::first_completed});
    EXPECT_EQ(outcome.done.size(), 1u);
    tasks[0].cancel();
    co_await turns(2);
    EXPECT_TRUE(tasks[0].cancelled());
    std::string all = tasks[1].result();
    all += co_await a.readline();  // nothing of it was taken
    co_return all;
  };
  FarStream a = open_stream();
  FarStream b = open_stream();
  const Task<std::string> task = start(body(a.reader, b.reader));
  settle();
  a.peer->send("not yet");
  settle();
  b.peer->send("first\n");
  settle();
  EXPECT_FALSE(task.done());
  a.peer->send(" whole\n");
  finish(task);
  EXPECT_EQ(task.result(), "first\nnot yet whole\n");
  run(close_stream(a.writer));
  run(close_stream(b.writer));
}

TEST_P(CombinedStreams, AReadIsShieldedAndGoesOn) {
  FarStream stream = open_stream();
  std::string got;
  const auto body = [](StreamReader reader, std::string* into) -> Coro<> {
    Task<std::string> inner = create_task(reader.readline());
    try {
      co_await shield(inner);
    } catch (const CancelledError&) {
      *into = "cancelled, then ";
    }
    *into += co_await inner;
  };
  const Task<> task = start(body(stream.reader, &got));
  settle();
  task.cancel();
  settle();
  stream.peer->send("a line\n");
  finish(task);
  EXPECT_EQ(got, "cancelled, then a line\n");
  run(close_stream(stream.writer));
}

TEST_P(CombinedStreams, AGroupOfAReaderAndAWriterEndsWithTheFirstThatFails) {
  const auto read_all = [](StreamReader reader) -> Coro<> {
    while (co_await reader.next_line()) {
    }
  };
  const auto write_all = [](StreamWriter writer) -> Coro<> {
    for (;;) {
      writer.write("tick\n");
      co_await writer.drain();
      co_await sleep(1ms);
    }
  };
  const auto body = [](TaskGroup& group, StreamReader reader, StreamWriter writer, auto in,
                       auto out) -> Coro<> {
    group.create_task(in(reader));
    group.create_task(out(writer));
    co_return;
  };
  FarStream stream = open_stream();
  const Task<> task = start(task_group(body, stream.reader, stream.writer, read_all, write_all));
  settle();
  EXPECT_FALSE(task.done());
  stream.peer->reset();
  finish(task);
  EXPECT_THROW(task.result(), ExceptionGroup);
  EXPECT_EQ(loop().stats().tasks, 0u);
}

}  // namespace
}  // namespace ferry::test
