#include "scenarios.h"
#include "stage.h"

#include <ferry/connection_limit.h>

#include <algorithm>
#include <chrono>

namespace ferry::test {

namespace {

using namespace std::chrono_literals;
using testing::Seed;
using testing::Trial;
using Ending = Plan::Ending;

constexpr Carrier kTwo[] = {Carrier::tcp, Carrier::tls};
constexpr Carrier kThree[] = {Carrier::tcp, Carrier::unix_socket, Carrier::tls};

/// The client ends it after a few hundred bytes each way.
void short_talk(Stage& stage) {
  stage.client_plan.total = stage.server_plan.total = 400;
  stage.client_plan.chunk = stage.server_plan.chunk = 150;
  stage.server_plan.answering = true;
  stage.client_plan.expected = 400;
  stage.client_plan.when_received = Ending::close;
}

/// A server that talks to two at a time: the others wait.
void limited(Stage& stage) {
  Trial& trial = stage.trial();
  short_talk(stage);
  stage.client_plan.gap = 300us;
  constexpr std::size_t kMost = 2;
  stage.prepare = [&](Peer& peer, bool) {
    peer.in_callback = [&](const char*) {
      const std::size_t now = stage.server() ? stage.server()->connections() : 0;
      if (now > kMost) trial.complain("more connections than allowed");
      if (now == kMost) trial.reached("a server has all the connections it may have");
    };
  };
  ListenOptions options;
  options.max_connections = kMost;
  if (!stage.serve(std::move(options))) return;
  stage.connect(5);
  stage.finish();
}

/// One that closes those that are too many, without a protocol for them.
void gated(Stage& stage) {
  Trial& trial = stage.trial();
  trial.disturb();
  short_talk(stage);
  stage.client_plan.gap = 300us;
  const auto limit = std::make_shared<ConnectionLimit>(ConnectionLimits{.total = 2});
  ListenOptions options;
  options.gate = limit;
  stage.prepare = [&](Peer& peer, bool) {
    peer.in_callback = [&](const char*) {
      if (limit->connections() > 2) trial.complain("the gate let too many in");
      if (limit->refused() > 0) trial.reached("a connection is refused by a gate");
    };
  };
  if (!stage.serve(std::move(options))) return;
  stage.connect(4);
  stage.wait();
  trial.heal();
  trial.run_for(2min);
  if (limit->connections() != 0) trial.complain("the gate counts connections that are over");
  stage.finish();
}

/// For a while there are no descriptors left: the server rests, and goes on.
void out_of_descriptors(Stage& stage) {
  Seed& lot = stage.lot();
  Trial& trial = stage.trial();
  trial.disturb();
  short_talk(stage);
  if (!stage.serve()) return;
  if (trial.simulated()) {
    trial.sim().set_descriptor_limit(trial.sim().stats().open_sockets + lot.below(7));
  }
  stage.connect(4);
  trial.run_for(std::chrono::milliseconds(lot.below(3000)));
  trial.heal();
  stage.finish();
}

/// The server is ended in one of its ways, at any time.
void ended_at_any_time(Stage& stage) {
  Seed& lot = stage.lot();
  Trial& trial = stage.trial();
  trial.disturb();
  stage.excuse();  // it is the server that closes, not its peers
  for (Plan* plan : {&stage.client_plan, &stage.server_plan}) {
    plan->total = 20'000;
    plan->chunk = 4000;
    plan->gap = 300us;
    plan->high = 2000;
    plan->rest_after = 5000;
    plan->rest = 2ms;
  }
  stage.server_plan.when_sent = lot.permille(300) ? Ending::none : Ending::close;
  if (!stage.serve()) return;
  stage.connect(4);
  const bool early = lot.permille(400);
  trial.run_for(std::chrono::microseconds(early ? lot.below(400) : lot.below(8000)));
  Server& server = *stage.server();
  const std::size_t before = server.connections();
  stage.connect(1);
  switch (lot.below(7)) {
    case 0:
      server.close();
      server.close_clients();
      break;
    case 1:
      server.close();
      server.abort_clients();
      break;
    case 2:
    case 3:
    case 4:
    case 5: {
      const auto draining =
          server.drain(lot.permille(500) ? std::chrono::milliseconds(lot.below(10)) : 10s);
      if (trial.done(draining)) {
        if (draining.result() > 0) trial.reached("drain aborts connections");
        if (draining.result() == 0 && before > 0) trial.reached("drain waits for the last one");
        if (server.connections() != 0) trial.complain("drained, and there are connections left");
      }
      break;
    }
    default:
      server.close_clients();
      trial.run_for(std::chrono::microseconds(lot.below(5000)));
      server.close();
  }
  if (server.is_serving() || !server.sockets().empty()) {
    trial.complain("a closed server goes on listening");
  }
  stage.wait(1min);
  const auto closed = server.wait_closed();
  trial.done(closed);
  if (server.connections() != 0) trial.complain("a closed server has connections");
  stage.finish();
}

/// A new server takes the port over while the old one lets its clients finish.
void restarted(Stage& stage) {
  Seed& lot = stage.lot();
  Trial& trial = stage.trial();
  short_talk(stage);
  stage.client_plan.gap = 1ms;
  if (!stage.serve()) return;
  const std::uint16_t port = stage.server()->port();
  stage.connect(3);
  trial.disturb();  // who was in the backlog is reset,
  stage.excuse();   // and who is late is aborted
  trial.run_for(std::chrono::microseconds(lot.below(4000)));
  const std::shared_ptr<Server> old = stage.server();
  old->close();
  stage.watching().set_draining(old);
  const auto draining = old->drain(10s);
  // Then nothing is left of it but TIME_WAIT.
  if (lot.permille(300)) trial.done(draining);
  ListenOptions options;
  options.port = port;
  bool serving = stage.serve(options);
  if (!serving && trial.unharmed())
    trial.complain("the port is not free although its server is closed");
  if (!serving) {
    trial.heal();
    serving = stage.serve(options);
  }
  if (!serving) return trial.complain("the port is not free");
  if (old->connections() > 0) trial.reached("the new server is there while the old one drains");
  stage.connect(3);
  if (trial.simulated() && lot.permille(500)) {
    // The new one cannot accept for a while.
    const auto guard = trial.faults().inject({.call = "accept", .error = EMFILE, .times = 2});
    trial.run_for(10ms);
    stage.wait();
  }
  trial.done(draining);
  stage.watching().set_draining(nullptr);
  stage.finish();
}

/// More clients at once than the backlog holds.
void crowd(Stage& stage) {
  short_talk(stage);
  ListenOptions options;
  options.backlog = static_cast<int>(stage.lot().between(1, 3));
  // Linux may lose the first bytes of what does not fit (lib/README.md, SYN cookies).
  if (!stage.trial().simulated()) options.backlog = 16;
  if (!stage.serve(std::move(options))) return;
  ConnectOptions patient;
  patient.timeout = 5min;
  stage.connect(10, patient);
  stage.finish();
}

/// Accepting fails in each way it can, again and again.
void accept_fails(Stage& stage) {
  Seed& lot = stage.lot();
  Trial& trial = stage.trial();
  short_talk(stage);
  const auto errors = testing::FaultKernel::errors_of("accept");
  const auto guard = trial.faults().inject({.call = "accept",
                                            .error = errors[lot.below(errors.size())],
                                            .after = lot.below(3),
                                            .times = lot.between(1, 4)});
  if (!stage.serve()) return;
  stage.connect(4);
  stage.finish();
}

/// It exists, but does not listen before it is told to.
void started_late(Stage& stage) {
  Seed& lot = stage.lot();
  Trial& trial = stage.trial();
  trial.disturb();
  short_talk(stage);
  ListenOptions options;
  options.start_serving = false;
  if (!stage.serve(std::move(options))) return;
  if (stage.server()->is_serving()) trial.complain("it serves, and was not told to");
  const std::size_t reports = trial.reports();
  stage.connect(2);
  stage.wait();
  if (trial.reports() == reports) trial.complain("connected to a server that does not listen");
  try {
    stage.server()->start_serving();
  } catch (const std::system_error& error) {
    trial.report(error.what());
    return stage.take_down();
  }
  stage.connect(2);
  trial.run_for(std::chrono::microseconds(lot.below(2000)));
  stage.finish();
}

/// Served until the future is cancelled.
void served_for_ever(Stage& stage) {
  Seed& lot = stage.lot();
  Trial& trial = stage.trial();
  trial.disturb();
  short_talk(stage);
  if (!stage.serve()) return;
  const auto serving = stage.server()->serve_forever();
  stage.connect(3);
  trial.run_for(std::chrono::microseconds(lot.below(3000)));
  if (serving.done()) trial.complain("serve_forever is over by itself");
  serving.cancel();
  trial.run_for(1ms);
  if (stage.server()->is_serving()) trial.complain("serve_forever was cancelled, and it serves");
  stage.finish();
}

}  // namespace

void add_server_scenarios(std::vector<testing::Scenario>& all) {
  add_staged(all, "limited-server", kThree, limited);
  add_staged(all, "gated-server", kTwo, gated);
  add_staged(all, "out-of-descriptors", kThree, out_of_descriptors);
  add_staged(all, "server-ended", kThree, ended_at_any_time);
  add_staged(all, "server-restarted", kTwo, restarted);
  add_staged(all, "crowd", kPlain, crowd);
  add_staged(all, "accept-fails", kThree, accept_fails);
  add_staged(all, "started-late", kPlain, started_late);
  add_staged(all, "served-for-ever", kTwo, served_for_ever);
}

}  // namespace ferry::test
