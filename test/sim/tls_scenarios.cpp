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
  for (int i = 0; i < 3; ++i) connecting.push_back(stage.connect_one());
  trial.run_for(std::chrono::microseconds(lot.below(lot.permille(500) ? 200 : 20'000)));
  for (const auto& each : connecting) {
    if (lot.permille(500) && each.cancel()) trial.reached("connecting is cancelled in handshake");
  }
  if (lot.permille(400)) stage.server()->abort_clients();
  for (const auto& each : connecting) trial.done(each);
  stage.finish();
}

/// One end keeps silent in its handshake: the other one waits so long, and no longer.
void silent_in_handshake(Stage& stage) {
  Seed& lot = stage.lot();
  Trial& trial = stage.trial();
  trial.disturb();
  const Duration limit = std::chrono::milliseconds(lot.between(100, 5000));
  TlsOptions options;
  options.handshake_timeout = limit;
  const bool server_is_silent = lot.permille(500);
  short_talk(stage);
  ListenOptions listen;
  const auto same = [](std::shared_ptr<Protocol> protocol) { return protocol; };
  listen.wrap =
      server_is_silent ? ProtocolWrap(same) : tls_server(server_side(stage.carrier()), options);
  // A plain server with a plan of no words.
  stage.server_plan.total = 0;
  if (!stage.serve(std::move(listen))) return;
  const TimePoint begin = stage.loop().time();
  ConnectOptions connecting;
  if (server_is_silent) {
    // What comes is no greeting: whatever it is taken for, it says nothing.
    stage.vary = [](std::uint8_t, bool, Plan& plan) { plan.total = 0; };
    stage.prepare = [](Peer& peer, bool) { peer.on_raw = [](BytesView) { return BytesView(); }; };
    options.server_hostname = "localhost";
    connecting.wrap = tls_client(client_side(stage.carrier()), options);
    const auto one = stage.connect_one(connecting);
    if (trial.done(one)) {
      trial.complain("a handshake with nobody came about");
    } else if (trial.unharmed() && stage.loop().time() < begin + limit) {
      trial.complain("the limit of a handshake came early");
    }
    trial.reached("the server is silent in handshake");
  } else {
    stage.client_plan.total = lot.below(3);
    stage.client_plan.when_received = Ending::none;
    connecting.wrap = same;
    stage.connect(2, connecting);
    stage.wait();
    for (const auto& each : stage.clients()) {
      if (trial.unharmed() && each->lost() && stage.client_plan.total == 0 &&
          stage.loop().time() < begin + limit) {
        trial.complain("the limit of a handshake came early");
      }
    }
    if (!stage.servers().empty() && stage.servers().front()->made()) {
      trial.complain("a handshake with nobody came about");
    }
    trial.reached("the client is silent in handshake");
  }
  for (const auto& each : stage.servers()) {
    if (each->made() && !each->lost()) each->do_abort();
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
      if (stage.loop().time() < closed + limit) {
        trial.complain("the limit of TLS's shutdown came early");
      }
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

/// More handshakes at once than the server puts up with.
void too_many_handshakes(Stage& stage) {
  Trial& trial = stage.trial();
  trial.disturb();
  short_talk(stage);
  TlsOptions options;
  options.max_handshakes = 2;
  ListenOptions listen;
  listen.wrap = tls_server(server_side(stage.carrier()), options);
  if (!stage.serve(std::move(listen))) return;
  stage.connect(4);
  stage.wait();
  std::size_t content = 0;
  for (const auto& each : stage.clients()) content += each->content() ? 1 : 0;
  if (content < 4) trial.reached("there are too many handshakes");
  if (trial.unharmed() && content < 2) trial.complain("too few handshakes came about");
  // Some may wait for a descriptor: all at once they would be too many again.
  trial.heal();
  trial.run_for(2min);
  stage.finish();
}

}  // namespace

void add_tls_scenarios(std::vector<testing::Scenario>& all) {
  add_staged(all, "cut-handshake", kTls, cut_handshake);
  add_staged(all, "handshake-given-up", kTls, handshake_given_up);
  add_staged(all, "silent-in-handshake", kTlsOne, silent_in_handshake);
  add_staged(all, "silent-at-the-end", kTlsOne, silent_at_the_end);
  add_staged(all, "tls-half-close", kTlsOne, half_close);
  add_staged(all, "tls-in-tls", kTlsOne, doubled);
  add_staged(all, "resumption", kTls, resumed);
  add_staged(all, "too-many-handshakes", kTlsOne, too_many_handshakes);
}

}  // namespace ferry::test
