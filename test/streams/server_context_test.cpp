// A server as a context: what `with` does on the way out.

#include "task_fixture.h"

#include <ferry/async_context.h>
#include <ferry/streams.h>

#include <memory>
#include <string>
#include <vector>

namespace ferry::test {
namespace {

Coro<> answer_once(StreamReader reader, StreamWriter writer) {
  const std::string line = co_await reader.readline();
  writer.write(line);
  co_await writer.drain();
  writer.close();
}

Coro<std::string> ask(std::shared_ptr<Server> server, std::string line) {
  const Stream stream = co_await open_connection("127.0.0.1", server->port());
  stream.writer.write(line);
  co_await stream.writer.drain();
  co_return co_await stream.reader.readline();
}

class ServerContexts : public TaskTest {
 protected:
  std::shared_ptr<Server> serve() { return run(start_server(answer_once, "127.0.0.1", 0)); }
  void expect_closed(const Server& server) {
    EXPECT_FALSE(server.is_serving());
    EXPECT_TRUE(server.sockets().empty());
    EXPECT_EQ(server.connections(), 0u);
  }
};
INSTANTIATE_TEST_SUITE_P(Worlds, ServerContexts, ::testing::ValuesIn(kWorlds), world_name);

TEST_P(ServerContexts, TheBodyIsGivenTheServerAndItsResultIsTheResult) {
  const auto server = serve();
  EXPECT_EQ(run(with(server, ask, std::string("hello\n"))), "hello\n");
  expect_closed(*server);
}

TEST_P(ServerContexts, WhateverTheBodyThrowsTheServerIsClosed) {
  const auto fail = [](std::shared_ptr<Server> server) -> Coro<> {
    EXPECT_TRUE(server->is_serving());
    co_await sleep(0s);
    throw TestError("the body's");
  };
  const auto server = serve();
  EXPECT_THROW(run(with(server, fail)), TestError);
  expect_closed(*server);
}

TEST_P(ServerContexts, ItWaitsForConnectionsThatAreStillOpen) {
  const auto leave_one_open = [](std::shared_ptr<Server> server,
                                 std::vector<Stream>* streams) -> Coro<> {
    streams->push_back(co_await open_connection("127.0.0.1", server->port()));
    while (server->connections() == 0) co_await sleep(1ms);
  };
  const auto server = serve();
  std::vector<Stream> streams;
  const auto task = start(with(server, leave_one_open, &streams));
  run_until([&] { return !server->is_serving(); });
  run_for(20ms);
  EXPECT_FALSE(task.done());
  ASSERT_EQ(streams.size(), 1u);
  streams[0].writer.write("bye\n");
  finish(task);
  expect_closed(*server);
}

TEST_P(ServerContexts, ABodyThatIsCancelledClosesItToo) {
  const auto wait_for_ever = [](std::shared_ptr<Server>) -> Coro<> { co_await sleep(1h); };
  const auto server = serve();
  const auto task = start(with(server, wait_for_ever));
  tick(3);
  EXPECT_TRUE(server->is_serving());
  task.cancel("stop");
  finish(task);
  EXPECT_EQ(cancel_message(task), "stop");
  expect_closed(*server);
}

}  // namespace
}  // namespace ferry::test
