#include "test_certificates.h"
#include "trial.h"

#include <ferry/async.h>
#include <ferry/datagram.h>
#include <ferry/relay.h>
#include <ferry/streams.h>
#include <ferry/timer.h>
#include <ferry/tls.h>
#include <ferry/wraps.h>

#include <chrono>

namespace ferry::test {

namespace {

using namespace std::chrono_literals;
using testing::RecordingProtocol;

constexpr std::size_t kSize = 150'000;  // more than a pipe holds: writing is paused on the way

/// For every limit: in the simulation a failure that shows only so costs nothing.
Duration patience(Trial& trial) {
  return trial.simulated() ? Duration(5s) : Duration(200ms);
}

/// Sends back what comes, and ends when the peer does.
std::shared_ptr<Protocol> echo(Trial& trial) {
  const auto protocol = trial.protocol();
  RecordingProtocol& self = *protocol;
  self.keep_data = false;
  self.on_data = [&self](BytesView data) { self.write(data); };
  self.on_pause = [&self] { self.pause_reading(); };
  self.on_resume = [&self] { self.resume_reading(); };
  return protocol;
}

/// Sends `bytes`, waits for as many, closes.
std::shared_ptr<Protocol> asker(Trial& trial, const std::string& bytes) {
  const auto protocol = trial.protocol();
  RecordingProtocol& self = *protocol;
  self.on_made = [&self, &bytes] { self.write(bytes); };
  self.on_data = [&self, &bytes](BytesView) {
    if (self.bytes() >= bytes.size()) self.close();
  };
  return protocol;
}

/// What came back must be the beginning of what was sent; all of it, unless somebody was told.
void check_answer(Trial& trial, const Protocol* protocol, const std::string& bytes) {
  const auto* asked = dynamic_cast<const RecordingProtocol*>(protocol);
  if (!asked || !bytes.starts_with(asked->data())) return trial.complain("the answer is wrong");
  if (asked->data().size() == bytes.size()) return;
  const bool told = trial.reports() > 0 || !trial.faults().injected().empty();
  if (!told) trial.complain("bytes are missing, and nobody was told");
}

/// Connects to `server`, asks, and takes everything down.
void ask(Trial& trial, std::shared_ptr<Server> server, std::uint16_t port, ProtocolWrap wrap) {
  const std::string bytes = pattern(kSize);
  std::shared_ptr<Protocol> client;
  ConnectOptions options;
  options.host = "127.0.0.1";
  options.port = port;
  options.timeout = patience(trial);
  options.wrap = std::move(wrap);
  const auto connecting = create_connection(
      trial.loop(), [&] { return client = asker(trial, bytes); }, std::move(options));
  if (trial.done(connecting)) {
    trial.run_until([&] { return trial.all_lost(); });
    check_answer(trial, client.get(), bytes);
  }
  server->close();
  trial.done(server->drain(patience(trial)));
  trial.run_until([&] { return trial.all_lost(); });
}

void echo_over(Trial& trial, ProtocolWrap server_wrap, ProtocolWrap client_wrap) {
  ListenOptions options;
  options.hosts = {"127.0.0.1"};
  options.wrap = std::move(server_wrap);
  const auto starting = create_server(
      trial.loop(), [&trial] { return echo(trial); }, std::move(options));
  if (!trial.done(starting)) return;
  ask(trial, starting.result(), starting.result()->port(), std::move(client_wrap));
}

void tcp(Trial& trial) {
  echo_over(trial, {}, {});
}

TlsOptions short_limits(Trial& trial) {
  TlsOptions options;
  options.handshake_timeout = patience(trial);
  options.shutdown_timeout = patience(trial);
  return options;
}

void tls(Trial& trial) {
  TlsOptions client = short_limits(trial);
  client.server_hostname = "localhost";
  echo_over(trial, tls_server(server_context(), short_limits(trial)),
            tls_client(client_context(), std::move(client)));
}

void unix_socket(Trial& trial) {
  UnixListenOptions listen;
  listen.path = "@ferry-torture";
  const auto starting = create_unix_server(
      trial.loop(), [&trial] { return echo(trial); }, std::move(listen));
  if (!trial.done(starting)) return;
  const std::string bytes = pattern(kSize);
  std::shared_ptr<Protocol> client;
  UnixConnectOptions options;
  options.path = "@ferry-torture";
  options.timeout = patience(trial);
  const auto connecting = create_unix_connection(
      trial.loop(), [&] { return client = asker(trial, bytes); }, std::move(options));
  if (trial.done(connecting)) {
    trial.run_until([&] { return trial.all_lost(); });
    check_answer(trial, client.get(), bytes);
  }
  starting.result()->close();
  trial.done(starting.result()->drain(patience(trial)));
}

/// A proxy between the two.
void relayed(Trial& trial) {
  ListenOptions behind;
  behind.hosts = {"127.0.0.1"};
  const auto starting = create_server(
      trial.loop(), [&trial] { return echo(trial); }, std::move(behind));
  if (!trial.done(starting)) return;
  const std::uint16_t port = starting.result()->port();

  struct Front : Protocol {
    EventLoop& loop;
    std::uint16_t port;
    Duration limit;
    Front(EventLoop& l, std::uint16_t p, Duration d) : loop(l), port(p), limit(d) {}
    void connection_made(std::shared_ptr<Transport> transport) override {
      transport->pause_reading();
      ConnectOptions options;
      options.host = "127.0.0.1";
      options.port = port;
      options.timeout = limit;
      create_connection(
          loop, [] { return std::make_shared<Protocol>(); }, std::move(options))
          .add_done_callback([transport, ends = limit](const Future<Connection<>>& done) {
            if (done.exception()) return transport->abort();
            RelayOptions limits;
            limits.idle = limits.half_close_linger = limits.drain = ends;
            static_cast<void>(relay(transport, done.result().transport, limits));
          });
    }
  };
  ListenOptions front;
  front.hosts = {"127.0.0.1"};
  const auto fronting = create_server(
      trial.loop(),
      [&trial, port] { return std::make_shared<Front>(trial.loop(), port, patience(trial)); },
      std::move(front));
  if (trial.done(fronting)) ask(trial, fronting.result(), fronting.result()->port(), {});
  starting.result()->close();
  trial.done(starting.result()->drain(patience(trial)));
  trial.run_until([&] { return trial.loop().stats().transports == 0; });
}

Coro<> answer_lines(StreamReader reader, StreamWriter writer) {
  try {
    while (const auto line = co_await reader.next_line()) {
      writer.write(*line);
      co_await writer.drain();
    }
    writer.close();
    co_await writer.wait_closed();
  } catch (const std::system_error&) {
    // The asker is told by its own end.
  }
}

Coro<> ask_lines(Trial* trial) {
  const Duration limit = patience(*trial);
  const auto server = co_await start_server(answer_lines, "127.0.0.1", 0);
  try {
    ConnectOptions options;
    options.host = "127.0.0.1";
    options.port = server->port();
    options.timeout = limit;
    const Stream stream = co_await open_connection(std::move(options));
    for (int i = 0; i < 20; ++i) {
      const std::string line = std::string(static_cast<std::size_t>(i) * 300, 'x') + "\n";
      stream.writer.write(line);
      co_await wait_for(stream.writer.drain(), limit);
      if (co_await wait_for(stream.reader.readexactly(line.size()), limit) != line) {
        trial->complain("the answer is wrong");
      }
    }
    stream.writer.close();
    co_await wait_for(stream.writer.wait_closed(), limit);
  } catch (const std::exception&) {
    trial->report();
  }
  server->close();
  co_await server->drain(limit);
}

void streams(Trial& trial) {
  const Future<void> task = create_task(trial.loop(), ask_lines(&trial));
  trial.done(task);
  trial.run_until([&] { return trial.loop().stats().tasks == 0; });
}

void datagrams(Trial& trial) {
  struct Echo : DatagramProtocol {
    std::shared_ptr<DatagramTransport> transport;
    Trial& trial;
    explicit Echo(Trial& t) : trial(t) {}
    void connection_made(std::shared_ptr<DatagramTransport> made) override {
      transport = std::move(made);
    }
    void datagram_received(BytesView data, const DatagramInfo& info) override {
      transport->sendto(data, info.peer);
    }
    void error_received(std::error_code) override { trial.report(); }
  };
  struct Asker : Echo {
    using Echo::Echo;
    std::vector<std::string> got;
    void datagram_received(BytesView data, const DatagramInfo&) override {
      got.emplace_back(data.text());
    }
  };
  DatagramOptions here;
  here.local_host = "127.0.0.1";
  const auto server = create_datagram_endpoint(
      trial.loop(), [&] { return std::make_shared<Echo>(trial); }, std::move(here));
  if (!trial.done(server)) return;
  DatagramOptions there;
  there.remote_host = "127.0.0.1";
  there.remote_port = server.result().transport->sockname().port();
  const auto client = create_datagram_endpoint(
      trial.loop(), [&] { return std::make_shared<Asker>(trial); }, std::move(there));
  if (trial.done(client)) {
    const Asker& asker = *client.result().protocol;
    constexpr std::size_t kCount = 30;
    for (std::size_t i = 0; i < kCount; ++i) asker.transport->sendto(pattern(i));
    bool over = false;
    Timer limit(trial.loop(), [&over] { over = true; });
    limit.set(trial.simulated() ? 500ms : 20ms);
    trial.run_until([&] { return over || asker.got.size() == kCount; });
    for (const std::string& each : asker.got) {
      if (each != pattern(each.size())) trial.complain("a datagram is wrong");
    }
    if (asker.got.size() < kCount && trial.reports() == 0) {
      trial.complain("datagrams are missing, and nobody was told");
    }
    client.result().transport->close();
  }
  server.result().transport->close();
  trial.run_until([&] { return trial.loop().stats().transports == 0; });
}

}  // namespace

std::span<const Scenario> scenarios() {
  static constexpr Scenario kAll[] = {
      {"Tcp", tcp},       {"Tls", tls},         {"Unix", unix_socket},
      {"Relay", relayed}, {"Streams", streams}, {"Datagrams", datagrams},
  };
  return kAll;
}

}  // namespace ferry::test
