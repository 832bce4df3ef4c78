// Everything of a stream that can be awaited, cancelled in each turn of its life: no byte is lost,
// nothing leaks, and the stream still works.

#include "streams_fixture.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace ferry::test {
namespace {

class StreamCancelPoints : public StreamsFixture {
 protected:
  using Call = Coro<std::string> (*)(StreamReader);

  /// Awaits `call` again and again while the input arrives in small pieces, cancels that in each
  /// turn, and reads on. The calls must give all bytes, in order, none twice.
  void expect_no_byte_lost(Call call);
};
INSTANTIATE_WORLDS(StreamCancelPoints);

/// Cancelled, or at its end; never anything else.
template <class T>
void expect_clean(const Future<T>& task) {
  ASSERT_TRUE(task.done());
  if (task.cancelled()) {
    EXPECT_EQ(cancel_message(task), "stop");
  } else {
    EXPECT_EQ(failure_text(task), "");
  }
}

constexpr std::string_view kInput = "ab\ncdefg\nh\nijklmnop\nq";

Coro<> feed_slowly(StreamReader reader, bool two_at_once) {
  const std::size_t step = two_at_once ? 2 : 1;
  for (std::size_t at = 0; at < kInput.size(); at += step) {
    reader.feed_data(kInput.substr(at, step));
    co_await sleep(0s);
  }
}

Coro<> collect(StreamReader reader, Coro<std::string> (*call)(StreamReader), std::string* got) {
  try {
    for (;;) {
      const std::string bytes = co_await call(reader);
      if (bytes.empty()) break;
      *got += bytes;
    }
  } catch (const IncompleteReadError& error) {
    *got += error.partial();
  }
}

Coro<> finish_feeding(StreamReader reader, Task<> feeding) {
  co_await feeding;
  reader.feed_eof();
}

void StreamCancelPoints::expect_no_byte_lost(Call call) {
  for (const bool two_at_once : {false, true}) {
    std::optional<StreamReader> reader;
    std::string got;
    Task<> feeding;
    const int points = cancel_at_each_turn(
        [&] {
          reader.emplace();
          got.clear();
          Task<> task = start(collect(*reader, call, &got));
          feeding = start(feed_slowly(*reader, two_at_once));
          static_cast<void>(start(finish_feeding(*reader, feeding)));
          return task;
        },
        [&](const Task<>& task) {
          expect_clean(task);
          run(collect(*reader, call, &got));
          EXPECT_EQ(got, kInput);
          EXPECT_TRUE(reader->at_eof());
          finish(feeding);
        });
    feeding = {};
    EXPECT_GE(points, 8);
  }
}

TEST_P(StreamCancelPoints, Read) {
  expect_no_byte_lost([](StreamReader reader) { return read(std::move(reader), 3); });
  expect_no_byte_lost([](StreamReader reader) { return read(std::move(reader)); });
}

TEST_P(StreamCancelPoints, ReadView) {
  expect_no_byte_lost([](StreamReader reader) { return read_view(std::move(reader), 3); });
}

TEST_P(StreamCancelPoints, Readexactly) {
  expect_no_byte_lost([](StreamReader reader) { return readexactly(std::move(reader), 4); });
  expect_no_byte_lost([](StreamReader reader) { return readexactly_view(std::move(reader), 5); });
}

TEST_P(StreamCancelPoints, Lines) {
  expect_no_byte_lost([](StreamReader reader) { return readline(std::move(reader)); });
  expect_no_byte_lost([](StreamReader reader) { return readline_view(std::move(reader)); });
}

TEST_P(StreamCancelPoints, Readuntil) {
  expect_no_byte_lost([](StreamReader reader) {
    return readuntil(std::move(reader), {"g\n", "m"});
  });
  expect_no_byte_lost([](StreamReader reader) { return readuntil_view(std::move(reader), "\nh"); });
}

TEST_P(StreamCancelPoints, AReadThatIsCancelledInTheCallbackThatBringsTheDataTakesNothing) {
  FarStream stream = open_stream();
  for (int round = 0; round < 3; ++round) {
    const Task<std::string> task = start(readexactly(stream.reader, 4));
    settle();
    if (round == 0) {
      task.cancel();  // then the data
      stream.reader.feed_data("data");
    } else if (round == 1) {
      stream.reader.feed_data("data");  // outside of the loop: it is woken, and has not run
      task.cancel();
    } else {
      stream.reader.feed_data("da");
      task.cancel();
      stream.reader.feed_data("ta");
    }
    finish(task);
    EXPECT_TRUE(task.cancelled());
    EXPECT_EQ(run(read(stream.reader, 10)), "data");
  }
  run(close_stream(stream.writer));
}

TEST_P(StreamCancelPoints, AnotherTaskReadsOnInTheTurnOfTheCancellation) {
  FarStream stream = open_stream();
  const Task<std::string> first = start(readline(stream.reader));
  settle();
  stream.peer->send("hal");
  settle();
  first.cancel();
  const Task<std::string> second = start(readline(stream.reader));
  stream.peer->send("f\n");
  finish(second);
  EXPECT_EQ(second.result(), "half\n");
  EXPECT_TRUE(first.cancelled());
  run(close_stream(stream.writer));
}

TEST_P(StreamCancelPoints, Drain) {
  const auto let_out = [](ScriptedKernel* kernel) -> Coro<> {
    co_await turns(3);
    kernel->release_sends();
  };
  std::optional<FarStream> stream;
  std::size_t written = 0;
  Task<> other;
  const int points = cancel_at_each_turn(
      [&] {
        stream = open_stream();
        written = fill(stream->writer);
        other = start(drain(stream->writer));
        Task<> task = start(send(stream->writer, "!"));
        static_cast<void>(start(let_out(&kernel())));
        return task;
      },
      [&](const Task<>& task) {
        expect_clean(task);
        run_until([&] {
          stream->peer->pump();
          return other.done();
        });
        EXPECT_EQ(failure_text(other), "") << "the other that drains is left alone";
        run(send(stream->writer, "the end"));
        stream->writer.close();
        run_until_ended(*stream->peer);
        const std::string& received = stream->peer->received();
        EXPECT_TRUE(received.ends_with("the end"));
        EXPECT_GE(received.size(), written + 7);
        EXPECT_LE(received.size(), written + 8);
        run(wait_closed(stream->writer));
      });
  stream.reset();
  other = {};
  EXPECT_GE(points, 3);
}

TEST_P(StreamCancelPoints, WaitClosed) {
  const auto close_later = [](StreamWriter writer) -> Coro<> {
    co_await turns(2);
    writer.close();
  };
  std::optional<FarStream> stream;
  Task<> other;
  const int points = cancel_at_each_turn(
      [&] {
        stream = open_stream();
        other = start(wait_closed(stream->writer));
        Task<> task = start(wait_closed(stream->writer));
        static_cast<void>(start(close_later(stream->writer)));
        return task;
      },
      [&](const Task<>& task) {
        expect_clean(task);
        finish(other);
        EXPECT_EQ(failure_text(other), "");
        run(wait_closed(stream->writer));
      });
  stream.reset();
  other = {};
  EXPECT_GE(points, 3);
}

/// A client's whole life.
Coro<std::string> converse(Address address) {
  Stream stream = co_await open_connection(to(address));
  stream.writer.write("a line\n");
  co_await stream.writer.drain();
  std::string all = co_await stream.reader.readline();
  stream.writer.writelines({"and ", "another\n"});
  co_await stream.writer.drain();
  all += co_await stream.reader.readuntil("other\n");
  stream.writer.write_eof();
  all += co_await stream.reader.read();
  stream.writer.close();
  co_await stream.writer.wait_closed();
  co_return all;
}

TEST_P(StreamCancelPoints, AClient) {
  const auto server = serve_streams(echo);
  const std::size_t before = open_sockets();
  const int points = cancel_at_each_turn([&] { return start(converse(server->sockets().at(0))); },
                                         [&](const Task<std::string>& task) {
                                           expect_clean(task);
                                           if (!task.cancelled()) {
                                             EXPECT_EQ(task.result(), "a line\nand another\n");
                                           }
                                           run_until([&] { return server->connections() == 0; });
                                           run_until([&] { return loop().stats().tasks == 0; });
                                           settle();
                                           EXPECT_EQ(open_sockets(), before);
                                         });
  EXPECT_GE(points, 3);
  server->close();
}

TEST_P(StreamCancelPoints, AHandler) {
  const auto server = serve_streams(echo);
  const std::size_t before = open_sockets();
  std::optional<Stream> client;
  for (int turns_before = 0; turns_before < 30; ++turns_before) {
    client = dial_stream(*server);
    const Task<std::string> answer = start(outcome_of(readexactly(client->reader, 5)));
    client->writer.write("hello");
    for (int turn = 0; turn < turns_before; ++turn) advance();
    for (TaskCore* task : all_tasks(loop())) {
      if (&task->future() != answer.state()) task->cancel("stop");
    }
    finish(answer);
    run(close_stream(client->writer));
    run_until([&] { return server->connections() == 0; });
    run_until([&] { return loop().stats().tasks == 0; });
    client.reset();
    settle();
    EXPECT_EQ(open_sockets(), before);
  }
  server->close();
}

}  // namespace
}  // namespace ferry::test
