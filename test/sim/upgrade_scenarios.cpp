#include "pattern.h"
#include "scenarios.h"
#include "stage.h"

#include <ferry/testing/contract_checker.h>
#include <ferry/testing/pattern_stream.h>
#include <ferry/tls.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>

namespace ferry::test {

namespace {

using namespace std::chrono_literals;
using testing::ContractChecker;
using testing::PatternReader;
using testing::PatternWriter;
using testing::Seed;
using testing::Trial;

constexpr Carrier kTls[] = {Carrier::tls, Carrier::tls_unix};

/// Says some lines in plain, the last of which asks for TLS, and goes on in that.
class Upgrading final : public Protocol, public std::enable_shared_from_this<Upgrading> {
 public:
  Upgrading(Trial& trial, Carrier carrier, bool client, std::size_t total)
      : trial_(trial),
        lot_(trial.lot("upgrade")),
        carrier_(carrier),
        client_(client),
        total_(total),
        in_(client ? 1 : 0),
        out_(client ? 0 : 1) {}

  void connection_made(std::shared_ptr<Transport> transport) override {
    const auto scope = checker.connection_made();
    transport_ = std::move(transport);
    if (!client_) return;
    // A server that waits for its answer, or one that is sure of it.
    eager_ = lot_.permille(500);
    transport_->write(BytesView("hello\n"));
    transport_->write(BytesView(eager_ ? "starttls now\n" : "starttls please\n"));
    if (eager_) begin_tls({});
  }
  void data_received(BytesView data) override {
    const auto scope = checker.data(data.size());
    if (tls_begun_ && !tls_) trial_.complain("bytes came to the protocol in the handshake");
    if (tls_) return take(data);
    plain_ += data.text();
    if (plain_.size() > 1000) trial_.complain("TLS came to the protocol as text");
    if (client_) {
      if (plain_ == "go ahead\n") begin_tls({});
      return;
    }
    const std::size_t word = plain_.find("starttls ");
    const std::size_t end = word == std::string::npos ? word : plain_.find('\n', word);
    if (end == std::string::npos) return;
    if (plain_[word + 9] == 'p') transport_->write(BytesView("go ahead\n"));
    rest_ = plain_.substr(end + 1);
    if (!rest_.empty()) trial_.reached("bytes of TLS come with the last line");
    begin_tls(rest_);
  }
  bool eof_received() override {
    const auto scope = checker.eof_received();
    return false;
  }
  void connection_lost(std::error_code e) override {
    const auto scope = checker.connection_lost(e);
    error = e;
    if (tls_begun_ && !tls_) trial_.reached("lost in the handshake of start_tls");
  }

  bool content() const { return in_.ok() && in_.position() == total_; }
  Future<std::shared_ptr<TlsTransport>> upgrading() const { return upgrading_; }

  ContractChecker checker;
  std::error_code error;

 private:
  void begin_tls(BytesView received) {
    tls_begun_ = true;
    TlsOptions options;
    options.server_hostname = client_ ? std::optional<std::string>("localhost") : std::nullopt;
    options.handshake_timeout = 20s;
    upgrading_ = start_tls(transport_, client_ ? client_side(carrier_) : server_side(carrier_),
                           options, received);
    give_up_sometimes();
    upgrading_.add_done_callback(
        [self = shared_from_this()](const Future<std::shared_ptr<TlsTransport>>& done) {
          if (done.cancelled() || done.exception()) return;
          self->transport_ = done.result();
          self->tls_ = true;
          if (self->eager_) self->trial_.reached("TLS begins before the answer");
          if (self->client_) self->send();
        });
  }
  /// By lot, where it may do harm.
  void give_up_sometimes() {
    if (trial_.calm() || !lot_.permille(450)) return;
    transport_->loop().call_soon([self = shared_from_this()] {
      if (self->upgrading_.cancel()) self->trial_.reached("start_tls is cancelled");
    });
  }
  void send() {
    while (out_.position() < total_ && !transport_->is_closing()) {
      const std::size_t size =
          std::min(total_ - static_cast<std::size_t>(out_.position()), lot_.between(1, 500));
      transport_->write(next_bytes(out_, size));
    }
  }
  void take(BytesView data) {
    if (!in_.take(data)) trial_.complain("wrong bytes after start_tls: " + in_.to_string());
    if (in_.position() != total_) return;
    client_ ? transport_->close() : send();
  }

