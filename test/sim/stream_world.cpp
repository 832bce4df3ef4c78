#include "stream_world.h"

#include <charconv>
#include <chrono>

namespace ferry::test {

using namespace std::chrono_literals;
using testing::Trial;

namespace {

bool on_unix(Carrier carrier) {
  return carrier == Carrier::unix_socket || carrier == Carrier::tls_unix;
}

}  // namespace

Duration Scene::patience() const {
  return trial.simulated() ? Duration(10min) : Duration(5s);
}

Closing::~Closing() {
  server_->close();
}

Coro<std::shared_ptr<Server>> listen(ScenePtr scene, StreamHandler handler) {
  const ProtocolWrap wrap = server_wrap(scene->carrier);
  std::shared_ptr<Server> server;
  if (on_unix(scene->carrier)) {
    UnixListenOptions options;
    options.path = "@" + unix_name(scene->trial, "streams");
    options.wrap = wrap;
    server =
        co_await start_unix_server(std::move(handler), std::move(options), scene->server_limit);
  } else {
    ListenOptions options;
    options.hosts = {"127.0.0.1"};
    options.wrap = wrap;
    server = co_await start_server(std::move(handler), std::move(options), scene->server_limit);
  }
  try {
    const std::vector<Address> listening = server->sockets();
    if (!listening.empty()) scene->trial.set_server(listening.front());
  } catch (const std::bad_alloc&) {
    server->close();
    throw;
  }
  co_return server;
}

Coro<Stream> dial(ScenePtr scene) {
  const std::vector<Address> listening = scene->server->sockets();
  const ProtocolWrap wrap = client_wrap(scene->carrier);
  if (on_unix(scene->carrier)) {
    UnixConnectOptions options;
    options.path = listening.empty() ? "@ferry-sim-nobody" : listening.front().path();
    options.timeout = scene->patience();
    options.wrap = wrap;
    co_return co_await open_unix_connection(std::move(options), scene->client_limit);
  }
  ConnectOptions options;
  options.host = "127.0.0.1";
  options.port = listening.empty() ? std::uint16_t{1} : listening.front().port();
  options.timeout = scene->patience();
  options.wrap = wrap;
  co_return co_await open_connection(std::move(options), scene->client_limit);
}

Coro<bool> reporting(Trial* trial, Coro<> work) {
  try {
    co_await std::move(work);
    co_return true;
  } catch (const std::system_error& error) {
    trial->report(error.what());
  } catch (const IncompleteReadError& error) {
    trial->report(error.what());
  } catch (const std::bad_alloc& error) {
    trial->report(error.what());
  } catch (const std::exception& error) {
    trial->complain(std::string("a task threw: ") + error.what());
  }
  co_return false;
}

Coro<> must(Trial* trial, std::string what, Coro<> work) {
  try {
    co_await std::move(work);
  } catch (const std::bad_alloc& error) {
    trial->report(error.what());
  } catch (const std::exception& error) {
    trial->complain(what + ": " + error.what());
  }
}

void play_out(Trial& trial, Coro<> work) {
  const Task<> task = create_task(trial.loop(), std::move(work));
  trial.done(Future<void>(task));
  trial.run_until([&trial] {
    const LoopStats stats = trial.loop().stats();
    return stats.tasks == 0 && stats.transports == 0;
  });
}

Coro<> leave(ScenePtr scene, Stream stream) {
  stream.writer.close();
  co_await wait_for(stream.writer.wait_closed(), scene->patience());
}

// -- visits

namespace {

/// The first line is the number of the visit.
Coro<> serve_one(ScenePtr scene, StreamReader reader, StreamWriter writer) {
  VisitPtr visit;
  Stream stream(reader, writer);
  bool well = true;
  try {
    const std::string line = co_await wait_for(reader.readuntil(), scene->patience());
    std::size_t number = 0;
    std::from_chars(line.data(), line.data() + line.size(), number);
    if (number >= scene->visits.size() || line != std::to_string(number) + "\n") {
      scene->trial.complain("the server got another first line than was sent");
      co_return;
    }
    visit = scene->visits[number];
  } catch (const std::exception& error) {
    ++scene->unnamed;
    scene->trial.report(error.what());
    co_return;
  }
  well = co_await reporting(&scene->trial, scene->serve(scene, visit, stream));
  if (!well) visit->told = true;
}

Coro<> call_one(ScenePtr scene, VisitPtr visit) {
  const Stream stream = co_await dial(scene);
  stream.writer.write(std::to_string(visit->number) + "\n");
  co_await scene->call(scene, visit, stream);
}

VisitPtr new_visit(Scene& scene) {
  scene.visits.push_back(std::make_shared<Visit>(static_cast<std::uint16_t>(scene.visits.size())));
  return scene.visits.back();
}

Coro<> reported_visit(ScenePtr scene, VisitPtr visit) {
  const bool well = co_await reporting(&scene->trial, call_one(scene, visit));
  if (!well) visit->told = true;
}

void check(Scene& scene) {
  for (const VisitPtr& each : scene.visits) {
    for (testing::PatternReader* reader : {&each->up_got, &each->down_got}) {
      if (!reader->ok()) scene.trial.complain(reader->to_string());
      const testing::PatternWriter& sent =
          reader == &each->up_got ? each->up_sent : each->down_sent;
      if (reader->received() > sent.position()) scene.trial.complain("more came than was sent");
      if (each->told || scene.unnamed > 0 || reader->received() == sent.position()) continue;
      scene.trial.complain("visit " + std::to_string(each->number) + ": " +
                           std::to_string(reader->received()) + " bytes came of " +
                           std::to_string(sent.position()) + ", and nobody was told");
    }
  }
}

Coro<> all_visits(ScenePtr scene, std::size_t count) {
  const StreamHandler handler = [scene](StreamReader reader, StreamWriter writer) {
    return serve_one(scene, std::move(reader), std::move(writer));
  };
  try {
    scene->server = co_await listen(scene, handler);
  } catch (const std::system_error& error) {
    scene->trial.report(error.what());
    co_return;
  }
  const Closing closing(scene->server);  // without memory this may end anywhere
  std::vector<Task<>> tasks;
  for (std::size_t i = 0; i < count; ++i) {
    tasks.push_back(create_task(reported_visit(scene, new_visit(*scene))));
  }
  for (const Task<>& task : tasks) co_await task;
  scene->trial.heal();
  const VisitPtr last = new_visit(*scene);
  co_await must(&scene->trial, "after all was healed", call_one(scene, last));
  scene->server->close();
  co_await scene->server->drain(10s);
}

}  // namespace

void play_streams(Trial& trial, Carrier carrier, StreamPlay play) {
  const auto scene = std::make_shared<Scene>(trial, carrier);
  scene->serve = play.serve;
  scene->call = play.call;
  scene->server_limit = play.server_limit;
  scene->client_limit = play.client_limit;
  play_out(trial, all_visits(scene, play.visits));
  check(*scene);
  scene->server = nullptr;  // which holds the scene
}

}  // namespace ferry::test
