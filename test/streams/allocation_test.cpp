// Messages cost no memory: in the steady state nothing of the way through streams, tasks and
// queues allocates. This program counts every call of operator new.

#include "counting_new.h"
#include "streams_fixture.h"

#include <ferry/event.h>
#include <ferry/queue.h>
#include <ferry/sanitizers.h>

#include <gtest/gtest.h>

#include <array>

namespace ferry::test {
namespace {

constexpr int kWarmUp = 300;
constexpr int kMessages = 2000;

class Allocations : public StreamsFixture {
 protected:
  void SetUp() override {
#if FERRY_ADDRESS_SANITIZER
    GTEST_SKIP() << "nothing is used twice, for AddressSanitizer to look after";
#else
    StreamsFixture::SetUp();
#endif
  }
  World world() const override {
    return World::asio;
  }
  /// Without a script, which writes down each call.
  std::unique_ptr<Kernel> make_loop_kernel() override {
    return LoopFixture::make_loop_kernel();
  }

  /// Runs `client` against a server; gives the allocations that the client counted.
  std::size_t of_a_talk(Coro<> (*client)(Stream, std::size_t*),
                        Coro<> (*handler)(StreamReader, StreamWriter)) {
    const auto server = serve_streams(handler);
    std::size_t counted = 1;
    const Task<> task = start(client(dial_stream(*server), &counted));
    finish(task);
    task.result();
    run_until([&] { return server->connections() == 0; });
    server->close();
    return counted;
  }
};

/// So many messages by `Exchange`, and how many allocations those after the first ones took.
template <Coro<> (*kExchange)(StreamReader&, StreamWriter&)>
Coro<> exchange_many(Stream stream, std::size_t* counted) {
  std::size_t before = 0;
  for (int message = 0; message < kWarmUp + kMessages; ++message) {
    if (message == kWarmUp) before = allocations();
    co_await kExchange(stream.reader, stream.writer);
  }
  *counted = allocations() - before;
}

using Head = std::array<std::byte, 2>;

Head head_of(std::size_t size) {
  return {static_cast<std::byte>(size >> 8), static_cast<std::byte>(size & 0xff)};
}
std::size_t size_of(BytesView head) {
  return std::to_integer<std::size_t>(head[0]) << 8 | std::to_integer<std::size_t>(head[1]);
}

/// A frame there, its echo back.
Coro<> exchange_frame(StreamReader& reader, StreamWriter& writer) {
  static const std::string body(500, 'x');
  writer.write(head_of(body.size()));
  writer.write(body);
  co_await writer.drain();
  const BytesView head = co_await reader.readexactly_view(2);
  const std::size_t size = size_of(head);
  const BytesView answer = co_await reader.readexactly_view(size);
  EXPECT_EQ(answer.size(), body.size());
}

Coro<> echo_frames(StreamReader reader, StreamWriter writer) {
  try {
    for (;;) {
      const BytesView head = co_await reader.readexactly_view(2);
      const std::size_t size = size_of(head);
      const BytesView body = co_await reader.readexactly_view(size);
      const Head answer = head_of(size);
      writer.writelines({BytesView(answer), body});
      co_await writer.drain();
    }
  } catch (const IncompleteReadError&) {
  }
}

Coro<> echo_views(StreamReader reader, StreamWriter writer) {
  for (;;) {
    const BytesView bytes = co_await reader.read_view();
    if (bytes.empty()) break;
    writer.write(bytes);
    co_await writer.drain();
  }
}

/// A line that fits into a string without memory of its own, and one by its view.
Coro<> exchange_lines(StreamReader& reader, StreamWriter& writer) {
  writer.writelines({"a line\n", "another\n"});
  co_await writer.drain();
  const std::string first = co_await reader.readline();
  EXPECT_EQ(first, "a line\n");
  const BytesView second = co_await reader.readuntil_view("er\n");
  EXPECT_EQ(second.text(), "another\n");
}

/// Copies that fit into a string without memory of its own.
Coro<> exchange_copies(StreamReader& reader, StreamWriter& writer) {
  writer.write("0123456789");
  co_await writer.drain();
  const std::string first = co_await reader.readexactly(4);
  EXPECT_EQ(first, "0123");
  const std::optional<std::string> rest = co_await reader.readexactly(6);
  EXPECT_EQ(rest, "456789");
}

TEST_F(Allocations, FramesTakeNone) {
  EXPECT_EQ(of_a_talk(exchange_many<exchange_frame>, echo_frames), 0u);
}

TEST_F(Allocations, LinesTakeNone) {
  EXPECT_EQ(of_a_talk(exchange_many<exchange_lines>, echo_views), 0u);
}

TEST_F(Allocations, SmallCopiesTakeNone) {
  EXPECT_EQ(of_a_talk(exchange_many<exchange_copies>, echo_views), 0u);
}

/// Many frames under way before the first answer is read.
Coro<> exchange_batch(StreamReader& reader, StreamWriter& writer) {
  static const std::string body(500, 'x');
  for (int i = 0; i < 64; ++i) {
    writer.write(head_of(body.size()));
    writer.write(body);
  }
  co_await writer.drain();
  for (int i = 0; i < 64; ++i) {
    const BytesView head = co_await reader.readexactly_view(2);
    const std::size_t size = size_of(head);
    const BytesView answer = co_await reader.readexactly_view(size);
    EXPECT_EQ(answer.size(), body.size());
  }
}

TEST_F(Allocations, BatchesOfFramesTakeNone) {
  EXPECT_EQ(of_a_talk(exchange_many<exchange_batch>, echo_frames), 0u);
}

// -- tasks that hand over to each other

/// Runs `other` beside, and counts while `round` runs.
template <class Shared>
std::size_t count_rounds(EventLoop& loop, Coro<> (*round)(Shared&), Coro<> (*other)(Shared&),
                         Shared& shared) {
  struct Body {
    static Coro<> run(Coro<> (*one)(Shared&), Shared* with, std::size_t* counted) {
      std::size_t before = 0;
      for (int i = 0; i < kWarmUp + kMessages; ++i) {
        if (i == kWarmUp) before = allocations();
        co_await one(*with);
      }
      *counted = allocations() - before;
    }
  };
  std::size_t counted = 1;
  const Task<> beside = create_task(loop, other(shared));
  run_until_complete(loop, Body::run(round, &shared, &counted));
  beside.cancel();
  while (!beside.done()) {
    loop.stop();
    loop.run_forever();
  }
  return counted;
}

struct Queues {
  Queue<int> there{4};
  Queue<int> back{4};
};

TEST_F(Allocations, HandingItemsOverByAQueueTakesNone) {
  const auto round = [](Queues& queues) -> Coro<> {
    co_await queues.there.put(1);
    const int answer = co_await queues.back.get();
    EXPECT_EQ(answer, 2);
  };
  const auto other = [](Queues& queues) -> Coro<> {
    for (;;) {
      const int item = co_await queues.there.get();
      co_await queues.back.put(item + 1);
    }
  };
  Queues queues;
  EXPECT_EQ(count_rounds<Queues>(loop(), round, other, queues), 0u);
}

struct Events {
  Event there;
  Event back;
};

TEST_F(Allocations, WaitingForAnEventTakesNone) {
  const auto round = [](Events& events) -> Coro<> {
    events.there.set();
    co_await events.back.wait();
    events.back.clear();
  };
  const auto other = [](Events& events) -> Coro<> {
    for (;;) {
      co_await events.there.wait();
      events.there.clear();
      events.back.set();
    }
  };
  Events events;
  EXPECT_EQ(count_rounds<Events>(loop(), round, other, events), 0u);
}

TEST_F(Allocations, GivingOthersTheirTurnTakesNone) {
  const auto round = [](int& count) -> Coro<> {
    ++count;
    co_await sleep(0s);
  };
  const auto other = [](int& count) -> Coro<> {
    for (;;) {
      --count;
      co_await sleep(0s);
    }
  };
  int count = 0;
  EXPECT_EQ(count_rounds<int>(loop(), round, other, count), 0u);
}

Coro<int> leaf(int value) {
  co_return value + 1;
}
Coro<int> branch(int value) {
  const int once = co_await leaf(value);
  co_await sleep(0s);
  co_return co_await leaf(once);
}

TEST_F(Allocations, AwaitingCoroutinesTakesNone) {
  const auto round = [](int& count) -> Coro<> { count = co_await branch(count); };
  const auto other = [](int&) -> Coro<> { co_await sleep(1h); };
  int count = 0;
  EXPECT_EQ(count_rounds<int>(loop(), round, other, count), 0u);
  EXPECT_EQ(count, 2 * (kWarmUp + kMessages));
}

TEST_F(Allocations, ThisProgramCountsThem) {
  const std::size_t before = allocations();
  const auto text = std::make_unique<std::string>(100, 'x');
  EXPECT_EQ(allocations() - before, 2u) << text->size();
}

}  // namespace
}  // namespace ferry::test
