// Listening sockets from one server to the next, each system call and each allocation of
// both sides failing once.
#include "call_trial.h"

#include "socket_pair.h"

#include <ferry/listeners.h>
#include <ferry/server.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace ferry::test {
namespace {

using namespace std::chrono_literals;

/// Of the fast clock.
constexpr Duration kLimit = 10s;

std::shared_ptr<Server> serve(CallTrial& trial, ListenOptions options) {
  const auto creating = create_server(
      trial.loop(), [&trial]() -> std::shared_ptr<Protocol> { return trial.echo(); },
      std::move(options));
  return trial.done(creating) ? creating.result() : nullptr;
}

/// Somebody accepts there, and answers.
void expect_service(CallTrial& trial, const Address& address) {
  RawPeer peer = RawPeer::connect(trial.below(), address);
  bool asked = false;
  trial.run_until([&] {
    if (!asked && peer.connected()) asked = peer.write("x") == 1;
    if (asked) peer.read();
    return peer.received() == "x" || peer.eof() || peer.error();
  });
  trial.expect(peer.received() == "x", "nobody serves");
}

/// Takes the sockets over; the new server, if it has been confirmed or might be.
std::shared_ptr<Server> replace(CallTrial& trial, const std::string& path) {
  const auto taking = take_over_listeners(trial.loop(), path, kLimit);
  if (!trial.done(taking)) return nullptr;
  TakenListeners taken = std::move(taking.result());
  if (taken.listeners.size() != 1 || taken.listeners.front().name != "web") {
    trial.complain("other sockets came");
    return nullptr;
  }
  ListenOptions options;
  options.sockets = take_listeners(taken.listeners, "web");
  const int socket = options.sockets.front();
  std::shared_ptr<Server> next;
  try {
    next = serve(trial, std::move(options));
  } catch (...) {
    trial.below().close(socket);  // still ours
    throw;
  }
  if (!next) return nullptr;
  trial.done(taken.confirm());
  return next;
}

void hand_over(CallTrial& trial) {
  const std::string path = unused_unix_address().path();
  ListenOptions listening;
  listening.hosts = {"127.0.0.1"};
  const auto old = serve(trial, std::move(listening));
  if (!old) return;
  const Address address = old->sockets().front();
  HandOverOptions options;
  options.path = path;
  options.servers = {{"web", old}};
  options.limit = kLimit;
  const auto offered = hand_over_listeners(trial.loop(), std::move(options));
  const auto next = replace(trial, path);
  // Whether it has the sockets the old one knows; it may know that but now.
  trial.run_until([turns = 0]() mutable { return ++turns > 10; });
  if (offered.done()) {
    if (!trial.done(offered)) {
      if (!old->is_serving()) trial.complain("the old one has closed for nobody");
    } else {
      if (old->is_serving()) trial.complain("the old one goes on");
      if (!next) trial.complain("the sockets were given to nobody");
    }
  } else {
    trial.expect(false, "the old one was not told");
    if (!old->is_serving()) trial.complain("the old one has closed, and was not confirmed");
    offered.cancel();
  }
  expect_service(trial, address);
  if (next) next->close();
  old->close();
}

FERRY_EACH_FAILS(SocketsAreHandedOverOrSomebodyIsTold, .play = hand_over)

}  // namespace
}  // namespace ferry::test
