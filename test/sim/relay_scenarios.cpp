#include "scenarios.h"
#include "stage.h"

#include <ferry/error.h>
#include <ferry/relay.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string_view>
#include <vector>

namespace ferry::test {

namespace {

using namespace std::chrono_literals;
using testing::Seed;
using testing::Trial;
using Ending = Plan::Ending;

/// A proxy: what connects to it is joined with a new connection to the stage's server. The clients
/// of the stage connect to it.
class Proxy {
 public:
  Proxy(Stage& stage, Carrier front, RelayOptions options)
      : stage_(stage), front_(front), options_(options) {
    if (!encrypted(front)) stage.client_is_plain();
  }
  ~Proxy() {
    // If it did not come to its end, the loop closes what is left without it.
    *alive_ = false;
  }

  bool start() {
    if (!stage_.serve()) return false;
    server_ = serve(stage_.trial(), front_,
                    [this, alive = alive_] { return std::make_shared<Entrance>(*this, alive); });
    if (!server_) stage_.server()->close();
    return server_ != nullptr;
  }
  void connect(std::size_t count) {
    ConnectOptions options;
    options.timeout = 60s;
    for (std::size_t i = 0; i < count; ++i) {
      connecting_.push_back(test::connect(
          stage_.trial(), front_, *server_, [this] { return stage_.new_client(); }, options));
    }
  }
  void wait(Duration limit = 5min) {
    for (const auto& each : connecting_) stage_.trial().done(each);
    connecting_.clear();
    stage_.wait(limit);
  }
  const std::vector<Future<RelayResult>>& relays() const { return relays_; }
  /// When the relay of that number ended.
  TimePoint ended_at(std::size_t number) const { return ended_[number]; }
  /// What the proxy holds for its clients.
  const std::vector<std::shared_ptr<Transport>>& outside() const { return outside_; }
  /// How many of them had something to report.
  std::size_t failed() const { return failed_; }
  const RelayTraffic& traffic() const { return traffic_; }

  /// The end of the scenario: a new connection works, through the proxy and past it.
  void finish() {
    Trial& trial = stage_.trial();
    wait();
    trial.run_until([this] { return over(); });
    check();
    stage_.be_quiet();
    trial.heal();
    stage_.prepare = nullptr;
    stage_.vary = [](std::uint8_t, bool client, Plan& plan) {
      plan = {};
      plan.total = client ? 100 : 200;
      plan.expected = client ? 200 : 0;
      if (client) plan.when_received = Ending::close;
    };
    options_ = {};
    connect(1);
    wait();
    const auto& last = stage_.clients();
    if (last.empty() || !last.back()->content() || last.back()->error()) {
      trial.complain("a new connection does not get through although all is well again");
    }
    trial.run_until([this] { return over(); });
    shut_down(trial, server_);
    trial.run_until([this] { return over(); });
    stage_.finish();
  }

 private:
  /// Waits for the way on.
  struct Entrance final : Protocol {
    Proxy& proxy;
    std::shared_ptr<bool> alive;
    Entrance(Proxy& p, std::shared_ptr<bool> a) : proxy(p), alive(std::move(a)) {}
    void connection_made(std::shared_ptr<Transport> transport) override {
      if (*alive) proxy.join(std::move(transport));
    }
    void connection_lost(std::error_code error) override {
      if (!*alive) return;
      proxy.stage_.trial().reached("one side is lost before its relay began");
      if (error) ++proxy.failed_;
    }
  };

