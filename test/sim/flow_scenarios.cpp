#include "scenarios.h"
#include "stage.h"

#include <ferry/error.h>
#include <ferry/idle_limit.h>
#include <ferry/pass_through.h>
#include <ferry/rate_limit.h>
#include <ferry/wraps.h>

#include <algorithm>
#include <chrono>

namespace ferry::test {

namespace {

using namespace std::chrono_literals;
using testing::PatternReader;
using testing::PatternWriter;
using testing::Seed;
using testing::Trial;
using Ending = Plan::Ending;

constexpr Carrier kTwo[] = {Carrier::tcp, Carrier::tls};
constexpr Carrier kThree[] = {Carrier::tcp, Carrier::unix_socket, Carrier::tls};

/// Much in one direction, to one that reads when it likes to.
void slow_reader(Stage& stage) {
  Seed& lot = stage.lot();
  stage.vary = [&lot](std::uint8_t, bool client, Plan& plan) {
    constexpr std::size_t kTotal = 40'000;
    plan.total = client ? 0 : kTotal;
    plan.chunk = lot.between(1000, 20'000);
    if (!client) {
      plan.high = lot.below(10'000);
      return;
    }
    plan.rest = std::chrono::microseconds(lot.between(1, 10'000));
    plan.rest_after = lot.between(1000, 20'000);
    plan.expected = kTotal;
    plan.when_received = Ending::close;
  };
  if (!stage.serve()) return;
  stage.connect(2);
  stage.finish();
}

/// Bursts of several pieces, as far as flow control lets them.
void bursts(Stage& stage) {
  Seed& lot = stage.lot();
  for (Plan* plan : {&stage.client_plan, &stage.server_plan}) {
    plan->total = plan->expected = lot.between(5000, 20'000);
    plan->chunk = lot.between(100, 8000);
    plan->lines = true;
    plan->high = lot.below(6000);
    plan->rest = std::chrono::microseconds(lot.between(1, 3000));
    plan->rest_after = lot.between(1000, 10'000);
  }
  stage.client_plan.expected = stage.server_plan.total;
  stage.server_plan.expected = 0;
  stage.client_plan.when_received = Ending::close;
  if (!stage.serve()) return;
  stage.connect(3);
  stage.finish();
}

/// A writer that does not listen to pause_writing is ended by the hard limit, and one that does
/// never meets it.
void hard_limit(Stage& stage) {
  Seed& lot = stage.lot();
  Trial& trial = stage.trial();
  const std::size_t limit = lot.between(10'000, 30'000);
  const bool rude = lot.permille(500);
  if (rude) trial.disturb();
  stage.server_plan.total = rude ? 200'000 : 60'000;
  stage.server_plan.chunk = 4000;
  stage.server_plan.high = 2000;
  stage.server_plan.hard_limit = limit;
  stage.client_plan.total = 0;
  stage.client_plan.rest = rude ? Duration(10s) : Duration(10ms);
  stage.client_plan.rest_after = 8000;
  stage.client_plan.expected = stage.server_plan.total;
  stage.client_plan.when_received = Ending::close;
  if (!stage.serve()) return;
  stage.connect(2);
  Ticker ticker(stage, 2ms, 40, [&stage, &trial, rude, limit] {
    if (!rude) return;
    for (const auto& each : stage.servers()) {
      each->do_write(4000);
      if (!each->made() || each->lost() || each->transport()->is_closing()) continue;
      const std::size_t size = each->transport()->get_write_buffer_size();
      if (size > limit) trial.complain("the queue is beyond its hard limit");
    }
  });
  stage.wait();
  for (const auto& each : stage.servers()) {
    if (each->error() != make_error_code(errc::write_overflow)) continue;
    trial.reached("the queue grows beyond its hard limit");
    if (!rude) trial.complain("a writer that pauses ran into the hard limit");
  }
  stage.finish();
}

/// The limits of the write buffer change all the time.
void changing_limits(Stage& stage) {
  Seed& lot = stage.lot();
  Trial& trial = stage.trial();
  for (Plan* plan : {&stage.client_plan, &stage.server_plan}) {
    plan->total = 40'000;
    plan->chunk = 10'000;
    plan->rest = 2ms;
    plan->rest_after = 4000;
    plan->when_sent = Ending::eof;
    plan->keep_open = true;
  }
  if (!stage.serve()) return;
  stage.connect(2);
  Ticker ticker(stage, 1ms, 60, [&] {
    Peer* const peer = stage.any();
    if (!peer || !peer->made() || peer->lost()) return;
    Transport& transport = *peer->transport();
    // Where the queue is, or anywhere.
    const std::size_t queued = transport.get_write_buffer_size();
    const bool near = queued > 0 && lot.permille(600);
    const std::size_t low = near ? queued - 1 : lot.below(5000);
    const std::size_t high = low + 1 + lot.below(5000);
    {
      const auto scope = peer->checker().write();
      transport.set_write_buffer_limits(high, low);
    }
    const WriteLimits limits = transport.get_write_buffer_limits();
    if (limits.high != high || limits.low != low) trial.complain("the limits are not as set");
    const std::size_t size = transport.get_write_buffer_size();
    if (size > high && !peer->writing_paused() && !transport.is_closing()) {
      trial.complain("above the new limit, and writing is not paused");
    }
  });
  stage.finish();
}

/// Reads into buffers of its own, of odd sizes; or, `at_once`, into small ones without a pause.
class Lender final : public BufferedProtocol {
 public:
  Lender(Stage& stage, std::size_t total, bool at_once)
      : stage_(stage), total_(total), at_once_(at_once), timer_(stage.loop(), [this] {
          const auto scope = checker.resume_reading();
          transport_->resume_reading();
        }) {}
  void connection_made(std::shared_ptr<Transport> transport) override {
    const auto scope = checker.connection_made();
    transport_ = std::move(transport);
    transport_->write(BytesView("\x07"));
  }
  MutableBytes get_buffer(std::size_t) override {
    const auto scope = checker.get_buffer();
    buffer_.assign(at_once_ ? 100 : stage_.lot().between(1, 3000), std::byte{0xee});
    return buffer_;
  }
  void buffer_updated(std::size_t size) override {
    const auto scope = checker.data(size);
    if (size > buffer_.size()) stage_.trial().complain("more was read than was lent");
    in.take(BytesView(buffer_.data(), std::min(size, buffer_.size())));
    if (in.position() >= total_) return transport_->close();
    if (at_once_ || stage_.lot().permille(700)) return;
    {
      const auto pausing = checker.pause_reading();
      transport_->pause_reading();
    }
    const int fd = transport_->native_handle();
    if (stage_.trial().simulated() && fd >= 0 && stage_.trial().sim().unread(fd) > 0) {
      stage_.trial().reached("reading is paused with more to be read");
    }
    timer_.set(std::chrono::microseconds(stage_.lot().below(2000)));
  }
  bool eof_received() override {
    const auto scope = checker.eof_received();
    return false;
  }
  void connection_lost(std::error_code e) override {
    const auto scope = checker.connection_lost(e);
    timer_.cancel();
    error = e;
  }

  testing::ContractChecker checker;
  PatternReader in{15};
  std::error_code error;

 private:
  Stage& stage_;
  std::size_t total_;
  bool at_once_;
  Timer timer_;
  std::shared_ptr<Transport> transport_;
  std::vector<std::byte> buffer_;
};

void own_buffers(Stage& stage) {
  Trial& trial = stage.trial();
  const bool at_once = stage.lot().permille(300);
  const std::size_t total = stage.lot().between(at_once ? 10'000 : 1, 20'000);
  stage.server_plan.total = total;
  stage.server_plan.chunk = at_once ? total : stage.lot().between(100, 7000);
  stage.server_plan.gap = at_once ? 0us : 100us;
  if (!stage.serve()) return;
  std::shared_ptr<Lender> lender;
  const auto connecting = connect(trial, stage.carrier(), *stage.server(), [&] {
    return lender = std::make_shared<Lender>(stage, total, at_once);
  });
  if (trial.done(connecting)) {
    trial.run_until([&] { return lender->checker.lost(); });
    const Peer* const server = stage.servers().empty() ? nullptr : stage.servers().back().get();
    if (!lender->in.ok()) trial.complain("own buffers: " + lender->in.to_string());
    const bool told = lender->error || (server && server->error()) ||
                      (trial.reports() > 0 && !(server && server->made()));
    if (lender->in.position() < total && (trial.calm() || !told)) {
      trial.complain("own buffers: bytes are missing, and nobody was told");
    }
    for (const std::string& each : lender->checker.final_violations()) trial.complain(each);
  }
  stage.finish();
}

/// Pauses inside data_received, when more of the same segment may be there already.
void pause_at_each_piece(Stage& stage) {
  Seed& lot = stage.lot();
  Trial& trial = stage.trial();
  stage.server_plan.total = 6000;
  stage.server_plan.chunk = 2500;
  stage.client_plan.total = lot.below(3000);
  stage.client_plan.expected = 6000;
  stage.client_plan.when_received = Ending::close;
  stage.prepare = [&](Peer& peer, bool client) {
    if (!client) return;
    peer.in_callback = [&](const char* callback) {
      if (callback != std::string_view("data_received")) return;
      peer.do_pause();
      switch (lot.below(3)) {
        case 0:
          return peer.do_resume();
        case 1:
          stage.loop().call_soon([&peer] { peer.do_resume(); });
          return;
        default:
          stage.loop().call_later(std::chrono::microseconds(lot.below(3000)),
                                  [&peer] { peer.do_resume(); });
      }
    };
  };
  if (!stage.serve()) return;
  stage.connect(3);
  stage.finish();
  trial.run_for(10ms);  // the last calls
}

/// No more than so many bytes a second reach the client.
void slowed_down(Stage& stage) {
  Seed& lot = stage.lot();
  Trial& trial = stage.trial();
  RateLimits limits;
  limits.write.bytes_per_second = lot.between(1000, 100'000);
  limits.write.burst = lot.between(1, 3000);
  if (lot.permille(500)) limits.read.bytes_per_second = lot.between(2000, 100'000);
  stage.server_plan.total = 5000;
  stage.server_plan.chunk = 2000;
  stage.server_plan.high = lot.below(3000);
  stage.client_plan.total = 3000;
  stage.client_plan.expected = 5000;
  stage.client_plan.when_received = Ending::close;
  std::vector<TimePoint> made(Stage::kProbe + 1);
  stage.prepare = [&](Peer& peer, bool client) {
    if (!client) return;
    peer.in_callback = [&](const char* callback) {
      TimePoint& begin = made[*peer.number()];
      if (callback == std::string_view("connection_made")) begin = stage.loop().time();
      if (callback == std::string_view("connection_lost") && peer.received() == 5000) {
        // From the server's first byte at the earliest: the connection was there before.
        const double seconds = std::chrono::duration<double>(stage.loop().time() - begin).count();
        const double most = static_cast<double>(limits.write.burst) +
                            seconds * static_cast<double>(limits.write.bytes_per_second);
        if (most < 4999) trial.complain("faster than the limit of the rate");
      }
    };
  };
  ListenOptions options;
  options.wrap = stacked({rate_limit(limits), server_wrap(stage.carrier())});
  if (!stage.serve(std::move(options))) return;
  stage.connect(3);
  stage.finish();
}

/// Connections that fall silent are ended, and never before their time.
void silence(Stage& stage) {
  Seed& lot = stage.lot();
  Trial& trial = stage.trial();
  trial.disturb();
  const Duration limit = std::chrono::milliseconds(lot.between(200, 3000));
  // One that goes on, and one that does not.
  stage.vary = [limit](std::uint8_t number, bool client, Plan& plan) {
    plan.total = client && number % 2 == 0 ? 30 : 5;
    plan.chunk = 1;
    plan.gap = limit / 4;
    if (client && number % 2 == 0) plan.when_sent = Ending::close;
  };
  std::vector<std::pair<const Peer*, TimePoint>> heard;
  stage.prepare = [&](Peer& peer, bool client) {
    if (client) return;
    heard.emplace_back(&peer, TimePoint::min());
    peer.in_callback = [&, place = heard.size() - 1](const char* callback) {
      if (callback == std::string_view("data_received")) heard[place].second = stage.loop().time();
      if (callback == std::string_view("connection_lost") &&
          peer.error() == make_error_code(errc::timed_out)) {
        trial.reached("an idle limit is over");
        // A real clock goes on between the layer below and this callback. What was written may
        // have gone out later.
        stage.check_limit("an idle limit", limit, heard[place].second,
                          std::max(heard[place].second, peer.wrote_at()) + limit,
                          stage.loop().time());
      }
    };
  };
  ListenOptions options;
  options.wrap = stacked({idle_limit(limit), server_wrap(stage.carrier())});
  if (!stage.serve(std::move(options))) return;
  stage.connect(4);
  stage.wait();
  if (trial.unharmed()) {
    for (const auto& each : stage.servers()) {
      if (each->number() && *each->number() % 2 == 1 && !each->error()) {
        trial.complain("an idle connection was not ended");
      }
    }
  }
  stage.take_down();
  stage.compare();
}

/// A layer between that counts what passes.
class Counting final : public PassThrough {
 public:
  Counting(std::shared_ptr<Protocol> above, std::uint64_t& total)
      : PassThrough(std::move(above)), total_(total) {}

 private:
  void on_received(BytesView data) override { total_ += data.size(); }
  std::uint64_t& total_;
};

void layers(Stage& stage) {
  Seed& lot = stage.lot();
  Trial& trial = stage.trial();
  const auto counted = std::make_shared<std::uint64_t>(0);
  const ProtocolWrap counting = [counted](std::shared_ptr<Protocol> above) {
    return std::make_shared<Counting>(std::move(above), *counted);
  };
  stage.client_plan.total = stage.server_plan.total = lot.between(1, 8000);
  stage.server_plan.answering = true;
  stage.client_plan.expected = stage.server_plan.total;
  stage.client_plan.when_received = Ending::close;
  stage.server_plan.high = lot.below(3000);
  ListenOptions options;
  options.wrap = stacked({idle_limit(1h), server_wrap(stage.carrier()), counting, idle_limit(1h)});
  if (!stage.serve(std::move(options))) return;
  stage.connect(3);
  stage.finish();
  std::uint64_t received = 0;
  bool failed = false;
  for (const auto& each : stage.servers()) {
    if (each->number()) received += each->received() + 1;
    failed |= each->error() == make_error_code(errc::protocol_failed);
  }
  // A protocol that failed may not have counted what it was given.
  if (failed ? *counted < received : *counted != received) {
    trial.complain("a layer saw other bytes than passed it");
  }
}

/// The server answers and closes with input unread: what it has said must arrive.
void unread_input(Stage& stage) {
  Seed& lot = stage.lot();
  stage.client_plan.total = 300;
  stage.client_plan.chunk = 100;
  stage.client_plan.gap = 1ms;
  stage.server_plan.rest_after = 1;  // it reads a little, and no more
  stage.server_plan.rest = 1h;
  stage.server_plan.total = 2;
  stage.server_plan.chunk = 1;
  stage.server_plan.gap = 1h;
  if (!stage.serve()) return;
  stage.connect(3);
  const auto closed = [](const auto& each) { return each->closed() || each->lost(); };
  for (int i = 0; i < 30; ++i) {
    stage.trial().run_for(5s);  // what comes after the end is refused, and that is right
    const auto& servers = stage.servers();
    if (servers.size() == 3 && std::all_of(servers.begin(), servers.end(), closed)) break;
    for (const auto& each : servers) {
      if (!each->number() || each->lost() || each->closed()) continue;
      Trial& trial = stage.trial();
      if (trial.simulated() && trial.sim().unread(each->transport()->native_handle()) > 0) {
        trial.reached("close with unread input");
      }
      each->do_write(lot.between(1, 40'000));
      each->do_close();
    }
  }
  stage.finish();
}

}  // namespace

void add_flow_scenarios(std::vector<testing::Scenario>& all) {
  add_staged(all, "unread-input", kPlain, unread_input);
  add_staged(all, "slow-reader", kThree, slow_reader);
  add_staged(all, "bursts", kTwo, bursts);
  add_staged(all, "hard-limit", kTwo, hard_limit);
  add_staged(all, "changing-limits", kTwo, changing_limits);
  add_staged(all, "own-buffers", kTwo, own_buffers);
  add_staged(all, "pause-at-each-piece", kTwo, pause_at_each_piece);
  add_staged(all, "slowed-down", kTwo, slowed_down);
  add_staged(all, "silence", kTwo, silence);
  add_staged(all, "layers", kTwo, layers);
}

}  // namespace ferry::test
