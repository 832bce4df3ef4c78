// open_connection and start_server: how streams come about, and who ends them.

#include "streams_fixture.h"

#include <ferry/gather.h>

#include <gtest/gtest.h>

#include <algorithm>

namespace ferry::test {
namespace {

class Connections : public StreamsFixture {
 protected:
  void run_until_empty(const Server& server) {
    run_until([&] { return server.connections() == 0; });
  }
  void finish_server(const std::shared_ptr<Server>& server) {
    server->close();
    wait(server->wait_closed());
  }
};
INSTANTIATE_WORLDS(Connections);

/// Sends `text`, reads as much back, closes.
Coro<std::string> ask(Stream stream, std::string text) {
  stream.writer.write(text);
  co_await stream.writer.drain();
  std::string answer = co_await stream.reader.readexactly(text.size());
  stream.writer.close();
  co_await stream.writer.wait_closed();
  co_return answer;
}

Coro<std::string> dial_and_ask(Address address, std::string text) {
  Stream stream = co_await open_connection(to(address));
  co_return co_await ask(std::move(stream), std::move(text));
}

void echo_in_a_task(StreamReader reader, StreamWriter writer) {
  static_cast<void>(create_task(echo(std::move(reader), std::move(writer))));
}

// -- coming about

TEST_P(Connections, ACoroutineServesAConnection) {
  const auto server = serve_streams(echo);
  const std::string text = pattern(300'000);
  EXPECT_TRUE(run(ask(dial_stream(*server), text)) == text);
  run_until_empty(*server);
  finish_server(server);
}

TEST_P(Connections, AFunctionServesAConnection) {
  const auto server = serve_streams(echo_in_a_task);
  const std::string text = pattern(300'000);
  EXPECT_TRUE(run(ask(dial_stream(*server), text)) == text);
  run_until_empty(*server);
  finish_server(server);
}

TEST_P(Connections, C0584_TheSameOnAUnixPath) {
  for (const StreamHandler& handler : {StreamHandler(echo), StreamHandler(echo_in_a_task)}) {
    const std::string path = unused_unix_address().path();
    const auto server = run(start_unix_server(handler, path));
    Stream stream = run(open_unix_connection(path));
    EXPECT_EQ(run(ask(std::move(stream), "over a unix socket")), "over a unix socket");
    run_until_empty(*server);
    finish_server(server);
  }
}

TEST_P(Connections, HostsPortsAndPathsMayBeTemporary) {
  const auto body = []() -> Coro<std::string> {
    const auto server = co_await start_server(echo, std::string("127.0.0.1"), 0);
    Coro<Stream> opening = open_connection(std::string("127.0.0.1"), server->port());
    Stream stream = co_await std::move(opening);
    std::string answer = co_await ask(std::move(stream), "by name and number");
    server->close();
    co_await server->wait_closed();
    co_return answer;
  };
  EXPECT_EQ(run(body()), "by name and number");
}

TEST_P(Connections, ANameIsLookedUp) {
  const auto resolver = std::make_shared<ScriptedResolver>();
  loop().set_resolver(resolver);
  resolver->names["stream.test"] = {*Address::ip("127.0.0.1", 0)};
  const auto server = serve_streams(echo);
  const Address address = server->sockets().at(0);
  resolver->names["stream.test"] = {address};
  Stream stream = run(open_connection("stream.test", address.port()));
  EXPECT_EQ(run(ask(std::move(stream), "found")), "found");
  EXPECT_THROW(run(open_connection("nobody.test", address.port())), ResolveError);
  finish_server(server);
}

TEST_P(Connections, ARefusedConnectionIsAnError) {
  const std::uint16_t port = free_port();
  const IoError refused = failure_of<IoError>(open_connection("127.0.0.1", port));
  EXPECT_EQ(refused.code(), std::errc::connection_refused);
  const std::string path = unused_unix_address().path();
  EXPECT_THROW(run(open_unix_connection(path)), IoError);
}

TEST_P(Connections, AnAddressInUseIsAnError) {
  const auto server = serve_streams(echo);
  const IoError taken = failure_of<IoError>(start_server(echo, "127.0.0.1", server->port()));
  EXPECT_EQ(taken.code(), std::errc::address_in_use);
  finish_server(server);
}

TEST_P(Connections, LimitsReachBothReaders) {
  const auto long_line = [](StreamReader reader, StreamWriter writer) -> Coro<> {
    try {
      co_await reader.readline();
    } catch (const LimitOverrunError&) {
      writer.write("too long for the server\n");
    }
    co_await writer.drain();
    writer.close();
  };
  const auto server = serve_streams(long_line, 100);
  Stream stream = dial_stream(*server, 10);
  stream.writer.write(pattern(101));
  EXPECT_THROW(run(readline(stream.reader)), LimitOverrunError);
  run(close_stream(stream.writer));
  finish_server(server);
}

TEST_P(Connections, C0585_AConnectionThatNobodyAwaitsIsNotMade) {
  const auto server = serve_streams(echo);
  const std::size_t before = open_sockets();
  {
    const Coro<Stream> never = open_connection(to(server->sockets().at(0)));
    const Coro<std::shared_ptr<Server>> neither = start_server(echo, "127.0.0.1", 0);
  }
  settle();
  EXPECT_EQ(open_sockets(), before);
  EXPECT_EQ(server->connections(), 0u);
  finish_server(server);
}

TEST_P(Connections, C0585_AStreamThatNobodyTakesIsClosed) {
  const auto server = serve_streams(echo);
  {
    const Task<Stream> task = start(open_connection(to(server->sockets().at(0))));
    finish(task);
  }
  run_until_empty(*server);
  finish_server(server);
}

// -- cancelled while it comes about

TEST_P(Connections, CancellingOpenConnectionLeavesNothingOpen) {
  const auto resolver = std::make_shared<ScriptedResolver>();
  loop().set_resolver(resolver);
  const auto server = serve_streams(echo);
  resolver->names["stream.test"] = {server->sockets().at(0)};
  const std::uint16_t port = server->port();
  const std::size_t before = open_sockets();
  const int points =
      cancel_at_each_turn([&] { return start(open_connection("stream.test", port)); },
                          [&](const Task<Stream>& task) {
                            if (!task.cancelled()) {
                              run(close_stream(task.result().writer));
                            }
                            run_until([&] { return server->connections() == 0; });
                            settle();
                            EXPECT_EQ(open_sockets(), before);
                            EXPECT_EQ(loop().stats().operations, 0u);
                          });
  EXPECT_GE(points, 2);
  EXPECT_EQ(run(dial_and_ask(server->sockets().at(0), "still serves")), "still serves");
  finish_server(server);
}

TEST_P(Connections, CancellingOpenUnixConnectionLeavesNothingOpen) {
  const std::string path = unused_unix_address().path();
  const auto server = run(start_unix_server(echo, path));
  const std::size_t before = open_sockets();
  const int points = cancel_at_each_turn([&] { return start(open_unix_connection(path)); },
                                         [&](const Task<Stream>& task) {
                                           if (!task.cancelled()) {
                                             run(close_stream(task.result().writer));
                                           }
                                           run_until([&] { return server->connections() == 0; });
                                           settle();
                                           EXPECT_EQ(open_sockets(), before);
                                         });
  EXPECT_GE(points, 1);
  finish_server(server);
}

TEST_P(Connections, CancellingStartServerLeavesNothingOpen) {
  const std::size_t before = open_sockets();
  const int points = cancel_at_each_turn([&] { return start(start_server(echo, "127.0.0.1", 0)); },
                                         [&](const Task<std::shared_ptr<Server>>& task) {
                                           if (!task.cancelled()) finish_server(task.result());
                                           settle();
                                           EXPECT_EQ(open_sockets(), before);
                                           EXPECT_EQ(loop().stats().servers, 0u);
                                         });
  EXPECT_GE(points, 1);
}

// -- what handlers do

TEST_P(Connections, C0580_AHandlerThatThrowsIsReportedAndItsConnectionClosed) {
  const auto failing = [](StreamReader reader, StreamWriter writer) -> Coro<> {
    writer.write("a last word\n");
    const std::string line = co_await reader.readline();
    throw TestError("cannot " + line);
  };
  const auto server = serve_streams(failing);
  Stream stream = dial_stream(*server);
  stream.writer.write("serve\n");
  EXPECT_EQ(run(read(stream.reader)), "a last word\n");
  run_until_empty(*server);
  const std::vector<ExceptionContext> reported = take_exceptions();
  ASSERT_EQ(reported.size(), 1u);
  EXPECT_EQ(reported[0].message, "Unhandled exception in client_connected_cb");
  EXPECT_EQ(what(reported[0].exception), "cannot serve\n");
  run(close_stream(stream.writer));
  finish_server(server);
}

TEST_P(Connections, C0580_AHandlerThatThrowsKeepsNothingEvenIfItsWriterIsKept) {
  // Somebody else holds the writer: the connection ends all the same.
  const auto fail = [](StreamWriter writer, std::optional<StreamWriter>* keep) -> Coro<> {
    *keep = std::move(writer);
    co_await sleep(0s);
    throw TestError("no");
  };
  std::optional<StreamWriter> kept;
  const auto failing = [fail, keep = &kept](StreamReader, StreamWriter writer) {
    return fail(std::move(writer), keep);
  };
  const auto server = serve_streams(failing);
  Stream stream = dial_stream(*server);
  EXPECT_EQ(run(read(stream.reader)), "");
  EXPECT_TRUE(kept->is_closing());
  EXPECT_EQ(take_exceptions().size(), 1u);
  kept.reset();
  run(close_stream(stream.writer));
  finish_server(server);
}

TEST_P(Connections, C0580_AFunctionThatThrowsEndsItsConnection) {
  const auto failing = [](StreamReader, StreamWriter) { throw TestError("not today"); };
  const auto server = serve_streams(failing);
  Stream stream = dial_stream(*server);
  run(outcome_of(read(stream.reader)));
  run_until_empty(*server);
  const std::vector<ExceptionContext> reported = take_exceptions();
  ASSERT_EQ(reported.size(), 1u);
  EXPECT_EQ(what(reported[0].exception), "not today");
  run(close_stream(stream.writer));
  finish_server(server);
}

TEST_P(Connections, C0581_AHandlerThatIsCancelledClosesSilently) {
  const auto waiting = [](StreamReader reader, StreamWriter writer) -> Coro<> {
    writer.write("ready\n");
    co_await reader.read();
  };
  const auto server = serve_streams(waiting);
  Stream stream = dial_stream(*server);
  EXPECT_EQ(run(readline(stream.reader)), "ready\n");
  const std::vector<TaskCore*> tasks = all_tasks(loop());
  ASSERT_EQ(tasks.size(), 1u);
  tasks[0]->cancel("enough");
  EXPECT_EQ(run(read(stream.reader)), "");
  run_until_empty(*server);
  EXPECT_EQ(take_exceptions().size(), 0u);
  run(close_stream(stream.writer));
  finish_server(server);
}

TEST_P(Connections, C0581_AHandlerThatIsCancelledClosesEvenIfItsWriterIsKept) {
  const auto serve = [](StreamReader reader, StreamWriter writer,
                        std::optional<StreamWriter>* keep) -> Coro<> {
    *keep = std::move(writer);
    co_await reader.read();
  };
  std::optional<StreamWriter> kept;
  const auto waiting = [serve, keep = &kept](StreamReader reader, StreamWriter writer) {
    return serve(std::move(reader), std::move(writer), keep);
  };
  const auto server = serve_streams(waiting);
  Stream stream = dial_stream(*server);
  run_until([&] { return kept.has_value(); });
  for (TaskCore* task : all_tasks(loop())) task->future().cancel("enough");
  EXPECT_EQ(run(read(stream.reader)), "");
  EXPECT_TRUE(kept->is_closing());
  run_until_empty(*server);
  kept.reset();
  run(close_stream(stream.writer));
  finish_server(server);
}

TEST_P(Connections, AHandlerThatReturnsDropsItsWriterAndSoCloses) {
  const auto brief = [](StreamReader reader, StreamWriter writer) -> Coro<> {
    std::string greeting = "hello ";
    greeting += co_await reader.readline();
    writer.write(greeting);
  };
  const auto server = serve_streams(brief);
  Stream stream = dial_stream(*server);
  stream.writer.write("you\n");
  EXPECT_EQ(run(read(stream.reader)), "hello you\n");
  run_until_empty(*server);
  run(close_stream(stream.writer));
  finish_server(server);
}

// -- servers

TEST_P(Connections, ClosingAServerLeavesItsHandlersAtWork) {
  const auto server = serve_streams(echo);
  Stream stream = dial_stream(*server);
  run(send(stream.writer, "before"));
  EXPECT_EQ(run(readexactly(stream.reader, 6)), "before");
  server->close();
  const Future<void> closed = server->wait_closed();
  settle();
  EXPECT_FALSE(closed.done());
  run(send(stream.writer, "after"));
  EXPECT_EQ(run(readexactly(stream.reader, 5)), "after");
  run(close_stream(stream.writer));
  wait(closed);
}

Coro<> serve_requests(StreamReader reader, StreamWriter writer) {
  int served = 0;
  try {
    while (const std::optional<std::string> request = co_await reader.next_line()) {
      co_await sleep(0s);
      std::string answer = std::to_string(++served);
      answer += " ";
      answer += *request;
      writer.write(answer);
      co_await writer.drain();
    }
  } catch (const IoError&) {
    // Closed by the server in the middle of a request: asyncio's drain throws, too.
  }
  writer.close();
}

Coro<int> make_requests(Stream stream, int* all_served) {
  int served = 0;
  try {
    for (;;) {
      stream.writer.write("request\n");
      co_await stream.writer.drain();
      const std::optional<std::string> answer = co_await stream.reader.next_line();
      if (!answer) break;
      if (*answer != std::to_string(served + 1) + " request\n") break;
      ++served;
      ++*all_served;
    }
  } catch (const std::system_error&) {
    // A request crossed the server's close.
  }
  co_return served;
}

TEST_P(Connections, C0642_ARequestServerShutsDownInGoodOrder) {
  const auto server = serve_streams(serve_requests);
  std::vector<Task<int>> clients;
  int served = 0;
  for (int i = 0; i < 10; ++i) {
    clients.push_back(start(make_requests(dial_stream(*server), &served)));
  }
  run_until([&] { return served >= 500; });
  for (const Task<int>& client : clients) EXPECT_FALSE(client.done());
  server->close();
  server->close_clients();
  wait(server->wait_closed());
  for (const Task<int>& client : clients) {
    finish(client);
    EXPECT_GT(client.result(), 0);
  }
  run_until([&] { return loop().stats().tasks == 0; });
}

TEST_P(Connections, DrainingAServerWaitsForItsHandlers) {
  const auto server = serve_streams(echo);
  Stream polite = dial_stream(*server);
  Stream stubborn = dial_stream(*server);
  run(send(polite.writer, "x"));
  run(send(stubborn.writer, "x"));
  EXPECT_EQ(run(readexactly(polite.reader, 1)), "x");
  EXPECT_EQ(run(readexactly(stubborn.reader, 1)), "x");
  const Future<std::size_t> drained = server->drain(500ms);
  run(close_stream(polite.writer));
  EXPECT_FALSE(drained.done());
  EXPECT_EQ(wait(drained), 1u);
  run(outcome_of(read(stubborn.reader)));
  run(close_stream(stubborn.writer));
}

TEST_P(Connections, ALoopThatClosesEndsHandlersAndStreams) {
  auto server = serve_streams(echo);
  std::vector<Stream> streams;
  for (int i = 0; i < 5; ++i) streams.push_back(dial_stream(*server));
  static_cast<void>(start(read(streams[0].reader)));
  settle();
  server.reset();
  close_loop();  // checks that nothing is left
  EXPECT_EQ(take_exceptions().size(), 6u) << "each task was told of as pending";
}

TEST_P(Connections, ATaskThatReadsMayLeaveTheLoop) {
  const auto body = [](StreamReader reader) -> Coro<> {
    const std::string byte = co_await reader.readexactly(1);
    throw LoopExit{byte == "x" ? 7 : 0};
  };
  FarStream stream = open_stream();
  const Task<> task = start(body(stream.reader));
  settle();
  stream.peer->send("x");
  TimerHandle limit = loop().call_later(10s, [this] { loop().stop(); });
  int code = 0;
  try {
    loop().run_forever();
  } catch (const LoopExit& exit) {
    code = exit.code;
  }
  limit.cancel();
  EXPECT_EQ(code, 7);
  ASSERT_TRUE(task.done());
  EXPECT_EQ(failure_text(task), "something else");
  // The loop is as good as before.
  settle();
  run(close_stream(stream.writer));
}

TEST_P(Connections, C0641_AThousandConnectionsOneAfterTheOtherLeaveNothing) {
  const auto server = serve_streams(echo);
  const std::size_t before = open_sockets();
  const std::size_t futures = loop().stats().futures;
  const auto body = [](Address address) -> Coro<int> {
    int good = 0;
    for (int i = 0; i < 1000; ++i) {
      std::string text = "message ";
      text += std::to_string(i);
      const std::string answer = co_await dial_and_ask(address, text);
      good += answer == text ? 1 : 0;
    }
    co_return good;
  };
  const Task<int> task = start(body(server->sockets().at(0)));
  run_until([&] { return task.done(); }, 60s);
  EXPECT_EQ(task.result(), 1000);
  run_until_empty(*server);
  settle();
  EXPECT_EQ(open_sockets(), before);
  EXPECT_EQ(loop().stats().tasks, 0u);
  EXPECT_EQ(loop().stats().futures, futures + 1) << "the test's own task";
  finish_server(server);
}

TEST_P(Connections, C0641_AThousandConnectionsAtOnce) {
  ListenOptions options = on_loopback();
  options.backlog = 1000;
  const auto server = run(start_server(echo, options));
  const auto body = [](Address address) -> Coro<std::size_t> {
    std::vector<Coro<std::string>> calls;
    for (int i = 0; i < 1000; ++i) calls.push_back(dial_and_ask(address, std::to_string(i)));
    const std::vector<std::string> answers = co_await gather(std::move(calls));
    std::size_t good = 0;
    for (std::size_t i = 0; i < answers.size(); ++i) good += answers[i] == std::to_string(i);
    co_return good;
  };
  const Task<std::size_t> task = start(body(server->sockets().at(0)));
  run_until([&] { return task.done(); }, 60s);
  EXPECT_EQ(task.result(), 1000u);
  run_until_empty(*server);
  finish_server(server);
}

}  // namespace
}  // namespace ferry::test
