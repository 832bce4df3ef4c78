#include "scenarios.h"
#include "stage.h"

#include <ferry/error.h>

#include <chrono>
#include <vector>

namespace ferry::test {

namespace {

using namespace std::chrono_literals;
using testing::Seed;
using testing::Trial;
using Ending = Plan::Ending;

constexpr Carrier kTcp[] = {Carrier::tcp};
constexpr Carrier kTwo[] = {Carrier::tcp, Carrier::tls};

void short_talk(Stage& stage) {
  stage.client_plan.total = stage.server_plan.total = 400;
  stage.client_plan.chunk = stage.server_plan.chunk = 150;
  stage.server_plan.answering = true;
  stage.client_plan.expected = 400;
  stage.client_plan.when_received = Ending::close;
}

ProtocolFactory client_factory(Stage& stage) {
  return [&stage] { return stage.new_client(); };
}

/// Where nobody listens: each attempt is refused, and none of its descriptors stays.
void refused(Stage& stage) {
  Trial& trial = stage.trial();
  trial.disturb();
  short_talk(stage);
  if (!stage.serve()) return;
  stage.server()->close();
  const std::uint16_t port = stage.lot().permille(500) ? 9 : 1;
  for (int i = 0; i < 3; ++i) {
    ConnectOptions options;
    options.host = "127.0.0.1";
    options.port = port;
    options.wrap = client_wrap(stage.carrier());
    const auto one = create_connection(stage.loop(), client_factory(stage), options);
    if (trial.done(one)) trial.complain("connected to nobody");
    const std::error_code error = error_of(one);
    if (error == std::errc::connection_refused) trial.reached("connecting is refused");
    if (trial.unharmed() && error != std::errc::connection_refused) {
      trial.complain("nobody listens, and it says: " + error.message());
    }
  }
  stage.finish();
}

/// Where nobody ever answers: the limit ends it, not earlier, or it is given up before.
void unanswered(Stage& stage) {
  Seed& lot = stage.lot();
  Trial& trial = stage.trial();
  trial.disturb();
  short_talk(stage);
  if (!stage.serve()) return;
  const Duration limit = std::chrono::milliseconds(lot.between(1, 20'000));
  ConnectOptions options;
  options.host = lot.permille(500) ? "192.0.2.1" : "2001:db8::1";
  options.port = 80;
  options.timeout = limit;
  const TimePoint begin = stage.loop().time();
  const auto one = create_connection(stage.loop(), client_factory(stage), options);
  if (lot.permille(400)) {
    trial.run_for(std::chrono::milliseconds(lot.below(3000)));
    if (one.cancel()) trial.reached("connecting is cancelled");
  }
  if (trial.done(one)) trial.complain("connected to nobody");
  if (!one.cancelled()) {
    const std::error_code error = error_of(one);
    if (error == make_error_code(errc::timed_out)) {
      trial.reached("the limit of connecting is over");
      stage.check_limit("the limit of connecting", limit, begin, begin, stage.loop().time());
    } else if (trial.unharmed()) {
      trial.complain("nobody answers, and it says: " + error.message());
    }
  }
  stage.finish();
}

/// A name with several addresses, of which one answers: the others cost time at most.
void several_addresses(Stage& stage) {
  Seed& lot = stage.lot();
  Trial& trial = stage.trial();
  short_talk(stage);
  if (!stage.serve()) return;
  const std::uint16_t port = stage.server()->port();
  const Address here = *Address::ip("127.0.0.1", 0);
  std::vector<Address> all = {here};
  const auto add = [&](const char* host) {
    const auto place = all.begin() + static_cast<std::ptrdiff_t>(lot.below(all.size() + 1));
    all.insert(place, *Address::ip(host, 0));
  };
  for (const char* other : {"::1", "192.0.2.1", "2001:db8::1", "127.0.0.9"}) {
    if (lot.permille(500)) add(other);
  }
  if (lot.permille(500)) {
    all = {*Address::ip("192.0.2.1", 0), *Address::ip("2001:db8::1", 0), here};
  }
  trial.sim().add_host("some.name", all, std::chrono::milliseconds(lot.below(50)));
  ConnectOptions options;
  options.happy_eyeballs_delay = std::chrono::milliseconds(lot.between(1, 400));
  // What connect of the carrier would set for itself.
  options.host = "some.name";
  options.port = port;
  options.timeout = 10min;
  options.wrap = client_wrap(stage.carrier());
  std::vector<Future<Connection<>>> connecting;
  for (int i = 0; i < 2; ++i) {
    connecting.push_back(create_connection(stage.loop(), client_factory(stage), options));
  }
  if (lot.permille(900)) {
    if (lot.permille(300)) {
      trial.run_for(std::chrono::milliseconds(lot.below(60)));
    } else {
      trial.run_until(
          [&] { return stage.watching().connecting() > 2 || connecting.front().done(); });
    }
    const std::size_t attempts = stage.watching().connecting();
    if (connecting.front().cancel() && !stage.clients().empty()) {
      trial.disturb();  // it may have been made just now, and is aborted
    }
    if (stage.watching().connecting() + 2 <= attempts) {
      trial.reached("happy eyeballs are cancelled");
    }
  }
  for (const auto& each : connecting) {
    if (trial.done(each) && all.size() > 1 && !(all.front() == here)) {
      trial.reached("not the first address answers");
    }
  }
  stage.finish();
}

/// Attempts that are given up at any moment, from the first system call to connection_made.
void given_up(Stage& stage) {
  Seed& lot = stage.lot();
  Trial& trial = stage.trial();
  trial.disturb();
  short_talk(stage);
  if (!stage.serve()) return;
  for (int i = 0; i < 4; ++i) {
    ConnectOptions options;
    if (lot.permille(400)) options.timeout = std::chrono::microseconds(lot.between(1, 5000));
    if (lot.permille(300)) stage.connect(1);
    Peer* made = nullptr;
    const auto one = test::connect(
        trial, stage.carrier(), *stage.server(),
        [&stage, &made] {
          const auto peer = stage.new_client();
          made = peer.get();
          return peer;
        },
        options);
    trial.run_for(std::chrono::microseconds(lot.permille(500) ? 0 : lot.below(5000)));
    if (lot.permille(600)) {
      if (one.cancel()) trial.reached("connecting is cancelled");
    }
    trial.done(one);
    if (one.cancelled() && made && made->made() && !made->error()) {
      // Over TLS the handshake may have been under way.
      trial.complain("it was cancelled, and made nonetheless");
    }
  }
  stage.finish();
}

}  // namespace

void add_connect_scenarios(std::vector<testing::Scenario>& all) {
  add_staged(all, "refused", kTwo, refused);
  add_staged(all, "unanswered", kTcp, unanswered);
  add_staged(all, "several-addresses", kTcp, several_addresses);
  add_staged(all, "given-up", kTwo, given_up);
}

}  // namespace ferry::test
