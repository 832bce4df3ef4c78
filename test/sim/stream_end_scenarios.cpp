// start_tls that is given up half way, and servers as contexts whose bodies are cancelled.

#include "scenarios.h"
#include "stream_world.h"
#include "task_probe.h"

#include <chrono>

namespace ferry::test {

namespace {

using namespace std::chrono_literals;
using testing::Trial;

// -- start_tls in too little time

Coro<> upgrade_and_echo(ScenePtr scene, Stream stream) {
  const std::string line = co_await wait_for(stream.reader.readuntil(), scene->patience());
  if (line != "STARTTLS\n") scene->trial.complain("another line than was sent");
  stream.writer.write("go ahead\n");
  co_await stream.writer.start_tls(server_side(Carrier::tls));
  while (const auto text = co_await wait_for(stream.reader.next_line(), scene->patience())) {
    stream.writer.write(*text);
    co_await wait_for(stream.writer.drain(), scene->patience());
  }
  co_await leave(scene, stream);
}

/// The other end may have given up.
Coro<> serve_quitters(ScenePtr scene, VisitPtr visit, Stream stream) {
  try {
    co_await upgrade_and_echo(scene, stream);
  } catch (const std::system_error&) {
    visit->told = true;
  } catch (const IncompleteReadError&) {
    visit->told = true;
  }
}

Coro<> has_ended(ScenePtr scene, Stream stream) {
  try {
    co_await wait_for(stream.writer.wait_closed(), scene->patience());
  } catch (const TimeoutError&) {
    scene->trial.complain("start_tls was given up, and the connection lives on");
  } catch (const std::system_error&) {
  }
}

Coro<> upgrade_in_haste(ScenePtr scene, VisitPtr visit, Stream stream) {
  stream.writer.write("STARTTLS\n");
  const std::string line = co_await wait_for(stream.reader.readuntil(), scene->patience());
  if (line != "go ahead\n") scene->trial.complain("another line than was sent");
  TlsOptions options;
  options.server_hostname = "localhost";
  std::optional<Duration> little;
  if (!scene->trial.healed()) little = scene->lot.below(8) * 200us;
  Timeout limit(little);
  bool given_up = false;
  try {
    co_await limit.run(stream.writer.start_tls(client_side(Carrier::tls), std::move(options)));
  } catch (const TimeoutError&) {
    if (!limit.expired()) throw;
    given_up = true;
  }
  if (given_up) {
    if (little > Duration::zero()) scene->trial.reached("timeout in start_tls");
    visit->told = true;
    co_return co_await has_ended(scene, stream);
  }
  stream.writer.write("now in secret\n");
  const std::string answer = co_await wait_for(stream.reader.readline(), scene->patience());
  if (answer != "now in secret\n") throw IncompleteReadError(answer, 14);
  co_await leave(scene, stream);
}

void hasty_upgrades(Trial& trial, Carrier carrier) {
  play_streams(trial, carrier, {.serve = serve_quitters, .call = upgrade_in_haste, .visits = 2});
}

// -- servers as contexts

Coro<> echo_quietly(ScenePtr scene, StreamReader reader, StreamWriter writer) {
  try {
    while (const auto line = co_await wait_for(reader.next_line(), scene->patience())) {
      writer.write(*line);
      co_await wait_for(writer.drain(), scene->patience());
    }
    writer.close();
    co_await writer.wait_closed();
  } catch (const std::system_error&) {
  }
}

Coro<> ask_once(ScenePtr scene) {
  const Stream stream = co_await dial(scene);
  stream.writer.write("well?\n");
  const std::string answer = co_await wait_for(stream.reader.readline(), scene->patience());
  if (answer != "well?\n") throw IncompleteReadError(answer, 6);
  co_await leave(scene, stream);
}

Coro<> ask_in_context(std::shared_ptr<Server> server, ScenePtr scene,
                      std::shared_ptr<bool> through) {
  struct Leaving {
    std::shared_ptr<bool> through;
    explicit Leaving(std::shared_ptr<bool> t) : through(std::move(t)) {}
    ~Leaving() { *through = true; }
  };
  const Leaving leaving(std::move(through));
  if (!server->is_serving()) scene->trial.complain("a server in its context does not serve");
  for (std::size_t i = scene->lot.between(1, 2); i > 0; --i) {
    co_await ask_once(scene);
    if (scene->lot.permille(300)) co_await sleep(1ms);
  }
}

Coro<> note_end(std::shared_ptr<bool> ended) {
  *ended = true;
  co_return;
}

Coro<> serve_in_context(ScenePtr scene, std::shared_ptr<bool> through) {
  const StreamHandler handler = [scene](StreamReader reader, StreamWriter writer) {
    return echo_quietly(scene, std::move(reader), std::move(writer));
  };
  scene->server = co_await listen(scene, handler);
  co_await with(scene->server, ask_in_context, scene, through);
}

Coro<> contexts(ScenePtr scene) {
  for (int round = 0; round < 3; ++round) {
    const auto ended = std::make_shared<bool>(false);
    const auto through = std::make_shared<bool>(false);  // on the way out of the context
    scene->server = nullptr;
    const Task<bool> task = create_task(
        reporting(&scene->trial, finally(serve_in_context(scene, through), note_end(ended))));
    bool cancelled = false;
    if (round < 2 && scene->lot.permille(600)) {
      co_await sleep(scene->lot.below(20) * 250us);
      const bool inside = scene->server && scene->server->is_serving() && !*through;
      cancelled = cancel_noting(scene->trial, task);
      if (cancelled && inside) scene->trial.reached("cancel inside a server's context");
    }
    std::vector<Task<bool>> one;
    one.push_back(task);
    co_await wait(one);
    if (!*ended) scene->trial.complain("a clean-up did not run");
    if (scene->server) {
      if (scene->server->is_serving()) scene->trial.complain("a server outlives its context");
      if (scene->server->connections() > 0 && !(cancelled && *through)) {
        scene->trial.complain("connections outlive the server's context");
      }
    }
    if (round == 2 && (task.cancelled() || !task.result())) {
      scene->trial.complain("it did not work after all was healed");
    }
    if (round == 1) scene->trial.heal();
  }
}

void server_contexts(Trial& trial, Carrier carrier) {
  const auto scene = std::make_shared<Scene>(trial, carrier);
  play_out(trial, contexts(scene));
  scene->server = nullptr;
}

}  // namespace

void add_stream_end_scenarios(std::vector<testing::Scenario>& all) {
  static constexpr Carrier kTwo[] = {Carrier::tcp, Carrier::tls};
  add(all, "stream-hasty-start-tls", kPlain, hasty_upgrades);
  add(all, "stream-server-context", kTwo, server_contexts);
}

}  // namespace ferry::test
