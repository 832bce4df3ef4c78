#include "carrier.h"

#include "test_certificates.h"

#include <ferry/tls.h>

#include <chrono>

#include <unistd.h>

namespace ferry::test {

using namespace std::chrono_literals;
using testing::Trial;

namespace {

/// One for all connections: to read certificates takes longer than to use them. No session is
/// resumed, or a world would depend on those before it.
const std::shared_ptr<TlsContext>& server_side(TlsVersion newest) {
  static std::shared_ptr<TlsContext> made[2];
  auto& context = made[newest == TlsVersion::tls1_3];
  if (context) return context;
  TlsServerOptions options;
  options.max_version = newest;
  options.session_tickets = false;
  return context = server_context(std::move(options));
}

const std::shared_ptr<TlsContext>& client_side(TlsVersion newest) {
  static std::shared_ptr<TlsContext> made[2];
  auto& context = made[newest == TlsVersion::tls1_3];
  if (context) return context;
  TlsClientOptions options;
  options.max_version = newest;
  options.session_cache = 0;
  return context = client_context(std::move(options));
}

TlsVersion newest(Carrier carrier) {
  return carrier == Carrier::tls12 ? TlsVersion::tls1_2 : TlsVersion::tls1_3;
}

bool on_unix(Carrier carrier) {
  return carrier == Carrier::unix_socket || carrier == Carrier::tls_unix;
}

}  // namespace

const char* to_string(Carrier carrier) {
  switch (carrier) {
    case Carrier::tcp:
      return "tcp";
    case Carrier::unix_socket:
      return "unix";
    case Carrier::tls:
      return "tls";
    case Carrier::tls12:
      return "tls-1.2";
    case Carrier::tls_unix:
      return "tls-unix";
  }
  return "";
}

bool encrypted(Carrier carrier) {
  return carrier != Carrier::tcp && carrier != Carrier::unix_socket;
}

bool half_closes(Carrier carrier) {
  return !encrypted(carrier);
}

void prepare_carriers() {
  for (const TlsVersion version : {TlsVersion::tls1_2, TlsVersion::tls1_3}) {
    server_side(version);
    client_side(version);
  }
}

std::shared_ptr<TlsContext> server_side(Carrier carrier) {
  return server_side(newest(carrier));
}

std::shared_ptr<TlsContext> client_side(Carrier carrier) {
  return client_side(newest(carrier));
}

ProtocolWrap server_wrap(Carrier carrier) {
  return encrypted(carrier) ? tls_server(server_side(newest(carrier))) : ProtocolWrap();
}

ProtocolWrap client_wrap(Carrier carrier) {
  if (!encrypted(carrier)) return {};
  TlsOptions options;
  options.server_hostname = "localhost";
  return tls_client(client_side(newest(carrier)), std::move(options));
}

std::string unix_name(const Trial& trial, const std::string& what) {
  if (trial.simulated()) return "ferry-sim-" + what;
  static std::uint64_t number = 0;
  return "ferry-sim-" + std::to_string(getpid()) + "-" + std::to_string(++number) + "-" + what;
}

std::shared_ptr<Server> serve(Trial& trial, Carrier carrier, ProtocolFactory factory,
                              ListenOptions options) {
  if (!options.wrap) options.wrap = server_wrap(carrier);
  Future<std::shared_ptr<Server>> starting = [&] {
    if (!on_unix(carrier)) {
      options.hosts = {"127.0.0.1"};
      return create_server(trial.loop(), std::move(factory), std::move(options));
    }
    UnixListenOptions local;
    // A simulated path costs nothing, and its file has to be looked after.
    const bool path = trial.simulated() && trial.lot("path").permille(400);
    local.path = (path ? "/" : "@") + unix_name(trial, "server") +
                 std::to_string(trial.loop().stats().servers);
    local.backlog = options.backlog;
    local.start_serving = options.start_serving;
    local.max_connections = options.max_connections;
    local.wrap = std::move(options.wrap);
    local.gate = std::move(options.gate);
    return create_unix_server(trial.loop(), std::move(factory), std::move(local));
  }();
  if (!trial.done(starting)) return nullptr;
  const std::shared_ptr<Server> server = starting.result();
  const std::vector<Address> listening = server->sockets();
  if (!listening.empty()) trial.set_server(listening.front());
  return server;
}

Future<Connection<>> connect(Trial& trial, Carrier carrier, const Server& server,
                             ProtocolFactory factory, ConnectOptions options) {
  const std::vector<Address> listening = server.sockets();
  if (!options.wrap) options.wrap = client_wrap(carrier);
  if (!on_unix(carrier)) {
    options.host = "127.0.0.1";
    options.port = listening.empty() ? std::uint16_t{1} : listening.front().port();
    return create_connection(trial.loop(), std::move(factory), std::move(options));
  }
  UnixConnectOptions local;
  local.path = listening.empty() ? "@ferry-sim-nobody" : listening.front().path();
  local.timeout = options.timeout;
  local.wrap = std::move(options.wrap);
  return create_unix_connection(trial.loop(), std::move(factory), std::move(local));
}

std::error_code error_of(const Future<Connection<>>& connecting) {
  if (connecting.cancelled() || !connecting.exception()) return {};
  try {
    std::rethrow_exception(connecting.exception());
  } catch (const std::system_error& error) {
    return error.code();
  } catch (...) {
    return make_error_code(std::errc::invalid_argument);
  }
}

void shut_down(Trial& trial, const std::shared_ptr<Server>& server) {
  server->close();
  const Future<std::size_t> draining = server->drain(10s);
  if (trial.done(draining) && draining.result() != 0 && trial.calm()) {
    trial.complain("connections had to be aborted: " + std::to_string(draining.result()));
  }
  trial.run_until([&trial] { return trial.all_lost(); });
}

void add(std::vector<testing::Scenario>& all, const std::string& name,
         std::span<const Carrier> carriers, void (*play)(Trial&, Carrier),
         testing::Troubles troubles) {
  for (const Carrier carrier : carriers) {
    all.push_back({.name = name + "-" + to_string(carrier),
                   .play = [play, carrier](Trial& trial) { play(trial, carrier); },
                   .troubles = troubles});
  }
}

}  // namespace ferry::test
