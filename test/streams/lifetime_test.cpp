// Who may go first: loops, handlers, lent bytes; and what must not run inside a call.

#include "streams_fixture.h"
#include "test_certificates.h"

#include <ferry/async_generator.h>
#include <ferry/event.h>
#include <ferry/tls.h>

#include <gtest/gtest.h>

namespace ferry::test {
namespace {

class StreamLifetimes : public StreamsFixture {};
INSTANTIATE_TEST_SUITE_P(Worlds, StreamLifetimes, ::testing::ValuesIn(kWorlds), world_name);

AsyncGenerator<std::string> lines(StreamReader reader) {
  for (;;) co_yield co_await reader.readline();
}
AsyncGenerator<int> alarms(Event* event) {
  co_await event->wait();
  co_yield 1;
}
template <class T>
Coro<> next_of(AsyncGenerator<T>* generator) {
  co_await generator->next();
}

/// Lets `generator` wait in a task of a loop that then goes.
template <class T>
void outlive_a_loop(World world, AsyncGenerator<T>& generator) {
  EventLoop loop(make_kernel(world));
  loop.set_exception_handler([](EventLoop&, const ExceptionContext&) {});  // a pending task
  create_task(loop, next_of(&generator));
  run_until_complete(loop, sleep(Duration::zero()));
  run_until_complete(loop, sleep(Duration::zero()));
}

TEST_P(StreamLifetimes, AReadInAGeneratorOutlivesItsLoopAndIsWokenByNobody) {
  const StreamReader reader;
  AsyncGenerator<std::string> generator = lines(reader);
  outlive_a_loop(world(), generator);
  reader.feed_data("too late\n");
  reader.feed_eof();
}

TEST_P(StreamLifetimes, AWaitForAnEventInAGeneratorOutlivesItsLoopAndIsWokenByNobody) {
  Event event;
  AsyncGenerator<int> generator = alarms(&event);
  outlive_a_loop(world(), generator);
  event.set();
  event.clear();
  const Task<> another = start(next_of(&generator));
  EXPECT_TRUE(another.cancel());
  finish(another);
}

TEST_P(StreamLifetimes, AHandlersCapturesLiveUntilItsLastCoroutineHasEnded) {
  struct Serve {
    std::shared_ptr<std::string> greeting;
    Coro<> operator()(StreamReader reader, StreamWriter writer) {
      co_await reader.readline();
      writer.write(*greeting);
      co_await close_stream(writer);
    }
  };
  auto greeting = std::make_shared<std::string>("hello\n");
  const std::weak_ptr<std::string> watched = greeting;
  Serve serve{std::move(greeting)};
  auto server = serve_streams(std::move(serve));
  const Stream stream = dial_stream(*server);
  run_until([&] { return server->connections() == 1; });
  server->close();
  server.reset();
  run(send(stream.writer, "now\n"));
  EXPECT_EQ(run(readline(stream.reader)), "hello\n");
  run(close_stream(stream.writer));
  run_until([&] { return loop().stats().tasks == 0 && loop().stats().transports == 0; });
  tick();
  EXPECT_TRUE(watched.expired());
}

TEST_P(StreamLifetimes, C0572_ADrainWhileClosingTellsOfTheLoss) {
  const StreamCouple couple = open_streams();
  couple.near.writer.close();
  const auto drain_on = [](StreamWriter writer) -> Coro<> {
    for (;;) co_await writer.drain();
  };
  EXPECT_EQ(failure_of<std::system_error>(drain_on(couple.near.writer)).code(),
            std::errc::connection_reset);
  run(close_stream(couple.far.writer));
}

Coro<> upgrade_of(StreamWriter writer, std::shared_ptr<TlsContext> context, TlsOptions options) {
  co_await writer.start_tls(std::move(context), std::move(options));
}

TlsOptions no_name() {
  TlsOptions options;
  options.server_hostname = "";
  return options;
}

TEST_P(StreamLifetimes, LentBytesStayThroughStartTls) {
  const auto upgrade_by_view = [](Stream stream,
                                  std::shared_ptr<TlsContext> context) -> Coro<std::string> {
    const BytesView command = co_await stream.reader.readline_view();
    co_await stream.writer.start_tls(std::move(context));
    std::string seen(command.text());
    co_return seen;
  };
  const StreamCouple couple = open_streams();
  run(send(couple.near.writer, "STARTTLS\n"));
  const Task<std::string> served = start(upgrade_by_view(couple.far, server_context()));
  run(upgrade_of(couple.near.writer, client_context(), no_name()));
  finish(served);
  EXPECT_EQ(served.result(), "STARTTLS\n");
  const Task<> closing = start(close_stream(couple.near.writer));
  EXPECT_EQ(run(read(couple.far.reader)), "");
  run(close_stream(couple.far.writer));
  finish(closing);
}

TEST_P(StreamLifetimes, StartTlsIsRefusedWhileATaskReads) {
  const StreamCouple couple = open_streams();
  const Task<std::string> reading = start(readline(couple.near.reader));
  settle();
  EXPECT_THROW(run(upgrade_of(couple.near.writer, client_context(), no_name())), std::logic_error);
  run(send(couple.far.writer, "in plain text\n"));
  finish(reading);
  EXPECT_EQ(reading.result(), "in plain text\n");
  run(close_stream(couple.near.writer));
  run(close_stream(couple.far.writer));
}

}  // namespace
}  // namespace ferry::test
