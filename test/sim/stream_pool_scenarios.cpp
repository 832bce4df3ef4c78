// A pool of connections, connections that are given up, and aborts.

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

/// For servers whose clients come and go as they like.
Coro<> echo_whoever_comes(ScenePtr scene, StreamReader reader, StreamWriter writer) {
  try {
    while (const auto line = co_await reader.next_line()) {
      writer.write(*line);
      co_await wait_for(writer.drain(), scene->patience());
    }
    writer.close();
    co_await writer.wait_closed();
  } catch (const std::system_error&) {
  }
}

/// Runs `program` with such a server.
Coro<> with_echo_server(ScenePtr scene, Coro<> (*program)(ScenePtr)) {
  try {
    const StreamHandler handler = [scene](StreamReader reader, StreamWriter writer) {
      return echo_whoever_comes(scene, std::move(reader), std::move(writer));
    };
    scene->server = co_await listen(scene, handler);
  } catch (const std::system_error& error) {
    scene->trial.report(error.what());
    co_return;
  }
  const Closing closing(scene->server);
  co_await reporting(&scene->trial, program(scene));
  scene->server->close();
  co_await scene->server->drain(10s);
}

void play_with_echo(Trial& trial, Carrier carrier, Coro<> (*program)(ScenePtr)) {
  const auto scene = std::make_shared<Scene>(trial, carrier);
  play_out(trial, with_echo_server(scene, program));
  scene->server = nullptr;
}

Coro<> ask(ScenePtr scene, Stream stream, std::string line) {
  line += "\n";
  stream.writer.write(line);
  const std::string answer = co_await wait_for(stream.reader.readline(), scene->patience());
  if (answer == line) co_return;
  if (!line.starts_with(answer)) scene->trial.complain("somebody else's answer");
  throw IncompleteReadError(answer, line.size());
}

// -- a pool

/// Places for connections; those without are to be filled by who takes them.
struct Pool {
  explicit Pool(ScenePtr s) : scene(std::move(s)) {}
  const ScenePtr scene;
  Queue<std::optional<Stream>> places;
  std::size_t asked = 0;
};
using PoolPtr = std::shared_ptr<Pool>;

/// Gives its place back when it ends: with the connection, if that is as good as before.
class Lent {
 public:
  Lent(PoolPtr pool, std::optional<Stream> s) : stream(std::move(s)), pool_(std::move(pool)) {}
  Lent(const Lent&) = delete;
  ~Lent() {
    if (!good) {
      if (stream) stream->writer.transport()->abort();
      stream.reset();
    }
    pool_->places.put_nowait(std::move(stream));
  }
  std::optional<Stream> stream;
  bool good = false;

 private:
  PoolPtr pool_;
};

Coro<> ask_by_pool(PoolPtr pool, std::size_t number) {
  std::optional<Stream> place = co_await pool->places.get();
  Lent lent(pool, std::move(place));
  try {
    if (!lent.stream) {
      const Stream fresh = co_await dial(pool->scene);
      lent.stream.emplace(fresh);
    }
    co_await ask(pool->scene, *lent.stream, "number " + std::to_string(number));
    lent.good = true;
    ++pool->asked;
  } catch (const CancelledError&) {
    pool->scene->trial.reached("a pool's connection is cancelled");
    throw;
  }
}

Coro<> ask_reporting(PoolPtr pool, std::size_t number) {
  co_await reporting(&pool->scene->trial, ask_by_pool(pool, number));
}

Coro<> use_pool(ScenePtr scene) {
  const auto pool = std::make_shared<Pool>(scene);
  const std::size_t size = scene->lot.between(1, 3);
  for (std::size_t i = 0; i < size; ++i) pool->places.put_nowait(std::nullopt);
  std::vector<Task<>> tasks;
  for (std::size_t i = 0; i < scene->lot.between(4, 12); ++i) {
    tasks.push_back(create_task(ask_reporting(pool, i)));
    if (scene->lot.permille(300)) co_await sleep(scene->lot.below(4) * 1ms);
    if (scene->lot.permille(300)) {
      cancel_noting(scene->trial, tasks[scene->lot.below(tasks.size())]);
    }
  }
  co_await wait(tasks);
  if (pool->places.qsize() != size) scene->trial.complain("places of the pool were lost");
  scene->trial.heal();
  while (!pool->places.empty()) {
    const std::optional<Stream> place = pool->places.get_nowait();
    if (place) place->writer.transport()->abort();
  }
  pool->places.put_nowait(std::nullopt);
  co_await must(&scene->trial, "the pool after all was healed", ask_by_pool(pool, 1000));
  const std::optional<Stream> last = pool->places.get_nowait();
  if (last) co_await must(&scene->trial, "the last connection", leave(scene, *last));
}