  Trial& trial_;
  Seed lot_;
  Carrier carrier_;
  bool client_;
  std::size_t total_;
  PatternReader in_;
  PatternWriter out_;
  std::string plain_;
  std::string rest_;
  std::shared_ptr<Transport> transport_;
  Future<std::shared_ptr<TlsTransport>> upgrading_;
  bool eager_ = false;
  bool tls_begun_ = false;
  bool tls_ = false;
};

void upgrade(Stage& stage) {
  Seed& lot = stage.lot();
  Trial& trial = stage.trial();
  const Carrier carrier = stage.carrier() == Carrier::tls ? Carrier::tcp : Carrier::unix_socket;
  const std::size_t total = lot.between(1, 3000);
  std::vector<std::shared_ptr<Upgrading>> all;
  const auto make = [&](bool client) {
    all.push_back(std::make_shared<Upgrading>(trial, stage.carrier(), client, total));
    return all.back();
  };
  const auto server = serve(trial, carrier, [&make] { return make(false); });
  if (!server) return;
  if (lot.permille(400)) trial.disturb();
  std::vector<testing::SimGuard> cuts;
  if (trial.simulated() && !trial.calm() && lot.permille(400)) {
    cuts.push_back(trial.sim().network().cut_after(lot.below(3000)));
  }
  std::vector<Future<Connection<>>> connecting;
  for (int i = 0; i < 2; ++i) {
    connecting.push_back(connect(trial, carrier, *server, [&make] { return make(true); }));
  }
  for (const auto& each : connecting) trial.done(each);
  trial.run_until([&all] {
    return std::all_of(all.begin(), all.end(), [](const auto& each) {
      return !each->checker.made() || each->checker.lost();
    });
  });
  cuts.clear();
  // One may have been made in this very turn.
  server->close();
  trial.done(server->drain(10s));
  for (const auto& each : all) {
    for (const std::string& sentence : each->checker.final_violations()) trial.complain(sentence);
    if (each->error) trial.report("connection_lost: " + each->error.message());
    const bool failed = each->upgrading().valid() && each->upgrading().done() &&
                        !each->upgrading().cancelled() && each->upgrading().exception();
    if (failed && !each->error)
      trial.complain("start_tls failed, and connection_lost does not say so");
    if (trial.calm() && !each->content()) trial.complain("an upgrade did not work");
  }
  trial.heal();
}

/// Takes a stream over from another protocol in its middle.
class Successor final : public Protocol {
 public:
  Successor(Stage& stage, std::shared_ptr<PatternReader> in, std::size_t total, unsigned left)
      : stage_(stage), in_(std::move(in)), total_(total), left_(left) {}
  void connection_made(std::shared_ptr<Transport> made) override {
    const auto scope = checker.connection_made();
    transport = std::move(made);
    transport->write(BytesView("\x03"));
  }
  void data_received(BytesView data) override {
    const auto scope = checker.data(data.size());
    if (next) stage_.trial().complain("data came to a protocol that was replaced");
    in_->take(data);
    if (in_->position() >= total_) return transport->close();
    if (left_ == 0 || stage_.lot().permille(500)) return;
    next = std::make_shared<Successor>(stage_, in_, total_, left_ - 1);
    next->checker.adopt();
    next->transport = transport;
    transport->set_protocol(next);
    stage_.trial().reached("a protocol is replaced in data_received");
  }
  bool eof_received() override {
    const auto scope = checker.eof_received();
    return false;
  }
  void connection_lost(std::error_code e) override {
    const auto scope = checker.connection_lost(e);
    if (next) stage_.trial().complain("the loss was told to a protocol that was replaced");
    error = e;
  }

  ContractChecker checker;
  std::shared_ptr<Transport> transport;
  std::shared_ptr<Successor> next;
  std::error_code error;

 private:
  Stage& stage_;
  std::shared_ptr<PatternReader> in_;
  std::size_t total_;
  unsigned left_;
};

void replaced(Stage& stage) {
  Trial& trial = stage.trial();
  const std::size_t total = stage.lot().between(1000, 8000);
  stage.server_plan.total = total;
  stage.server_plan.chunk = 900;
  stage.server_plan.gap = 200us;
  if (!stage.serve()) return;
  const auto in = std::make_shared<PatternReader>(std::uint16_t{7});
  std::shared_ptr<Successor> first;
  const auto connecting = connect(trial, stage.carrier(), *stage.server(), [&] {
    return first = std::make_shared<Successor>(stage, in, total, 4);
  });
  if (trial.done(connecting)) {
    const auto last = [&first] {
      Successor* each = first.get();
      while (each->next) each = each->next.get();
      return each;
    };
    trial.run_until([&last] { return last()->checker.lost(); });
    if (!in->ok()) trial.complain("replaced protocols: " + in->to_string());
    const Peer* const server = stage.servers().empty() ? nullptr : stage.servers().front().get();
    const bool told = last()->error || (server && server->error()) ||
                      (trial.reports() > 0 && !(server && server->made()));
    if (last()->error) trial.report("connection_lost: " + last()->error.message());
    if (in->position() < total && !told) {
      trial.complain("replaced protocols: bytes are missing, and nobody was told");
    }
    for (const Successor* each = first.get(); each; each = each->next.get()) {
      for (const std::string& sentence : each->checker.violations()) trial.complain(sentence);
    }
  }
  stage.finish();
}

}  // namespace

void add_upgrade_scenarios(std::vector<testing::Scenario>& all) {
  constexpr Carrier two[] = {Carrier::tcp, Carrier::tls};
  add_staged(all, "start-tls", kTls, upgrade);
  add_staged(all, "replaced-protocol", two, replaced);
}

}  // namespace ferry::test
