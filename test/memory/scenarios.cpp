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

/// Sends the question, waits for as many bytes, closes.
std::shared_ptr<Protocol> asker(Trial& trial) {
  trial.asker = trial.protocol();
  RecordingProtocol& self = *trial.asker;
  self.on_made = [&self] { self.write(question(kSize)); };
  self.on_data = [&self](BytesView) {
    if (self.bytes() >= kSize) self.close();
  };
  return trial.asker;
}

/// What came back must be the beginning of what was sent; all of it, unless somebody was told.
void check_answer(Trial& trial) {
  if (!trial.asker || !question(kSize).starts_with(trial.asker->data())) {
    return trial.complain("the answer is wrong");
  }
  if (trial.asker->bytes() == kSize || (trial.told() && !trial.all_must_be_well())) return;
  trial.complain("bytes are missing, and nobody was told");
}

/// Closes a server, or a transport, however the scenario ends.
template <class T>
class Closing {
 public:
  explicit Closing(std::shared_ptr<T> what) : what_(std::move(what)) {}
  Closing(const Closing&) = delete;
  Closing& operator=(const Closing&) = delete;
  ~Closing() { what_->close(); }

 private:
  std::shared_ptr<T> what_;
};

/// Asks by way of a connection that `connect` opens; and again, if that failed for want of memory.
template <class Connect>
void ask(Trial& trial, Connect connect) {
  do {
    trial.asker = nullptr;
    try {
      const Future<Connection<>> connecting = connect();
      if (!trial.done(connecting)) continue;
    } catch (const std::bad_alloc&) {
      trial.report("out of a call: not enough memory");
      continue;
    }
    trial.run_until([&] { return trial.all_lost(); });
    check_answer(trial);
  } while (trial.once_more());
}

/// Takes everything down.
void end(Trial& trial, Server& server) {
  server.close();
  trial.done(server.drain(patience(trial)));
  trial.run_until([&] { return trial.all_lost(); });
}

void ask_tcp(Trial& trial, std::uint16_t port, const ProtocolWrap& wrap) {
  ask(trial, [&] {
    ConnectOptions options;
    options.host = "127.0.0.1";
    options.port = port;
    options.timeout = patience(trial);
    options.wrap = wrap;
    return create_connection(
        trial.loop(), [&trial] { return asker(trial); }, std::move(options));
  });
}

void echo_over(Trial& trial, ProtocolWrap server_wrap, ProtocolWrap client_wrap) {
  ListenOptions options;
  options.hosts = {"127.0.0.1"};
  options.wrap = std::move(server_wrap);
  const auto starting = create_server(
      trial.loop(), [&trial] { return echo(trial); }, std::move(options));
  if (!trial.done(starting)) return;
  const Closing closing(starting.result());
  ask_tcp(trial, starting.result()->port(), client_wrap);
  end(trial, *starting.result());
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
  ProtocolWrap server_wrap = tls_server(server_context(), short_limits(trial));
  ProtocolWrap client_wrap = tls_client(client_context(), std::move(client));
  echo_over(trial, std::move(server_wrap), std::move(client_wrap));
}

void unix_socket(Trial& trial) {
  UnixListenOptions listen;
  listen.path = "@ferry-memory";
  const auto starting = create_unix_server(
      trial.loop(), [&trial] { return echo(trial); }, std::move(listen));
  if (!trial.done(starting)) return;
  const Closing closing(starting.result());
  ask(trial, [&] {
    UnixConnectOptions options;
    options.path = "@ferry-memory";
    options.timeout = patience(trial);
    return create_unix_connection(
        trial.loop(), [&trial] { return asker(trial); }, std::move(options));
  });
  end(trial, *starting.result());
}

/// A proxy between the two.
void relayed(Trial& trial) {
  ListenOptions behind;
  behind.hosts = {"127.0.0.1"};
  const auto starting = create_server(
      trial.loop(), [&trial] { return echo(trial); }, std::move(behind));
  if (!trial.done(starting)) return;
  const Closing closing(starting.result());
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
            try {
              static_cast<void>(relay(transport, done.result().transport, limits));
            } catch (const std::bad_alloc&) {
              transport->abort();
              done.result().transport->abort();
              throw;
            }
          });
    }
  };
  ListenOptions front;
  front.hosts = {"127.0.0.1"};
  const auto fronting = create_server(
      trial.loop(),
      [&trial, port] { return std::make_shared<Front>(trial.loop(), port, patience(trial)); },
      std::move(front));
  if (trial.done(fronting)) {
    const Closing closing_front(fronting.result());
    ask_tcp(trial, fronting.result()->port(), {});
    end(trial, *fronting.result());
  }
  end(trial, *starting.result());
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
  const Closing closing(server);
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
    trial->report("by a coroutine");
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
    void error_received(std::error_code) override { trial.report("by a datagram endpoint"); }
    void connection_lost(std::error_code error) override {
      if (error) trial.report("by a lost datagram endpoint");
    }
  };
  struct Asker : Echo {
    using Echo::Echo;
    std::vector<std::string> got;
    void datagram_received(BytesView data, const DatagramInfo&) override {
      exempt([&] { got.emplace_back(data.text()); });
    }
  };
  DatagramOptions here;
  here.local_host = "127.0.0.1";
  const auto server = create_datagram_endpoint(
      trial.loop(), [&] { return std::make_shared<Echo>(trial); }, std::move(here));
  if (!trial.done(server)) return;
  const Closing closing_server(server.result().transport);
  DatagramOptions there;
  there.remote_host = "127.0.0.1";
  there.remote_port = server.result().transport->sockname().port();
  const auto client = create_datagram_endpoint(
      trial.loop(), [&] { return std::make_shared<Asker>(trial); }, std::move(there));
  if (trial.done(client)) {
    const Closing closing_client(client.result().transport);
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
    if (asker.got.size() < kCount && (!trial.told() || trial.all_must_be_well())) {
      trial.complain("datagrams are missing, and nobody was told");
    }
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
