// A server on many loops: each system call of the loop it belongs to failing once, and each
// allocation of any of them.
#include "call_trial.h"

#include "socket_pair.h"

#include <ferry/group_server.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace ferry::test {
namespace {

using namespace std::chrono_literals;

struct Counts {
  std::atomic<int> made = 0;
  std::atomic<int> lost = 0;
};

/// Sends back what it gets.
class GroupEcho final : public Protocol {
 public:
  GroupEcho(CallTrial& trial, Counts& counts) : trial_(trial), counts_(counts) {}
  void connection_made(std::shared_ptr<Transport> transport) override {
    ++counts_.made;
    transport_ = std::move(transport);
  }
  void data_received(BytesView data) override { transport_->write(data); }
  void connection_lost(std::error_code error) override {
    ++counts_.lost;
    if (error && error != errc::loop_closed) trial_.tell("connection_lost", error.message());
  }

 private:
  CallTrial& trial_;
  Counts& counts_;  // which outlives the group
  std::shared_ptr<Transport> transport_;
};

LoopGroupOptions two_loops(CallTrial& trial) {
  LoopGroupOptions options;
  options.loops = 2;
  options.loop.debug = false;
  options.setup = [&trial](EventLoop& loop, std::size_t) { trial.listen_to(loop); };
  options.on_loop_ended = [&trial](std::size_t, const std::exception_ptr& why) {
    trial.tell("on_loop_ended", why);
    trial.complain("a loop has ended");
  };
  return options;
}

/// One after the other, so that the loops have their turns in an order. How many were answered.
std::size_t ask(CallTrial& trial, const Server& server, std::size_t times) {
  std::size_t answered = 0;
  std::vector<RawPeer> peers;
  for (std::size_t i = 0; i < times; ++i) {
    RawPeer& peer = peers.emplace_back(RawPeer::connect(trial.below(), server.sockets().front()));
    peer.send_later("x");
    trial.run_until([&peer] {
      if (peer.connected()) peer.pump();
      return peer.received() == "x" || peer.eof() || peer.error();
    });
    if (peer.received() == "x") ++answered;
  }
  return answered;
}

template <Spread spread>
void serve_by_a_group(CallTrial& trial) {
  constexpr std::size_t kPeers = 4;
  Counts counts;
  std::size_t answered = 0;
  {
    LoopGroup group(two_loops(trial));
    group.start();
    ListenOptions options;
    options.hosts = {"127.0.0.1"};
    const auto creating = create_server(
        trial.loop(), group, [&](EventLoop&) { return std::make_shared<GroupEcho>(trial, counts); },
        std::move(options), spread);
    if (trial.done(creating)) {
      const auto server = creating.result();
      answered = ask(trial, *server, kPeers);
      server->close();
      const auto drained = server->drain(1h);
      trial.done(drained);
      if (server->connections() != 0) trial.complain("connections are left");
    }
    group.stop();
    group.join();
  }
  // Now all that there was to be told has been.
  trial.expect(answered == kPeers, "only " + std::to_string(answered) + " were answered");
  if (counts.made != counts.lost) trial.complain("a connection of the group was not lost");
}

FERRY_EACH_FAILS(AGroupThatIsHandedConnectionsServesOrSomebodyIsTold,
                 .play = serve_by_a_group<Spread::least_loaded>)

FERRY_EACH_FAILS(AGroupWhoseLoopsAcceptServesOrSomebodyIsTold,
                 .play = serve_by_a_group<Spread::reuse_port>)

}  // namespace
}  // namespace ferry::test
