// Servers that close while their handlers are at work, handlers that throw.

#include "scenarios.h"
#include "stream_world.h"
#include "task_probe.h"

#include <chrono>

namespace ferry::test {

namespace {

using namespace std::chrono_literals;
using testing::Trial;

constexpr Carrier kTwo[] = {Carrier::tcp, Carrier::tls};
constexpr Carrier kThree[] = {Carrier::tcp, Carrier::unix_socket, Carrier::tls};

/// Runs it to its end, which may be any that a connection can come to.
Coro<> ends_somehow(Trial* trial, Coro<> work) {
  try {
    co_await std::move(work);
  } catch (const std::system_error&) {
  } catch (const IncompleteReadError&) {
  } catch (const std::exception& error) {
    trial->complain(std::string("a task threw: ") + error.what());
  }
}

// -- a server ends

struct Ending {
  explicit Ending(ScenePtr s) : scene(std::move(s)) {}
  const ScenePtr scene;
  std::size_t handlers = 0;
  std::size_t draining = 0;  // of them, those that wait for room
};
using EndingPtr = std::shared_ptr<Ending>;

Coro<> echo_until_end(EndingPtr ending, Stream stream) {
  struct Counted {
    std::size_t& count;
    explicit Counted(std::size_t& c) : count(c) { ++count; }
    ~Counted() { --count; }
  };
  const Counted counted(ending->handlers);
  stream.writer.transport()->set_write_buffer_limits(500);
  while (const auto line = co_await stream.reader.next_line()) {
    stream.writer.write(*line);
    const Counted waiting(ending->draining);
    co_await stream.writer.drain();
  }
  stream.writer.close();
  co_await stream.writer.wait_closed();
}

/// Asks until the server has had enough.
Coro<> ask_until_end(EndingPtr ending, bool reads) {
  const Stream stream = co_await dial(ending->scene);
  const std::size_t most = reads ? 2000 : 20'000;
  const std::string line = std::string(ending->scene->lot.between(1, most), 'q') + "\n";
  for (int i = 0; i < 200; ++i) {
    stream.writer.write(line);
    co_await wait_for(stream.writer.drain(), ending->scene->patience());
    if (!reads) {
      // The answers fill the pipes, and the handler has to wait.
      co_await sleep(1ms);
      if (stream.reader.at_eof() || stream.writer.is_closing()) break;
      continue;
    }
    const std::string answer =
        co_await wait_for(stream.reader.readexactly(line.size()), ending->scene->patience());
    if (answer != line) ending->scene->trial.complain("another answer");
    co_await sleep(ending->scene->lot.below(3) * 1ms);
  }
  co_await leave(ending->scene, stream);
}

Coro<> end_server(EndingPtr ending) {
  const ScenePtr scene = ending->scene;
  Trial& trial = scene->trial;
  Server& server = *scene->server;
  if (ending->handlers > 0) trial.reached("Server::close while handlers are at work");
  if (ending->draining > 0) trial.reached("Server::close while a handler drains");
  const std::size_t kind = scene->lot.below(4);
  server.close();
  if (kind == 1) server.close_clients();
  if (kind == 2) server.abort_clients();
  if (kind == 3) co_await sleep(scene->lot.below(5) * 1ms);
  const std::size_t aborted = co_await server.drain(scene->lot.below(50) * 1ms);
  if (aborted > 0) trial.reached("Server::drain aborts a connection");
  if (server.connections() != 0) trial.complain("drain left connections");
  co_await server.wait_closed();
  bool connected = false;
  try {
    const Stream late = co_await dial(scene);
    connected = true;
  } catch (const std::system_error&) {
  }
  if (connected) trial.complain("a connection to a server that is closed");
}

Coro<> one_question(ScenePtr scene) {
  const Stream stream = co_await dial(scene);
  stream.writer.write("how are you?\n");
  const std::string answer = co_await wait_for(stream.reader.readline(), scene->patience());
  if (answer != "how are you?\n") throw IncompleteReadError(answer, 13);
  co_await leave(scene, stream);
}

Coro<> close_and_reopen(ScenePtr scene) {
  const auto ending = std::make_shared<Ending>(scene);
  const StreamHandler handler = [ending](StreamReader reader, StreamWriter writer) {
    return ends_somehow(&ending->scene->trial,
                        echo_until_end(ending, Stream(std::move(reader), std::move(writer))));
  };
  scene->client_limit = 500;
  scene->server = co_await listen(scene, handler);
  std::vector<Task<>> clients;
  for (std::size_t i = scene->lot.between(1, 3); i > 0; --i) {
    clients.push_back(
        create_task(ends_somehow(&scene->trial, ask_until_end(ending, scene->lot.permille(600)))));
  }
  co_await sleep(scene->lot.below(60) * 1ms);
  co_await end_server(ending);
  for (const Task<>& each : clients) co_await each;
  scene->trial.heal();
  scene->server = co_await listen(scene, handler);
  co_await must(&scene->trial, "a new server", one_question(scene));
  scene->server->close();
  co_await scene->server->drain(10s);
}

Coro<> reported_scene(ScenePtr scene, Coro<> work) {
  co_await reporting(&scene->trial, std::move(work));
  if (scene->server) {
    scene->server->close();
    scene->server->abort_clients();
  }
}

void play_scene(Trial& trial, Carrier carrier, Coro<> (*program)(ScenePtr)) {
  const auto scene = std::make_shared<Scene>(trial, carrier);
  play_out(trial, reported_scene(scene, program(scene)));
  scene->server = nullptr;
}

void server_close(Trial& trial, Carrier carrier) {
  play_scene(trial, carrier, close_and_reopen);
}

// -- handlers that throw

struct Oops : std::runtime_error {
  Oops() : std::runtime_error("oops") {}
};

struct Throwing {
  explicit Throwing(ScenePtr s) : scene(std::move(s)) {}
  const ScenePtr scene;
  std::size_t thrown = 0;
  std::size_t reported = 0;
  std::size_t left_hanging = 0;
};
using ThrowingPtr = std::shared_ptr<Throwing>;

/// "boom" makes it throw.
Coro<> answer_or_throw(ThrowingPtr throwing, Stream stream) {
  const std::string line = co_await stream.reader.readline();
  if (line == "boom\n") {
    ++throwing->thrown;
    if (throwing->scene->lot.permille(300)) stream.writer.write("wait");
    throw Oops();
  }
  stream.writer.write(line);
  co_await leave(throwing->scene, stream);
}

Coro<> catch_io(ThrowingPtr throwing, Stream stream) {
  try {
    co_await answer_or_throw(throwing, stream);
  } catch (const std::system_error& error) {
    throwing->scene->trial.report(error.what());
  }
}

Coro<> ask_or_provoke(ThrowingPtr throwing) {
  const ScenePtr scene = throwing->scene;
  const bool provoke = scene->lot.permille(500);
  const std::string line = provoke ? "boom\n" : "hello\n";
  const Stream stream = co_await dial(scene);
  stream.writer.write(line);
  const std::string answer = co_await wait_for(stream.reader.read(), scene->patience());
  if (provoke) {
    if (!answer.empty() && answer != "wait") scene->trial.complain("an answer to boom");
  } else if (answer != line) {
    throw IncompleteReadError(answer, line.size());
  }
  co_await leave(scene, stream);
}

Coro<> ask_all(ScenePtr scene) {
  const auto throwing = std::make_shared<Throwing>(scene);
  scene->trial.loop().set_exception_handler(
      [throwing](EventLoop&, const ExceptionContext& context) {
        try {
          if (context.exception) std::rethrow_exception(context.exception);
        } catch (const Oops&) {
          ++throwing->reported;
          throwing->scene->trial.reached("a stream handler throws");
          return;
        } catch (...) {
        }
        throwing->scene->trial.report(context.to_string());
      });
  const StreamHandler handler = [throwing](StreamReader reader, StreamWriter writer) {
    return catch_io(throwing, Stream(std::move(reader), std::move(writer)));
  };
  scene->server = co_await listen(scene, handler);
  for (int round = 0; round < 2; ++round) {
    std::vector<Task<bool>> tasks;
    for (std::size_t i = scene->lot.between(1, 3); i > 0; --i) {
      tasks.push_back(create_task(reporting(&scene->trial, ask_or_provoke(throwing))));
    }
    for (const Task<bool>& task : tasks) {
      const bool well = co_await task;
      if (!well && round == 1) scene->trial.complain("it did not work after all was healed");
    }
    scene->trial.heal();
  }
  scene->server->close();
  co_await scene->server->drain(10s);
  co_await sleep(0s);
  if (throwing->thrown != throwing->reported) {
    scene->trial.complain("exceptions of handlers were not reported, or twice");
  }
}

void throwing_handlers(Trial& trial, Carrier carrier) {
  play_scene(trial, carrier, ask_all);
}

}  // namespace

void add_stream_server_scenarios(std::vector<testing::Scenario>& all) {
  add(all, "stream-server-close", kThree, server_close);
  add(all, "stream-throwing-handlers", kTwo, throwing_handlers);
}

}  // namespace ferry::test