  void join(std::shared_ptr<Transport> outside) {
    outside->pause_reading();
    ConnectOptions options;
    options.timeout = 30s;
    const auto connecting = test::connect(
        stage_.trial(), stage_.carrier(), *stage_.server(),
        [] { return std::make_shared<Protocol>(); }, options);
    const auto joined = [this, alive = alive_, outside](const Future<Connection<>>& done) {
      if (!*alive) return;
      --open_;
      if (done.cancelled() || done.exception()) {
        ++failed_;
        stage_.trial().report("the way on is closed");
        return outside->abort();
      }
      if (outside->is_closing()) return done.result().transport->abort();
      RelayOptions counted = options_;
      counted.traffic = &traffic_;
      try {
        outside_.push_back(outside);
        ended_.emplace_back();
        relays_.push_back(relay(outside, done.result().transport, counted));
        relays_.back().add_done_callback(
            [this, alive, number = relays_.size() - 1](const Future<RelayResult>&) {
              if (*alive) ended_[number] = stage_.loop().time();
            });
      } catch (const std::bad_alloc&) {
        ++failed_;
        outside->abort();
        done.result().transport->abort();
        throw;
      }
    };
    try {
      connecting.add_done_callback(joined);
    } catch (const std::bad_alloc&) {
      connecting.cancel();
      throw;
    }
    ++open_;
  }
  bool over() const {
    if (open_ > 0) return false;
    for (const auto& each : relays_) {
      if (!each.done()) return false;
    }
    return true;
  }
  void check() {
    Trial& trial = stage_.trial();
    std::uint64_t forth = 0;
    std::uint64_t back = 0;
    bool cancelled = false;
    for (const auto& each : relays_) {
      if (each.cancelled() || each.exception()) {
        cancelled = true;
        continue;
      }
      const RelayResult& result = each.result();
      forth += result.a_to_b;
      back += result.b_to_a;
      if (!result.error) continue;
      ++failed_;
      trial.report("relay: " + result.error.message());
    }
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
    for (const auto& each : stage_.clients()) {
      if (each->made()) sent += each->sent() + 1;
      received += each->received();
    }
    if (forth > sent) {
      trial.complain("a relay carried " + std::to_string(forth) + " bytes, " +
                     std::to_string(sent) + " were sent");
    }
    if (back < received && !cancelled) {
      trial.complain("a relay carried " + std::to_string(back) + " bytes, " +
                     std::to_string(received) + " came");
    }
    if (failed_ > 0) stage_.excuse();
  }

