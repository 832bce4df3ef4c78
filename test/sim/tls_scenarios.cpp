#include "scenarios.h"
#include "stage.h"

#include "test_certificates.h"

#include <ferry/tls.h>
#include <ferry/wraps.h>

#include <chrono>

namespace ferry::test {

namespace {

using namespace std::chrono_literals;
using testing::Seed;
using testing::Trial;
using Ending = Plan::Ending;

constexpr Carrier kTls[] = {Carrier::tls, Carrier::tls12};
constexpr Carrier kTlsOne[] = {Carrier::tls};

void short_talk(Stage& stage) {
  stage.client_plan.total = stage.server_plan.total = 400;
  stage.client_plan.chunk = stage.server_plan.chunk = 150;
  stage.server_plan.answering = true;
  stage.client_plan.expected = 400;
  stage.client_plan.when_received = Ending::close;
}

/// The connection is cut somewhere in its handshake.
void cut_handshake(Stage& stage) {
  Seed& lot = stage.lot();
  Trial& trial = stage.trial();
  trial.disturb();
  short_talk(stage);
  if (!stage.serve()) return;
  std::vector<testing::SimGuard> guards;
  if (trial.simulated()) {
    const testing::SimEnds ends = lot.permille(500)   ? testing::SimEnds::both
                                  : lot.permille(500) ? testing::SimEnds::from
                                                      : testing::SimEnds::to;
    guards.push_back(trial.sim().network().cut_after(lot.below(2500), {}, ends));
  }
  stage.connect(3);
  // An end that was not told waits for its limit.
  stage.wait(3min);
  guards.clear();
  stage.finish();
}

/// The server ends it in the middle of the handshakes, or a client gives up.
void handshake_given_up(Stage& stage) {
  Seed& lot = stage.lot();
  Trial& trial = stage.trial();
  trial.disturb();
  short_talk(stage);
  if (!stage.serve()) return;
  std::vector<Future<Connection<>>> connecting;
  std::vector<const Peer*> peers(3);  // made when there is a connection for them
  for (const Peer*& each : peers) {
    const auto make = [&stage, &each] {
      const auto peer = stage.new_client();
      each = peer.get();
      return peer;
    };
    connecting.push_back(test::connect(trial, stage.carrier(), *stage.server(), make));
  }
  if (lot.permille(500)) {
    trial.run_until([&] { return peers.front() || connecting.front().done(); });
  } else {
    trial.run_for(std::chrono::microseconds(lot.below(lot.permille(500) ? 200 : 20'000)));
  }
  for (std::size_t i = 0; i < connecting.size(); ++i) {
    if (!lot.permille(500) || !connecting[i].cancel()) continue;
    if (peers[i] && !peers[i]->made()) trial.reached("connecting is cancelled in handshake");
  }
  if (lot.permille(400)) stage.server()->abort_clients();
  for (const auto& each : connecting) trial.done(each);
  stage.finish();
}

/// Between TCP and a protocol that is to know nothing of TLS.
ProtocolWrap no_tls() {
  return [](std::shared_ptr<Protocol> protocol) { return protocol; };
}

/// The server keeps silent in the handshake: the client waits so long, and no longer.
void silent_server(Stage& stage) {
  Trial& trial = stage.trial();
  trial.disturb();
  TlsOptions options;
  options.handshake_timeout = std::chrono::milliseconds(stage.lot().between(100, 5000));
  options.server_hostname = "localhost";
  // What comes is no greeting: whatever it is taken for, it says nothing.
  stage.client_plan.total = stage.server_plan.total = 0;
  stage.prepare = [](Peer& peer, bool) { peer.on_raw = [](BytesView) { return BytesView(); }; };
  ListenOptions listen;
  listen.wrap = no_tls();
  if (!stage.serve(std::move(listen))) return;
  const TimePoint begin = stage.loop().time();
  TimePoint connected = begin;
  ConnectOptions connecting;
  connecting.wrap = [&connected, &loop = stage.loop(),
                     tls = tls_client(client_side(stage.carrier()), options)](
                        std::shared_ptr<Protocol> protocol) mutable {
    connected = loop.time();
    return tls(std::move(protocol));
  };
  const auto one = stage.connect_one(std::move(connecting));
  if (trial.done(one)) trial.complain("a handshake with nobody came about");
  if (error_of(one) == tls_errc::handshake_timed_out) {
    trial.reached("the limit of a client's handshake is over");
    stage.check_limit("the limit of a client's handshake", options.handshake_timeout, begin,
                      connected, stage.loop().time());
  } else if (trial.unharmed()) {
    trial.complain("the server is silent, and the client says: " + error_of(one).message());
  }
  stage.abort_all();
  stage.take_down();
}

/// The other way round. They may say something, but not enough for a greeting.
void silent_clients(Stage& stage) {
  Trial& trial = stage.trial();
  trial.disturb();
  TlsOptions options;
  options.handshake_timeout = std::chrono::milliseconds(stage.lot().between(100, 5000));
  stage.client_plan.total = stage.lot().below(3);
  ListenOptions listen;
  listen.wrap = tls_server(server_side(stage.carrier()), options);
  if (!stage.serve(std::move(listen))) return;
  std::vector<TimePoint> made(2);
  stage.prepare = [&](Peer& peer, bool client) {
    if (!client) return;
    peer.in_callback = [&](const char* callback) {
      if (callback == std::string_view("connection_made")) {
        made[*peer.number()] = stage.loop().time();
      }
    };
  };
  const TimePoint begin = stage.loop().time();
  ConnectOptions connecting;
  connecting.wrap = no_tls();
  stage.connect(2, std::move(connecting));
  stage.wait();
  for (const auto& each : stage.clients()) {
    if (!each->made() || !trial.unharmed()) continue;
    // It is the server that ends it: nobody else knows of a limit.
    if (!each->aborted()) trial.reached("the limit of a server's handshake is over");
    stage.check_limit("the limit of a server's handshake", options.handshake_timeout, begin,
                      made[*each->number()], each->lost_at());
  }
  for (const auto& each : stage.servers()) {
    if (each->made()) trial.complain("a handshake with nobody came about");
  }
  stage.take_down();
}

/// The peer does not answer close_notify, for it does not read.
void silent_at_the_end(Stage& stage) {
  Seed& lot = stage.lot();
  Trial& trial = stage.trial();
  trial.disturb();
  const Duration limit = std::chrono::milliseconds(lot.between(100, 5000));
  TlsOptions options;
  options.shutdown_timeout = limit;
  options.server_hostname = "localhost";
  stage.client_plan.total = lot.between(1, 2000);
  stage.server_plan.total = lot.below(2000);
  TimePoint closed{};
  bool over = false;  // a partition may hold up the server's end until then
  stage.prepare = [&](Peer& peer, bool client) {
    peer.in_callback = [&, client](const char* callback) {
      if (!client) {
        if (callback != std::string_view("data_received")) return;
        return over ? peer.do_abort() : peer.do_pause();
      }
      if (callback != std::string_view("connection_lost")) return;
      if (peer.error() != tls_errc::shutdown_timed_out) return;
      trial.reached("the limit of TLS's shutdown is over");
      stage.check_limit("the limit of TLS's shutdown", limit, closed, closed, stage.loop().time());
    };
  };
  if (!stage.serve()) return;
  ConnectOptions connecting;
  connecting.wrap = tls_client(client_side(stage.carrier()), options);
  const auto one = stage.connect_one(connecting);
  if (trial.done(one)) {
    trial.run_for(1s);
    closed = stage.loop().time();
    Peer& client = *stage.clients().back();
    if (client.made() && !client.lost()) client.do_close();
    trial.run_until([&] { return client.lost(); });
    if (trial.unharmed() && client.error() != tls_errc::shutdown_timed_out) {
      trial.complain("TLS was shut down although the peer did not answer");
    }
    over = true;
    stage.abort_all();
  }
  stage.finish();
}

/// close_notify ends one direction only.
void half_close(Stage& stage) {
  Seed& lot = stage.lot();
  TlsOptions options;
  options.half_close = true;
  stage.vary = [&lot](std::uint8_t, bool, Plan& plan) {
    plan.total = lot.between(1, 5000);
    plan.chunk = lot.between(200, 2000);
    plan.gap = std::chrono::microseconds(lot.below(1000));
    plan.when_sent = Ending::eof;
    plan.keep_open = true;
  };
  ListenOptions listen;
  listen.wrap = tls_server(server_side(stage.carrier()), options);
  if (!stage.serve(std::move(listen))) return;
  options.server_hostname = "localhost";
  ConnectOptions connecting;
  connecting.wrap = tls_client(client_side(stage.carrier()), options);
  stage.connect(2, connecting);
  stage.finish();
}

/// TLS inside TLS.
void doubled(Stage& stage) {
  short_talk(stage);
  ListenOptions listen;
  const auto outside = server_wrap(stage.carrier());
  listen.wrap = stacked({outside, outside});
  if (!stage.serve(std::move(listen))) return;
  ConnectOptions connecting;
  const auto client = client_wrap(stage.carrier());
  connecting.wrap = stacked({client, client});
  connecting.timeout = 5min;
  stage.connect(1, connecting);
  stage.wait();
  stage.trial().heal();
  stage.take_down();
  stage.compare();
}

/// Later connections take up an earlier one's session.
void resumed(Stage& stage) {
  Trial& trial = stage.trial();
  short_talk(stage);
  TlsServerOptions server_options;
  TlsClientOptions client_options;
  server_options.max_version = client_options.max_version =
      stage.carrier() == Carrier::tls12 ? TlsVersion::tls1_2 : TlsVersion::tls1_3;
  const auto server = server_context(std::move(server_options));
  TlsOptions options;
  options.server_hostname = "localhost";
  ListenOptions listen;
  listen.wrap = tls_server(server);
  ConnectOptions connecting;
  connecting.wrap = tls_client(client_context(std::move(client_options)), options);
  if (!stage.serve(std::move(listen))) return;
  for (int i = 0; i < 3; ++i) {
    stage.connect(1, connecting);
    stage.wait();
    if (stage.clients().empty()) continue;
    const auto tls = std::dynamic_pointer_cast<TlsTransport>(stage.clients().back()->transport());
    if (!tls) continue;
    if (tls->resumed()) trial.reached("a session is resumed");
    if (i == 0 && tls->resumed()) trial.complain("resumed a session that never was");
    if (i > 0 && !tls->resumed() && trial.calm()) trial.complain("the session was not resumed");
  }
  stage.finish();
}

/// More handshakes at once than the server puts up with: some clients begin theirs and go no
/// further, so that there is no room for another one.
void too_many_handshakes(Stage& stage) {
  Trial& trial = stage.trial();
  trial.disturb();
  short_talk(stage);
  TlsOptions options;
  options.max_handshakes = stage.lot().between(1, 3);
  options.handshake_timeout = 1h;
  ListenOptions listen;
  listen.wrap = tls_server(server_side(stage.carrier()), options);
  if (!stage.serve(std::move(listen))) return;
  ConnectOptions silent;
  silent.wrap = no_tls();
  stage.vary = [&](std::uint8_t number, bool client, Plan& plan) {
    if (client && number < options.max_handshakes) plan.total = 0;
  };
  stage.connect(options.max_handshakes, std::move(silent));
  trial.run_for(10s);
  const auto all_there = [&] { return stage.server()->connections() == options.max_handshakes; };
  if (stage.exact() && !all_there()) trial.complain("a client that begins its handshake is gone");
  const bool full = all_there();
  const auto refused = stage.connect_one();
  if (trial.done(refused)) {
    if (full && stage.exact()) trial.complain("there are more handshakes than there may be");
  } else if (full && all_there() && stage.exact()) {
    trial.reached("there are too many handshakes");
  }
  // As soon as one of them has left there is room.
  for (const auto& each : stage.clients()) {
    if (!each->made() || each->lost()) continue;
    each->do_abort();
    break;
  }
  trial.run_for(10s);
  const auto accepted = stage.connect_one();
  if (!trial.done(accepted) && stage.exact()) trial.complain("there are too few handshakes");
  stage.abort_all();
  // Some may wait for a descriptor.
  trial.heal();
  trial.run_for(2min);
  stage.finish();
}

}  // namespace

void add_tls_scenarios(std::vector<testing::Scenario>& all) {
  add_staged(all, "cut-handshake", kTls, cut_handshake);
  add_staged(all, "handshake-given-up", kTls, handshake_given_up);
  add_staged(all, "silent-server", kTlsOne, silent_server);
  add_staged(all, "silent-clients", kTlsOne, silent_clients);
  add_staged(all, "silent-at-the-end", kTlsOne, silent_at_the_end);
  add_staged(all, "tls-half-close", kTlsOne, half_close);
  add_staged(all, "tls-in-tls", kTlsOne, doubled);
  add_staged(all, "resumption", kTls, resumed);
  add_staged(all, "too-many-handshakes", kTlsOne, too_many_handshakes);
}

}  // namespace ferry::test
