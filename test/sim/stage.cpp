#include "stage.h"

#include <algorithm>
#include <cerrno>
#include <chrono>

namespace ferry::test {

using namespace std::chrono_literals;
using testing::Trial;

Stage::Stage(Trial& trial, Carrier carrier)
    : trial_(trial),
      carrier_(carrier),
      tells_reader_(encrypted(carrier)),
      watching_(trial, encrypted(carrier)),
      lot_(trial.lot()) {
  if (!lot_.permille(400)) return;
  // The kernel has no room although it said so.
  for (const char* call : {"send", "sendmsg"}) {
    guards_.push_back(trial.faults().inject({.call = call,
                                             .error = EAGAIN,
                                             .after = lot_.below(lot_.permille(500) ? 4 : 25),
                                             .times = lot_.between(1, 3)}));
  }
}

Stage::~Stage() {
  // If something is open still, the loop's end is told to peers that can call nobody.
  for (const auto& each : clients_) each->retire();
  for (const auto& each : servers_) each->retire();
}

Plan Stage::plan_of(std::uint8_t number, bool client) {
  if (number >= kProbe) {
    Plan plan;
    plan.total = client ? 300 : 700;
    plan.expected = client ? 700 : 300;
    if (client) plan.when_received = Plan::Ending::close;
    return plan;
  }
  Plan plan = client ? client_plan : server_plan;
  if (vary) vary(number, client, plan);
  return plan;
}

// -- peers

std::shared_ptr<Peer> Stage::new_client() {
  const auto peer = trial_.protocol<Peer>(*this, probing_ ? kProbe : next_number_++);
  watching_.add(*peer);
  clients_.push_back(peer);
  if (prepare && !probing_) prepare(*peer, true);
  return peer;
}

std::shared_ptr<Peer> Stage::new_server() {
  const auto peer = trial_.protocol<Peer>(*this, std::nullopt);
  watching_.add(*peer);
  servers_.push_back(peer);
  if (prepare && !probing_) prepare(*peer, false);
  return peer;
}

ProtocolFactory Stage::server_factory() {
  return [this] { return new_server(); };
}

Peer* Stage::partner(const Peer& client) const {
  const auto place = std::find_if(servers_.begin(), servers_.end(), [&client](const auto& each) {
    return each->number() == client.number();
  });
  return place == servers_.end() ? nullptr : place->get();
}

Peer* Stage::any() {
  const std::size_t count = clients_.size() + servers_.size();
  if (count == 0) return nullptr;
  const std::size_t which = lot_.below(count);
  return which < clients_.size() ? clients_[which].get() : servers_[which - clients_.size()].get();
}

// -- the usual course

bool Stage::serve(ListenOptions options) {
  server_ = test::serve(trial_, carrier_, server_factory(), std::move(options));
  return server_ != nullptr;
}

Future<Connection<>> Stage::connect_one(ConnectOptions options) {
  return test::connect(
      trial_, carrier_, *server_, [this] { return new_client(); }, std::move(options));
}

void Stage::connect(std::size_t count, ConnectOptions options) {
  for (std::size_t i = 0; i < count; ++i) connecting_.push_back(connect_one(options));
}

void Stage::wait(Duration limit) {
  while (!connecting_.empty()) {
    // More may come meanwhile.
    const auto first = connecting_.front();
    connecting_.erase(connecting_.begin());
    trial_.done(first);
  }
  if (all_lost_within(limit)) return;
  if (trial_.calm()) trial_.complain("connections come to no end" + trial_.still_open());
  // Nothing may hang for ever because something was wrong for a while; only what the scenario
  // itself did may leave two waiting for each other.
  if (!trial_.disturbed()) {
    trial_.heal();
    if (all_lost_within(10min)) return;
    trial_.complain("connections come to no end although all is well again" + trial_.still_open());
  }
  // One more may come about meanwhile.
  trial_.run_until([this] {
    abort_all();
    return trial_.all_lost();
  });
}

bool Stage::all_lost_within(Duration limit) {
  bool late = false;
  Timer timer(loop(), [&late] { late = true; });
  timer.set(limit);
  // The turn in which the last is lost may bring another one in.
  while (!late && !trial_.all_lost()) {
    trial_.run_until([&] { return late || trial_.all_lost(); });
  }
  return trial_.all_lost();
}

void Stage::abort_all() {
  for (const auto* peers : {&clients_, &servers_}) {
    for (const auto& each : *peers) {
      if (each->made() && !each->lost()) each->do_abort();
    }
  }
}

void Stage::check_limit(const std::string& what, Duration limit, TimePoint first, TimePoint last,
                        TimePoint end) {
  // Links, slow turns and stalls take some time, and are no harm.
  constexpr Duration kSlack = 10s;
  if (!trial_.simulated()) return;
  if (end < first + limit) trial_.complain(what + " came early");
  if (end > last + limit + kSlack && exact()) trial_.complain(what + " came too late");
}

void Stage::probe() {
  probing_ = quiet_ = true;
  trial_.heal();
  if (!server_ || !server_->is_serving()) return;
  // What failed below a protocol that is lost may be told a little later.
  trial_.run_for(trial_.simulated() ? Duration(1min) : Duration(500ms));
  ConnectOptions options;
  options.timeout = 10min;
  const auto connecting = connect_one(options);
  const std::size_t reports = trial_.reports();
  if (!trial_.done(connecting)) {
    trial_.complain("no connection can be made although all is well again");
  } else {
    const auto& client = clients_.back();
    trial_.run_until([&] { return trial_.all_lost(); });
    const Peer* const server = partner(*client);
    if (!client->content() || client->error() || !server || !server->content() || server->error()) {
      trial_.complain("a new connection does not work although all is well again: " +
                      client->summary());
    }
  }
  if (trial_.reports() != reports) trial_.complain("reported although all is well again");
}

void Stage::take_down() {
  if (server_) shut_down(trial_, server_);
  trial_.run_until([this] { return trial_.all_lost(); });
}

void Stage::finish() {
  wait();
  probe();
  take_down();
  compare();
}

// -- the oracle

void Stage::compare() {
  for (const auto& client : clients_) {
    if (!client->made()) continue;
    if (const Peer* const server = partner(*client)) {
      compare_direction(*client, *server, "client to server");
      compare_direction(*server, *client, "server to client");
    } else if (trial_.calm() && !client->closed() && !client->aborted()) {
      trial_.complain("a connection did not reach the server's protocol");
    }
  }
}

void Stage::compare_direction(const Peer& from, const Peer& to, const char* what) {
  if (to.received() > from.sent()) {
    return trial_.breach(std::string(what) + ": more bytes came than were sent");
  }
  if (to.received() == from.sent()) return;
  // Who ends a connection wants no more of it; and who aborts it, drops what he has sent.
  const bool wanted = to.closed() || to.aborted() || from.aborted();
  const bool told = to.error() || (from.error() && !tells_reader_);
  if (wanted || excused_ || told) return;
  trial_.complain(std::string(what) + ": of " + std::to_string(from.sent()) + " bytes " +
                  std::to_string(to.received()) + " came, and nobody was told; " + from.summary() +
                  " / " + to.summary());
}

void add_staged(std::vector<testing::Scenario>& all, const std::string& name,
                std::span<const Carrier> carriers, void (*play)(Stage&),
                testing::Troubles troubles) {
  for (const Carrier carrier : carriers) {
    all.push_back({.name = name + "-" + to_string(carrier),
                   .play =
                       [play, carrier](Trial& trial) {
                         Stage stage(trial, carrier);
                         play(stage);
                       },
                   .troubles = troubles});
  }
}

// -- Ticker

Ticker::Ticker(Stage& stage, Duration between, std::size_t times, Function<void()> what)
    : stage_(stage),
      between_(between),
      left_(times),
      what_(std::move(what)),
      timer_(stage.loop(), [this] {
        if (stage_.quiet()) return;
        what_();
        next();
      }) {
  next();
}

void Ticker::next() {
  if (left_ == 0) return;
  --left_;
  const auto most = static_cast<std::size_t>(between_ / 1us);
  timer_.set(std::chrono::microseconds(stage_.lot().between(1, most)));
}

}  // namespace ferry::test