  Stage& stage_;
  Carrier front_;
  RelayOptions options_;
  std::shared_ptr<Server> server_;
  std::vector<Future<Connection<>>> connecting_;
  std::vector<Future<RelayResult>> relays_;
  std::vector<TimePoint> ended_;  // of each
  std::vector<std::shared_ptr<Transport>> outside_;
  RelayTraffic traffic_;
  std::size_t open_ = 0;
  std::size_t failed_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

RelayOptions drawn(Stage& stage) {
  RelayOptions options;
  options.splice = static_cast<Splice>(stage.lot().below(3));
  return options;
}

/// Both ways at once through the proxy.
template <Carrier front>
void through(Stage& stage) {
  Seed& lot = stage.lot();
  const std::size_t back = lot.between(1, 10'000);
  stage.client_plan.total = lot.between(1, 10'000);
  stage.client_plan.chunk = lot.between(100, 5000);
  stage.client_plan.expected = back;
  stage.client_plan.when_received = Ending::close;
  stage.server_plan.total = back;
  stage.server_plan.chunk = lot.between(100, 5000);
  stage.server_plan.high = lot.below(3000);
  Proxy proxy(stage, front, drawn(stage));
  if (!proxy.start()) return;
  proxy.connect(2);
  proxy.finish();
}

/// One direction ends long before the other.
template <Carrier front>
void half_closed(Stage& stage) {
  Seed& lot = stage.lot();
  const bool client_first = lot.permille(500);
  Plan& first = client_first ? stage.client_plan : stage.server_plan;
  Plan& second = client_first ? stage.server_plan : stage.client_plan;
  first.total = lot.between(1, 3000);
  first.when_sent = Ending::eof;
  first.keep_open = second.keep_open = true;
  second.total = lot.between(1, 8000);
  second.chunk = 2000;
  second.gap = std::chrono::microseconds(lot.below(3000));
  second.high = lot.below(2000);
  Proxy proxy(stage, front, drawn(stage));
  if (!proxy.start()) return;
  proxy.connect(3);
  proxy.finish();
}

/// One side takes much less than the other gives: neither the proxy nor the giver may pile it up.
template <Carrier front>
void slow_side(Stage& stage) {
  Seed& lot = stage.lot();
  const std::size_t total = 70'000;
  stage.server_plan.total = total;
  stage.server_plan.chunk = 10'000;
  stage.server_plan.high = 5000;
  stage.client_plan.total = 0;
  stage.client_plan.rest = std::chrono::microseconds(lot.between(100, 10'000));
  stage.client_plan.rest_after = 20'000;
  stage.client_plan.expected = total;
  stage.client_plan.when_received = lot.permille(500) ? Ending::close : Ending::none;
  if (stage.client_plan.when_received == Ending::none) stage.server_plan.when_sent = Ending::close;
  Proxy proxy(stage, front, drawn(stage));
  if (!proxy.start()) return;
  proxy.connect(1);
  proxy.finish();
}

/// So much that a relay which copies begins to splice by itself.
template <Carrier front>
void much(Stage& stage) {
  Trial& trial = stage.trial();
  constexpr std::size_t kTotal = 3 << 20;
  stage.server_plan.total = kTotal;
  stage.server_plan.chunk = stage.lot().between(1 << 18, kTotal);
  stage.client_plan.total = stage.lot().between(1, 5000);
  stage.client_plan.expected = kTotal;
  stage.client_plan.when_received = Ending::close;
  trial.set_observer([&trial](std::string_view call, int, const IoResult& result) {
    if (call == "splice" && result.ok()) trial.reached("a relay begins to splice by itself");
  });
  RelayOptions options;
  options.splice = Splice::automatic;
  {
    Proxy proxy(stage, front, options);
    if (proxy.start()) {
      proxy.connect(1);
      proxy.finish();
    }
  }
  trial.set_observer(nullptr);
}

/// A limit of relays, and from when to when it may have begun, of whichever of them.
struct Limit {
  Duration limit;
  const char* operation;  ///< What the relay says then,
  const char* state;      ///< and which state that is.
  TimePoint first = TimePoint::max();
  TimePoint last{};

  /// It begins when anything passes: after it was said, and before it is heard.
  void begins_with_last_words(const Stage& stage) {
    for (const auto& client : stage.clients()) {
      const Peer* const server = stage.partner(*client);
      if (!server) continue;
      TimePoint said{};
      if (server->received() == client->sent()) said = client->wrote_at();
      if (client->received() == server->sent()) said = std::max(said, server->wrote_at());
      first = std::min(first, said);
      last = std::max({last, said, client->heard_at(), server->heard_at()});
    }
    // A queue that became shorter meanwhile lets it begin anew when it is over.
    last += limit;
  }
};

/// Each of the relays was ended by that, in its time.
void check_limit(Stage& stage, const Proxy& proxy, const Limit& limit) {
  Trial& trial = stage.trial();
  const std::string operation = limit.operation;
  for (std::size_t i = 0; i < proxy.relays().size(); ++i) {
    const auto& relay = proxy.relays()[i];
    const bool told = relay.done() && !relay.cancelled() && !relay.exception();
    const Error error = told ? relay.result().error : Error();
    const bool over =
        error.code == make_error_code(errc::timed_out) && operation == error.operation;
    if (over) trial.reached(limit.state);
    if (!stage.exact()) continue;
    if (!over) trial.complain(operation + " did not end it; it says '" + error.message() + "'");
    if (over) {
      stage.check_limit(operation, limit.limit, limit.first, limit.last, proxy.ended_at(i));
    }
  }
  if (stage.exact() && proxy.relays().size() < 2) trial.complain("a relay did not come about");
}

/// Two connections fall silent, and the relays' limit ends them.
template <Carrier front>
void end_by_silence(Stage& stage, const RelayOptions& options, Limit limit) {
  stage.trial().disturb();
  Proxy proxy(stage, front, options);
  if (!proxy.start()) return;
  proxy.connect(2);
  proxy.wait(1min);
  limit.begins_with_last_words(stage);
  check_limit(stage, proxy, limit);
  proxy.finish();
}

/// Both sides fall silent, after a while.
template <Carrier front>
void idle(Stage& stage) {
  RelayOptions options = drawn(stage);
  options.idle = std::chrono::milliseconds(stage.lot().between(100, 3000));
  stage.client_plan.total = stage.lot().between(1, 6);
  stage.client_plan.chunk = 1;
  stage.client_plan.gap = options.idle / 2;
  stage.server_plan.total = 300;
  end_by_silence<front>(stage, options,
                        {options.idle, "relay (idle)", "the idle limit of a relay is over"});
}

/// One side ends, and the other one says a word, and no more.
template <Carrier front>
void silent_after_end(Stage& stage) {
  RelayOptions options = drawn(stage);
  options.half_close_linger = std::chrono::milliseconds(stage.lot().between(100, 3000));
  stage.client_plan.total = 300;
  stage.client_plan.when_sent = Ending::eof;
  stage.client_plan.keep_open = stage.server_plan.keep_open = true;
  stage.server_plan.total = 1000;
  stage.server_plan.gap = 1h;
  end_by_silence<front>(stage, options,
                        {options.half_close_linger, "relay (half-closed)",
                         "the limit of a half-closed relay is over"});
}

/// Both sides have ended, and one of them does not take what is there for it.
template <Carrier front>
void taken_by_nobody(Stage& stage) {
  Seed& lot = stage.lot();
  Trial& trial = stage.trial();
  trial.disturb();
  RelayOptions options = drawn(stage);
  // A pipe has few pages: full of small pieces it keeps the relay from seeing the end.
  options.splice = Splice::never;
  options.half_close_linger = Duration::zero();
  options.drain = std::chrono::milliseconds(lot.between(100, 3000));
  stage.client_plan.total = 300;
  stage.client_plan.when_sent = Ending::eof;
  stage.client_plan.keep_open = stage.server_plan.keep_open = true;
  // Slowly, or the server's end might be stuck behind what the relay does not read any more.
  stage.server_plan.total = 1'000'000;
  stage.server_plan.chunk = 1000;
  stage.server_plan.gap = 10ms;
  stage.prepare = [](Peer& peer, bool client) {
    if (!client) return;
    peer.in_callback = [&peer](const char* callback) {
      if (callback == std::string_view("connection_made")) peer.do_pause();
    };
  };
  Proxy proxy(stage, front, options);
  if (!proxy.start()) return;
  proxy.connect(2);
  bool late = false;
  Timer timer(stage.loop(), [&late] { late = true; });
  timer.set(1min);
  trial.run_until([&] {
    // More than a few sends that fell short.
    const auto full = [](const auto& each) { return each->get_write_buffer_size() > 5000; };
    const auto& all = proxy.outside();
    return late || (all.size() == 2 && std::all_of(all.begin(), all.end(), full));
  });
  for (const auto& each : stage.servers()) {
    if (each->made() && !each->lost()) each->do_close();
  }
  const TimePoint closed = stage.loop().time();
  proxy.wait(1min);
  check_limit(
      stage, proxy,
      {options.drain, "relay (drain)", "the limit of a relay's drain is over", closed, closed});
  proxy.finish();
}

/// Both ends do what they like, and some relays are cancelled.
template <Carrier front>
void torn(Stage& stage) {
  Seed& lot = stage.lot();
  Trial& trial = stage.trial();
  trial.disturb();
  stage.excuse();
  stage.vary = [&lot](std::uint8_t, bool, Plan& plan) {
    plan.total = lot.between(1, 20'000);
    plan.chunk = 3000;
    plan.gap = std::chrono::microseconds(lot.below(1000));
    plan.high = lot.below(3000);
    plan.keep_open = lot.permille(500);
  };
  Proxy proxy(stage, front, drawn(stage));
  if (!proxy.start()) return;
  proxy.connect(3);
  Ticker ticker(stage, 3ms, 30, [&] {
    if (lot.permille(150) && !proxy.relays().empty()) {
      const auto& relay = proxy.relays()[lot.below(proxy.relays().size())];
      if (relay.cancel()) trial.reached("a relay is cancelled");
    } else if (Peer* const peer = stage.any()) {
      peer->do_something(lot);
    }
  });
  proxy.wait(10s);
  proxy.finish();
}

}  // namespace

void add_relay_scenarios(std::vector<testing::Scenario>& all) {
  constexpr Carrier tcp[] = {Carrier::tcp};
  constexpr Carrier local[] = {Carrier::unix_socket};
  constexpr Carrier tls[] = {Carrier::tls};
  add_staged(all, "relay-from-tcp-to", kPlain, through<Carrier::tcp>);
  add_staged(all, "relay-from-tcp-to", tls, through<Carrier::tcp>);
  add_staged(all, "relay-from-unix-to", kPlain, through<Carrier::unix_socket>);
  add_staged(all, "relay-from-tls-to", tcp, through<Carrier::tls>);
  add_staged(all, "relay-half-closed-from-tcp-to", kPlain, half_closed<Carrier::tcp>);
  add_staged(all, "relay-half-closed-from-unix-to", local, half_closed<Carrier::unix_socket>);
  add_staged(all, "relay-slow-side-from-tcp-to", kPlain, slow_side<Carrier::tcp>);
  add_staged(all, "relay-slow-side-from-tls-to", tcp, slow_side<Carrier::tls>);
  add_staged(all, "relay-much-from-tcp-to", tcp, much<Carrier::tcp>, {.least_piece = 16 * 1024});
  all.back().options.sim.pipe_capacity = 2 << 20;
  add_staged(all, "relay-idle-from-tcp-to", kPlain, idle<Carrier::tcp>);
  add_staged(all, "relay-silent-after-end-from-tcp-to", kPlain, silent_after_end<Carrier::tcp>);
  add_staged(all, "relay-taken-by-nobody-from-tcp-to", kPlain, taken_by_nobody<Carrier::tcp>);
  add_staged(all, "relay-torn-from-tcp-to", kPlain, torn<Carrier::tcp>);
}

}  // namespace ferry::test
