#include "scenarios.h"
#include "stage.h"

#include <ferry/error.h>

#include <cerrno>
#include <chrono>
#include <stdexcept>
#include <utility>

namespace ferry::test {

namespace {

using namespace std::chrono_literals;
using testing::Seed;
using testing::Trial;
using Ending = Plan::Ending;

constexpr Carrier kTwo[] = {Carrier::tcp, Carrier::tls};
constexpr Carrier kThree[] = {Carrier::tcp, Carrier::unix_socket, Carrier::tls};

/// Both ends send at once, and the client ends it when it has got all.
void exchange(Stage& stage) {
  Seed& lot = stage.lot();
  stage.vary = [&lot, totals = std::array<std::size_t, 8>()](std::uint8_t number, bool client,
                                                             Plan& plan) mutable {
    if (totals[number] == 0) totals[number] = lot.between(1, 5000);
    plan.total = client ? lot.between(1, 5000) : totals[number];
    plan.chunk = lot.between(1, 2000) + 100;
    if (lot.permille(300)) plan.high = lot.between(0, 1000);
    if (!client) return;
    plan.expected = totals[number];
    plan.when_received = Ending::close;
  };
  if (!stage.serve()) return;
  stage.connect(4);
  stage.finish();
}

/// The server answers each byte with one.
void dialogue(Stage& stage) {
  Seed& lot = stage.lot();
  const std::size_t total = lot.between(1000, 6000);
  stage.client_plan.total = stage.server_plan.total = total;
  stage.client_plan.chunk = stage.server_plan.chunk = lot.between(10, 1500);
  stage.client_plan.expected = total;
  stage.client_plan.when_received = Ending::close;
  stage.client_plan.gap = std::chrono::microseconds(lot.below(3000));
  stage.server_plan.answering = true;
  if (!stage.serve()) return;
  stage.connect(4);
  stage.finish();
}

/// A request, an answer that takes its time, and a limit for it.
void deadlines(Stage& stage) {
  Seed& lot = stage.lot();
  Trial& trial = stage.trial();
  stage.client_plan.total = 200;
  stage.client_plan.expected = 1000;
  stage.client_plan.when_received = Ending::close;
  stage.server_plan.total = 1000;
  stage.server_plan.chunk = 400;
  stage.server_plan.answering = false;
  stage.server_plan.gap = 50ms;
  trial.disturb();
  struct Asked {
    std::unique_ptr<Timer> limit;
    TimePoint due;
  };
  std::vector<Asked> asked;
  const auto here = std::make_shared<int>();
  // As the world would have it, all of the answer comes when the time is over, to the nanosecond.
  const auto answer_at_last = [&](Peer& peer, TimePoint due) {
    if (!trial.simulated() || !lot.permille(700)) return;
    trial.sim().at(due, [&stage, &peer, alive = std::weak_ptr(here)] {
      Peer* const server = alive.expired() ? nullptr : stage.partner(peer);
      if (server) server->do_write(1000);
    });
  };
  stage.prepare = [&](Peer& peer, bool client) {
    if (!client) return;
    const Duration limit = std::chrono::milliseconds(lot.between(1, 12) * 50);
    const std::size_t number = asked.size();
    asked.push_back({std::make_unique<Timer>(stage.loop(),
                                             [&, number] {
                                               if (stage.loop().time() < asked[number].due) {
                                                 trial.complain("a deadline came early");
                                               }
                                               if (peer.lost()) {
                                                 trial.complain("a cancelled deadline came");
                                               }
                                               if (peer.received() > 0) {
                                                 trial.reached(
                                                     "deadline while the answer is on its way");
                                               }
                                               peer.do_abort();
                                             }),
                     {}});
    peer.in_callback = [&, number, limit](const char* callback) {
      Asked& mine = asked[number];
      if (callback == std::string_view("connection_made")) {
        mine.due = stage.loop().time() + limit;
        mine.limit->set(limit);
        answer_at_last(peer, mine.due);
      } else if (callback == std::string_view("connection_lost")) {
        if (mine.due == stage.loop().time() && peer.content()) {
          trial.reached("answer and deadline in one moment");
        }
        mine.limit->cancel();
      }
    };
  };
  if (!stage.serve()) return;
  stage.connect(4);
  stage.finish();
}

/// The client ends its writing, and gets its answer only then.
void client_half_closes(Stage& stage) {
  Seed& lot = stage.lot();
  stage.client_plan.total = lot.between(1, 5000);
  stage.client_plan.when_sent = Ending::eof;
  stage.client_plan.keep_open = true;
  if (lot.permille(500)) stage.client_plan.high = lot.below(500);
  stage.server_plan.total = lot.between(1, 12'000);
  stage.server_plan.chunk = 3000;
  stage.server_plan.keep_open = true;
  stage.server_plan.gap = std::chrono::microseconds(lot.below(2000));
  stage.server_plan.high = lot.below(4000);
  if (lot.permille(500)) stage.server_plan.when_sent = Ending::eof;
  if (!stage.serve()) return;
  stage.connect(3);
  stage.finish();
}

/// The other way round.
void server_half_closes(Stage& stage) {
  Seed& lot = stage.lot();
  stage.server_plan.total = lot.between(1, 5000);
  stage.server_plan.when_sent = Ending::eof;
  stage.server_plan.keep_open = true;
  stage.client_plan.total = lot.between(1, 12'000);
  stage.client_plan.keep_open = true;
  stage.client_plan.chunk = 2000;
  stage.client_plan.gap = std::chrono::microseconds(lot.below(2000));
  stage.client_plan.high = lot.below(4000);
  stage.server_plan.rest = std::chrono::microseconds(lot.below(5000));
  stage.server_plan.rest_after = lot.between(100, 4000);
  if (!stage.serve()) return;
  stage.connect(3);
  stage.finish();
}

/// Both end their writing as soon as they have written all.
void both_half_close(Stage& stage) {
  Seed& lot = stage.lot();
  stage.vary = [&lot](std::uint8_t, bool, Plan& plan) {
    plan.total = lot.between(1, 12'000);
    plan.chunk = lot.between(1, 4000) + 200;
    plan.when_sent = Ending::eof;
    plan.keep_open = true;
    if (lot.permille(500)) plan.high = lot.below(2000);
    plan.rest = std::chrono::microseconds(lot.below(5000));
    plan.rest_after = lot.between(100, 4000);
  };
  if (!stage.serve()) return;
  stage.connect(3);
  stage.finish();
}

/// What both ends send is far more than the other takes at a time; then some abort.
void abort_in_the_middle(Stage& stage) {
  Seed& lot = stage.lot();
  stage.trial().disturb();
  for (Plan* plan : {&stage.client_plan, &stage.server_plan}) {
    plan->total = 40'000;
    plan->chunk = 4000;
    plan->gap = 500us;
    plan->high = lot.below(3000);
    plan->rest_after = 3000;
    plan->rest = 3ms;
  }
  if (!stage.serve()) return;
  stage.connect(4);
  Ticker ticker(stage, 4ms, 12, [&stage, &lot] {
    Peer* const peer = stage.any();
    if (!peer) return;
    if (lot.permille(500)) peer->do_close();
    peer->do_abort();
  });
  stage.wait(2s);
  stage.finish();
}

/// The reader leaves, with bytes unread, when the writer is paused: that one is reset.
void reader_aborts(Stage& stage) {
  Seed& lot = stage.lot();
  stage.trial().disturb();
  stage.server_plan.total = 300'000;
  stage.server_plan.chunk = 60'000;
  stage.server_plan.high = lot.below(30'000);
  stage.client_plan.total = 2000;
  stage.client_plan.gap = 50ms;
  stage.client_plan.chunk = 100;
  stage.client_plan.rest = 1h;
  stage.client_plan.rest_after = 1;
  if (!stage.serve()) return;
  stage.connect(2);
  stage.trial().run_for(std::chrono::milliseconds(lot.below(1000)));
  std::vector<testing::FaultGuard> guards;
  for (const auto& each : stage.servers()) {
    if (!each->made() || each->lost() || !each->writing_paused() || !lot.permille(600)) continue;
    // Or it is reset where it reads what the client says.
    guards.push_back(stage.trial().faults().inject({.call = "recv",
                                                    .error = ECONNRESET,
                                                    .fd = each->transport()->native_handle(),
                                                    .times = 1}));
  }
  for (const auto& each : stage.clients()) {
    if (!guards.empty()) break;
    lot.permille(700) ? each->do_abort() : each->do_close();
  }
  if (!guards.empty()) stage.trial().run_for(1s);
  stage.abort_all();
  stage.wait(1min);
  stage.finish();
}

/// Whatever a program may do at whatever moment.
void anything(Stage& stage) {
  Seed& lot = stage.lot();
  stage.trial().disturb();
  stage.vary = [&lot](std::uint8_t, bool, Plan& plan) {
    plan.total = lot.between(1, 8000);
    plan.chunk = 2000;
    plan.gap = std::chrono::microseconds(lot.below(2000));
    plan.keep_open = lot.permille(500);
    if (lot.permille(500)) plan.high = lot.below(2000);
  };
  if (!stage.serve()) return;
  stage.connect(4);
  Ticker ticker(stage, 2ms, 60, [&stage, &lot] {
    if (Peer* const peer = stage.any()) peer->do_something(lot);
  });
  stage.wait(10s);
  stage.finish();
}

/// A lot is written to one that reads slowly, and then it is closed: all of it must arrive.
void close_with_queue(Stage& stage) {
  Seed& lot = stage.lot();
  stage.client_plan.total = 0;
  stage.client_plan.rest = std::chrono::microseconds(lot.between(10, 20'000));
  stage.client_plan.rest_after = lot.between(500, 20'000);
  stage.server_plan.total = lot.between(20'000, 80'000);
  stage.server_plan.chunk = 60'000;
  stage.server_plan.high = 200'000;
  stage.server_plan.when_sent = Ending::close;
  if (!stage.serve()) return;
  stage.connect(2);
  Ticker ticker(stage, 5ms, 6, [&stage, &lot] {
    // None of this makes a difference.
    if (stage.servers().empty()) return;
    Peer& peer = *stage.servers()[lot.below(stage.servers().size())];
    if (!peer.closed()) return;
    switch (lot.below(4)) {
      case 0:
        return peer.do_pause();
      case 1:
        return peer.do_resume();
      case 2:
        return peer.do_write(100);
      default:
        return peer.do_close();
    }
  });
  stage.finish();
}

/// One of the callbacks throws: that connection ends, the others go on.
void exceptions(Stage& stage) {
  Seed& lot = stage.lot();
  Trial& trial = stage.trial();
  trial.disturb();
  struct Thrown : std::runtime_error {
    using std::runtime_error::runtime_error;
  };
  static constexpr const char* kStates[] = {
      "exception out of connection_made", "exception out of data_received",
      "exception out of eof_received",    "exception out of pause_writing",
      "exception out of resume_writing",  "exception out of connection_lost"};
  std::size_t thrown = 0;
  std::size_t heard = 0;
  stage.loop().set_exception_handler([&](EventLoop&, const ExceptionContext& context) {
    try {
      if (context.exception) std::rethrow_exception(context.exception);
    } catch (const Thrown&) {
      ++heard;
      return;
    } catch (...) {
    }
    trial.report(context.to_string());
  });
  stage.vary = [&lot](std::uint8_t, bool client, Plan& plan) {
    // The server's is more than there is room for on the way.
    plan.total = client ? lot.between(1, 5000) : 90'000;
    plan.chunk = client ? 1500 : 40'000;
    plan.high = lot.below(2000);
    plan.keep_open = true;
    plan.rest_after = 30'000;
    plan.rest = 1ms;
    if (client) plan.when_sent = Ending::eof;
  };
  std::vector<std::pair<const Peer*, const char*>> failed;
  stage.prepare = [&](Peer& peer, bool) {
    const std::size_t which = lot.below(9);
    peer.in_callback = [&, which](const char* callback) {
      if (which >= std::size(kStates)) return;
      if (!std::string_view(kStates[which]).ends_with(callback) || peer.closed()) return;
      trial.reached(kStates[which]);
      const Thrown exception(callback);  // which takes memory
      failed.emplace_back(&peer, kStates[which]);
      ++thrown;
      throw exception;
    };
  };
  if (!stage.serve()) return;
  stage.connect(4);
  stage.finish();
  if (thrown != heard) {
    trial.complain(std::to_string(thrown) + " exceptions were thrown, and " +
                   std::to_string(heard) + " heard of");
  }
  for (const auto& [peer, state] : failed) {
    if (!peer->lost()) trial.complain("a connection outlived its exception");
    if (!trial.unharmed() || std::string_view(state).ends_with("connection_lost")) continue;
    if (peer->error() != make_error_code(errc::protocol_failed)) {
      trial.complain(std::string(state) + ", and it ended so: " + peer->error().message());
    }
  }
}

/// Each connection that is lost is followed by two new ones, which get its descriptor's number.
void descriptors_come_back(Stage& stage) {
  Seed& lot = stage.lot();
  stage.trial().disturb();
  stage.client_plan.total = 2000;
  stage.client_plan.gap = 100us;
  stage.server_plan.total = 2000;
  stage.server_plan.chunk = 700;
  std::size_t left = 8;
  int last = -1;
  stage.prepare = [&](Peer& peer, bool client) {
    if (!client) return;
    peer.in_callback = [&](const char* callback) {
      if (callback == std::string_view("connection_made")) {
        if (peer.transport()->native_handle() == last) {
          stage.trial().reached("a descriptor's number comes back at once");
        }
      }
      if (callback != std::string_view("data_received") || lot.permille(700)) return;
      last = peer.transport()->native_handle();
      peer.do_abort();
      // After the abort's end, when the number is free.
      stage.loop().call_soon([&] {
        if (left == 0) return;
        --left;
        stage.connect(1);
      });
    };
  };
  if (!stage.serve()) return;
  stage.connect(3);
  stage.wait(5s);
  // No more of them; but one may be on its way.
  left = 0;
  stage.wait(5s);
  stage.finish();
}

/// Clients that say no more than who they are, or not even that.
void come_and_go(Stage& stage) {
  Seed& lot = stage.lot();
  stage.trial().disturb();
  stage.vary = [&lot](std::uint8_t, bool client, Plan& plan) {
    plan.total = lot.below(50);
    if (client) plan.when_sent = lot.permille(500) ? Ending::close : Ending::eof;
  };
  stage.prepare = [&](Peer& peer, bool client) {
    if (!client || lot.permille(600)) return;
    peer.in_callback = [&](const char* callback) {
      if (callback != std::string_view("connection_made")) return;
      lot.permille(500) ? peer.do_close() : peer.do_abort();
    };
  };
  if (!stage.serve()) return;
  const std::size_t rounds = encrypted(stage.carrier()) ? 1 : 4;
  for (std::size_t i = 0; i < rounds; ++i) {
    stage.connect(4);
    stage.trial().run_for(std::chrono::microseconds(lot.below(3000)));
  }
  stage.finish();
}

/// The loop is closed with everything open: all hear of it.
void loop_closed(Stage& stage) {
  Seed& lot = stage.lot();
  Trial& trial = stage.trial();
  trial.disturb();
  for (Plan* plan : {&stage.client_plan, &stage.server_plan}) {
    plan->total = 150'000;
    plan->chunk = 50'000;
    plan->rest_after = 5000;
    plan->rest = 5ms;
    plan->gap = std::chrono::microseconds(lot.below(200));
    plan->high = lot.below(4000);
  }
  if (!stage.serve()) return;
  stage.connect(4);
  trial.run_for(std::chrono::microseconds(lot.permille(500) ? lot.below(300) : lot.below(20'000)));
  std::size_t made = 0;
  for (const auto& each : stage.clients()) {
    if (!each->made() || each->lost()) continue;
    ++made;
    if (lot.permille(200)) each->do_close();
    if (each->transport()->get_write_buffer_size() > 0) {
      trial.reached("the loop is closed with a queue");
    }
    if (each->writing_paused()) trial.reached("the loop is closed while writing is paused");
  }
  if (made < 4 && stage.watching().connecting() > 0) {
    trial.reached("the loop is closed while connecting");
  }
  stage.loop().close();
  if (!trial.all_lost()) trial.complain("the loop was closed, and a connection not told");
  stage.compare();
}

}  // namespace

void add_connection_scenarios(std::vector<testing::Scenario>& all) {
  add_staged(all, "exchange", kAll, exchange);
  add_staged(all, "dialogue", kEncrypted, dialogue);
  add_staged(all, "deadlines", kPlain, deadlines);
  add_staged(all, "client-half-closes", kPlain, client_half_closes);
  add_staged(all, "server-half-closes", kPlain, server_half_closes);
  add_staged(all, "both-half-close", kPlain, both_half_close);
  add_staged(all, "abort", kThree, abort_in_the_middle);
  add_staged(all, "anything", kThree, anything);
  add_staged(all, "close-with-queue", kThree, close_with_queue);
  add_staged(all, "exceptions", kTwo, exceptions);
  add_staged(all, "descriptors-come-back", kPlain, descriptors_come_back);
  add_staged(all, "come-and-go", kThree, come_and_go);
  add_staged(all, "loop-closed", kTwo, loop_closed);
  add_staged(all, "reader-aborts", kThree, reader_aborts);
}

}  // namespace ferry::test