void pools(Trial& trial, Carrier carrier) {
  play_with_echo(trial, carrier, use_pool);
}

// -- connections that are given up while they come about

Coro<> open_nowhere(ScenePtr scene) {
  ConnectOptions options;
  options.host = "192.0.2.1";  // which never answers
  options.port = 7;
  options.wrap = client_wrap(scene->carrier);
  if (scene->lot.permille(500)) options.timeout = scene->lot.between(1, 5000) * 1ms;
  try {
    if (scene->lot.permille(500)) {
      co_await wait_for(open_connection(std::move(options)), scene->lot.below(3000) * 1ms);
    } else {
      co_await open_connection(std::move(options));
    }
  } catch (const TimeoutError&) {
    scene->trial.reached("timeout in open_connection");
    co_return;
  }
  scene->trial.complain("a connection to nowhere");
}

Coro<> open_in_haste(ScenePtr scene) {
  std::optional<Stream> stream;
  const Duration time = scene->lot.below(6) * std::chrono::microseconds(500);
  try {
    const Stream opened = co_await wait_for(dial(scene), time);
    stream.emplace(opened);
  } catch (const TimeoutError&) {
    if (time > Duration::zero()) {
      scene->trial.reached("timeout in open_connection, somebody answers");
    }
  } catch (const CancelledError&) {
    scene->trial.reached("cancel in open_connection");
    throw;
  }
  if (!stream) co_return;
  co_await ask(scene, *stream, "in time");
  co_await leave(scene, *stream);
}

Coro<> open_reporting(ScenePtr scene) {
  const bool nowhere = scene->trial.simulated() && scene->lot.permille(300);
  if (nowhere) {
    co_await reporting(&scene->trial, open_nowhere(scene));
  } else {
    co_await reporting(&scene->trial, open_in_haste(scene));
  }
}

Coro<> give_up(ScenePtr scene) {
  std::vector<Task<>> tasks;
  for (std::size_t i = scene->lot.between(2, 5); i > 0; --i) {
    tasks.push_back(create_task(open_reporting(scene)));
    if (scene->lot.permille(500)) co_await sleep(scene->lot.below(4) * 500us);
    const Task<>& one = tasks[scene->lot.below(tasks.size())];
    if (scene->lot.permille(400)) one.cancel();
  }
  co_await wait(tasks);
  scene->trial.heal();
  const Stream last = co_await dial(scene);
  co_await must(&scene->trial, "after all was healed", ask(scene, last, "the last one"));
  co_await leave(scene, last);
}

void given_up(Trial& trial, Carrier carrier) {
  play_with_echo(trial, carrier, give_up);
}

// -- aborts

Coro<> abort_and_look(ScenePtr scene) {
  const Stream stream = co_await dial(scene);
  const StreamWriter& writer = stream.writer;
  co_await ask(scene, stream, "before");
  writer.transport()->set_write_buffer_limits(100);
  writer.write(std::string(scene->lot.below(40'000), 'x'));
  Task<> drain;
  const bool draining = writer.transport()->get_write_buffer_size() > 100;
  if (draining) drain = create_task(writer.drain());
  const Task<std::string> read = create_task(stream.reader.read());
  if (scene->lot.permille(700)) co_await sleep(scene->lot.below(2) * 1ms);
  const bool lost = writer.is_closing();
  const bool drains = draining && waits_for(drain) == "stream drain";
  writer.transport()->abort();
  co_await wait_for(writer.wait_closed(), scene->patience());
  scene->trial.reached("wait_closed after abort");
  co_await writer.wait_closed();
  if (drains) scene->trial.reached("abort while a task drains");
  if (draining) co_await drain;
  const std::string bytes = co_await read;
  if (!bytes.empty() && !lost && bytes.find_first_not_of('x') != std::string::npos) {
    scene->trial.complain("bytes out of nowhere");
  }
  writer.write("into the void");
  bool told = false;
  try {
    co_await writer.drain();
  } catch (const std::system_error&) {
    told = true;
  }
  if (!told) scene->trial.complain("drain says nothing of a connection that is over");
}

Coro<> abort_some(ScenePtr scene) {
  for (int i = 0; i < 2; ++i) {
    co_await reporting(&scene->trial, abort_and_look(scene));
  }
  scene->trial.heal();
  co_await must(&scene->trial, "after all was healed", abort_and_look(scene));
}

void aborts(Trial& trial, Carrier carrier) {
  play_with_echo(trial, carrier, abort_some);
}

}  // namespace

void add_stream_pool_scenarios(std::vector<testing::Scenario>& all) {
  add(all, "stream-pool", kThree, pools);
  add(all, "stream-given-up", kTwo, given_up);
  add(all, "stream-abort", kThree, aborts);
}

}  // namespace ferry::test
