// Streams that begin in plain and go on in TLS, whose first bytes may come with the last plain.

#include "pattern.h"
#include "scenarios.h"
#include "stream_world.h"

#include <charconv>
#include <chrono>

namespace ferry::test {

namespace {

using namespace std::chrono_literals;
using testing::Trial;

Coro<> begin_tls(ScenePtr scene, Stream stream, bool server) {
  const std::shared_ptr<TlsContext> context =
      server ? server_side(Carrier::tls) : client_side(Carrier::tls);
  TlsOptions options;
  if (!server) options.server_hostname = "localhost";
  if (stream.reader.state()->size() > 0) scene->trial.reached("the reader has TLS's first bytes");
  Coro<> upgrading = stream.writer.start_tls(context, std::move(options));
  co_await wait_for(std::move(upgrading), scene->patience());
}

Coro<> serve_tls(ScenePtr scene, VisitPtr visit, Stream stream) {
  const std::string asked = co_await wait_for(stream.reader.readuntil(), scene->patience());
  const bool answered = asked == "starttls please\n";
  if (!answered && asked != "starttls now\n") {
    scene->trial.complain("the server got another line than was sent");
  }
  if (answered) stream.writer.write("go ahead\n");
  co_await begin_tls(scene, stream, true);
  const std::string line = co_await wait_for(stream.reader.readuntil(), scene->patience());
  std::size_t left = 0;
  std::from_chars(line.data(), line.data() + line.size(), left);
  if (line != std::to_string(left) + "\n") {
    scene->trial.complain("the server got something else behind the handshake");
    co_return;
  }
  while (left > 0) {
    const std::size_t size = std::min(left, scene->lot.between(1, 3000));
    stream.writer.write(next_bytes(visit->down_sent, size));
    left -= size;
    co_await wait_for(stream.writer.drain(), scene->patience());
  }
  co_await leave(scene, stream);
}

Coro<> ask_for_tls(ScenePtr scene, VisitPtr visit, Stream stream) {
  // Sure of the answer, or waiting for it.
  const bool sure = scene->lot.permille(600);
  stream.writer.write(sure ? "starttls now\n" : "starttls please\n");
  if (!sure) {
    const std::string answer = co_await wait_for(stream.reader.readuntil(), scene->patience());
    if (answer != "go ahead\n") scene->trial.complain("the client got another answer");
  }
  co_await begin_tls(scene, stream, false);
  const std::size_t size = scene->lot.below(10'000);
  stream.writer.write(std::to_string(size) + "\n");
  while (visit->down_got.received() < size) {
    const std::string bytes = co_await wait_for(stream.reader.read(2000), scene->patience());
    if (bytes.empty()) throw IncompleteReadError({}, size);
    visit->down_got.take(bytes);
  }
  co_await leave(scene, stream);
}

void upgrades(Trial& trial, Carrier carrier) {
  play_streams(trial, carrier, {.serve = serve_tls, .call = ask_for_tls, .visits = 2});
}

}  // namespace

void add_stream_upgrade_scenarios(std::vector<testing::Scenario>& all) {
  add(all, "stream-start-tls-pipelined", kPlain, upgrades);
}

}  // namespace ferry::test
