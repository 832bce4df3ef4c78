// What bugs of the bank (test/mutants) show in, and no other scenario has: timers by the hundred,
// a long backlog, addresses that race, a program that writes to the last and beyond, a long
// silence.

#include "carrier.h"
#include "pattern.h"
#include "scenarios.h"

#include <ferry/error.h>
#include <ferry/handle.h>
#include <ferry/resolver.h>
#include <ferry/testing/pattern_stream.h>
#include <ferry/timer.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <sys/time.h>

namespace ferry::test {

namespace {

using namespace std::chrono_literals;
using testing::RecordingProtocol;
using testing::Seed;
using testing::Trial;

// -- timers

/// A crowd of timers that set, move and cancel each other. None is early, those of one moment fire
/// in the order they were set in, and none after it was cancelled.
class Crowd {
 public:
  explicit Crowd(Trial& trial) : trial_(trial), lot_(trial.lot()) {
    for (std::size_t i = 0; i < 60; ++i) members_.push_back(std::make_unique<Member>(*this));
    for (const auto& each : members_) set(*each);
  }

  bool over() const {
    return left_ == 0 && std::none_of(members_.begin(), members_.end(),
                                      [](const auto& each) { return each->due.has_value(); });
  }

 private:
  struct Member {
    explicit Member(Crowd& crowd)
        : timer(crowd.trial_.loop(), [&crowd, this] { crowd.fired(*this); }) {}
    Timer timer;
    TimerHandle handle{};  // of a call_at, if it is that
    bool by_handle = false;
    std::optional<TimePoint> due{};
    std::uint64_t order = 0;
  };

  /// As likely within a millisecond of others as at the very moment of one of them.
  TimePoint some_time() {
    const TimePoint now = trial_.loop().time();
    if (lot_.permille(300)) {
      const Member& other = *members_[lot_.below(members_.size())];
      if (other.due) return *other.due;
    }
    return now + std::chrono::nanoseconds(lot_.below(lot_.permille(500) ? 2'000'000 : 50'000));
  }

  void set(Member& member) {
    cancel(member);
    const TimePoint when = some_time();
    member.order = ++order_;
    member.by_handle = lot_.permille(400);
    if (member.by_handle) {
      member.handle = trial_.loop().call_at(when, [this, &member] { fired(member); });
    } else {
      member.timer.set_at(when);
    }
    member.due = when;
  }
  void move(Member& member) {
    if (member.by_handle || !member.due) return set(member);
    // As an idle limit does it: the entry stays where it is until it surfaces.
    member.due = some_time();
    member.order = ++order_;
    member.timer.set_at(*member.due);
  }
  void cancel(Member& member) {
    if (!member.due) return;
    if (member.by_handle) {
      member.handle.cancel();
    } else {
      member.timer.cancel();
    }
    member.due.reset();
  }

  void fired(Member& member) {
    if (!member.due) return trial_.complain("a timer fired that was cancelled");
    if (trial_.loop().time() < *member.due) trial_.complain("a timer fired early");
    if (last_due_ == *member.due && last_order_ > member.order) {
      trial_.complain("timers of one moment fired in another order than they were set in");
    }
    last_due_ = *member.due;
    last_order_ = member.order;
    member.due.reset();
    for (std::size_t i = lot_.below(4); i > 0 && left_ > 0; --i) {
      --left_;
      Member& other = *members_[lot_.below(members_.size())];
      switch (lot_.below(3)) {
        case 0:
          cancel(other);
          break;
        case 1:
          move(other);
          break;
        default:
          set(other);
      }
    }
  }

  Trial& trial_;
  Seed lot_;
  std::vector<std::unique_ptr<Member>> members_;
  std::size_t left_ = 300;  // of what they may do to each other
  std::uint64_t order_ = 0;
  TimePoint last_due_{};
  std::uint64_t last_order_ = 0;
};

void timers(Trial& trial) {
  Crowd crowd(trial);
  // Each has its last word: those that are left may all have been cancelled.
  trial.run_until([&] { return crowd.over() || trial.loop().stats().timers == 0; });
}

// -- a long backlog

#ifdef FERRY_SLOW_BUILD
constexpr std::chrono::microseconds kMuch = 10s;
#else
constexpr std::chrono::microseconds kMuch = 600ms;
#endif

/// Ends the process as one that hangs if what follows takes so much processor time, a multiple of
/// what it should; until the next seed, or the next call.
void watch_processor(std::chrono::microseconds most) {
  itimerval limit{};
  limit.it_value.tv_sec = most / 1s;
  limit.it_value.tv_usec = (most % 1s).count();
  setitimer(ITIMER_PROF, &limit, nullptr);
}

/// A million small writes to a peer that reads nothing: what each costs does not grow with what
/// waits. Not always that many.
void backlog(Trial& trial, Carrier carrier) {
  auto lot = trial.lot();
  const auto server = serve(trial, carrier, [&trial] {
    const auto deaf = trial.protocol();
    RecordingProtocol& self = *deaf;
    self.on_made = [&self] { self.pause_reading(); };
    return deaf;
  });
  if (!server) return;
  std::shared_ptr<RecordingProtocol> client;
  const auto connecting =
      connect(trial, carrier, *server, [&] { return client = trial.protocol(); });
  if (trial.done(connecting) && !client->lost()) {
    const std::string piece(16, 'x');
    const std::size_t writes = lot.permille(400) ? 1'600'000 : lot.between(1, 2000);
    watch_processor(kMuch);
    std::size_t written = 0;
    for (std::size_t i = 0; i < writes && !client->transport()->is_closing(); ++i) {
      client->write(piece);
      written += piece.size();
    }
    watch_processor(30s);
    if (client->transport()->get_write_buffer_size() > written) {
      trial.complain("more is buffered than was written");
    }
    trial.disturb();  // the server does not read, and so does not see it
    client->abort();
  }
  trial.run_until([&] { return !client || !client->made() || client->lost(); });
  shut_down(trial, server);
}

// -- addresses that race

/// Knows one name, and all its addresses, in an order drawn by lot: two where the server listens,
/// some that refuse, some that never answer.
class ManyAddresses final : public Resolver {
 public:
  ManyAddresses(std::vector<Address> good, Seed lot) : all_(std::move(good)) {
    for (std::size_t i = lot.below(3); i > 0; --i)
      all_.push_back(Address::ip("127.0.0.9", 9).value());
    for (std::size_t i = lot.below(3); i > 0; --i)
      all_.push_back(Address::ip("192.0.2.1", 9).value());
    for (std::size_t n = all_.size(); n > 1; --n) std::swap(all_[n - 1], all_[lot.below(n)]);
  }
  Future<std::vector<Address>> resolve(EventLoop& loop, const ResolveQuery&) override {
    Future<std::vector<Address>> future(loop);
    future.set_result(all_);
    return future;
  }

 private:
  std::vector<Address> all_;
};

void racing_addresses(Trial& trial) {
  auto lot = trial.lot();
  ListenOptions listening;
  listening.hosts = {"127.0.0.1", "::1"};
  const auto starting = create_server(
      trial.loop(),
      [&trial] {
        const auto greeter = trial.protocol();
        RecordingProtocol& self = *greeter;
        self.on_data = [&self](BytesView data) { self.write(data); };
        return greeter;
      },
      std::move(listening));
  if (!trial.done(starting)) return;
  const auto server = starting.result();
  trial.loop().set_resolver(std::make_shared<ManyAddresses>(server->sockets(), lot));
  const auto under_way = std::make_shared<std::set<int>>();  // the attempts' sockets
  trial.set_observer([under_way](std::string_view call, int fd, const IoResult& result) {
    if (call == "connect" && result.error == EINPROGRESS) under_way->insert(fd);
    if (call == "close" || call == "getsockopt") under_way->erase(fd);
  });
  for (int round = 0; round < 6; ++round) {
    ConnectOptions options;
    options.host = "ferry.example";
    options.port = 1;
    options.timeout = 20s;
    if (lot.permille(800)) options.happy_eyeballs_delay = lot.below(20) * 3ms;
    std::shared_ptr<RecordingProtocol> client;
    auto connecting = create_connection(
        trial.loop(),
        [&]() -> std::shared_ptr<Protocol> {
          client = trial.protocol();
          RecordingProtocol& self = *client;
          self.on_made = [&self] { self.write("hello"); };
          self.on_data = [&self](BytesView) {
            if (self.bytes() == 5) self.close();
          };
          return client;
        },
        std::move(options));
    // Without a delay one that never answers keeps the others from their turn.
    if (lot.permille(800)) {
      if (lot.permille(300)) {
        trial.run_for(lot.below(30) * 1ms);
      } else {
        trial.run_until([&] { return under_way->size() > 1 || connecting.done(); });
      }
      const bool racing = under_way->size() > 1;
      if (connecting.cancel() && racing) trial.reached("connect cancelled while addresses race");
    }
    if (!trial.run_until([&] { return connecting.done(); })) return;
    if (!connecting.cancelled() && connecting.exception()) {
      try {
        std::rethrow_exception(connecting.exception());
      } catch (const TimeoutError&) {
        // One that never answers came first.
      } catch (...) {
        trial.failed(std::current_exception());
      }
    }
    trial.run_until([&] { return !client || !client->made() || client->lost(); });
  }
  shut_down(trial, server);
}

// -- to the last and beyond

/// Writes, in every way there is, also after the end, which must do nothing; what comes is the
/// beginning of what was written before the end, and all of it if nothing went wrong.
void late_writes(Trial& trial, Carrier carrier) {
  struct Late {
    Late(Trial& t, std::uint16_t id, bool may_abort)
        : lot(t.lot(id == 0 ? "first" : "second")),
          out(id),
          in(id),
          timer(t.loop(), [this] { tick(); }),
          abort(may_abort) {}
    Seed lot;
    testing::PatternWriter out;
    testing::PatternReader in;
    Timer timer;
    std::shared_ptr<RecordingProtocol> writer;
    std::size_t left = 0;   // ticks
    std::size_t after = 0;  // ticks after the end
    bool abort;             // it may
    bool clean = false;     // closed, and not aborted or lost
    bool ended = false;

    void tick() {
      if (ended || writer->lost()) {
        write_beyond();
        if (after-- > 0) timer.set(std::chrono::microseconds(lot.below(3000)));
        return;
      }
      write();
      if (left-- > 0) return timer.set(std::chrono::microseconds(lot.below(2000)));
      ended = true;
      clean = !abort || lot.permille(700);
      clean ? writer->close() : writer->abort();
      write_beyond();
      timer.set(std::chrono::microseconds(lot.below(3000)));
    }
    void write() {
      if (lot.permille(500)) return writer->write(next_bytes(out, lot.between(1, 3000)));
      const BytesView bytes = next_bytes(out, lot.between(3, 3000));
      const std::size_t third = bytes.size() / 3;
      const BytesView pieces[] = {bytes.first(third), {}, bytes.drop(third)};
      writer->writelines(pieces);
    }
    void write_beyond() {
      const std::string noise(lot.between(1, 500), '!');
      if (lot.permille(400)) return writer->write(noise);
      const BytesView pieces[] = {BytesView(noise), BytesView(noise)};
      writer->writelines(pieces);
    }
  };
  std::vector<std::unique_ptr<Late>> all;
  for (std::uint16_t id = 0; id < 2; ++id) {
    // TLS tells the peer of an abort, who would have to be told why.
    all.push_back(std::make_unique<Late>(trial, id, !encrypted(carrier)));
  }
  const auto server = serve(trial, carrier, [&trial, &all] {
    const auto reader = trial.protocol();
    RecordingProtocol& self = *reader;
    self.keep_data = false;
    self.on_data = [&all, late = static_cast<Late*>(nullptr)](BytesView data) mutable {
      // The first byte says whose it is.
      if (!late) {
        late = all[std::to_integer<std::size_t>(data[0]) % all.size()].get();
        data = data.drop(1);
      }
      late->in.take(data);
    };
    return reader;
  });
  if (!server) return;
  std::vector<Future<Connection<>>> connecting;
  for (std::size_t i = 0; i < all.size(); ++i) {
    Late& late = *all[i];
    late.left = late.lot.below(8);
    late.after = 4;
    connecting.push_back(connect(trial, carrier, *server, [&trial, &late, i] {
      late.writer = trial.protocol();
      late.writer->on_made = [&late, i] {
        const std::byte number{static_cast<unsigned char>(i)};
        late.writer->write(BytesView(&number, 1));
        late.timer.set(std::chrono::microseconds(late.lot.below(2000)));
      };
      return late.writer;
    }));
  }
  for (const auto& each : connecting) trial.done(each);
  trial.run_until([&] { return trial.all_lost() && trial.loop().stats().timers == 0; });
  for (const auto& late : all) {
    const bool whole = trial.calm() && late->clean;
    const bool good = whole ? late->in.end(late->out.position()) : late->in.ok();
    if (!good) trial.complain("what arrived is wrong: " + late->in.to_string());
    if (late->in.position() > late->out.position()) trial.complain("more came than was written");
  }
  shut_down(trial, server);
}

// -- a long silence

/// A connection that says nothing for longer than any limit that belongs to its beginning or its
/// end, and then goes on.
void long_silence(Trial& trial, Carrier carrier) {
  const auto server = serve(trial, carrier, [&trial] {
    const auto echo = trial.protocol();
    RecordingProtocol& self = *echo;
    self.on_data = [&self](BytesView data) { self.write(data); };
    return echo;
  });
  if (!server) return;
  std::shared_ptr<RecordingProtocol> client;
  const auto connecting = connect(trial, carrier, *server, [&] {
    client = trial.protocol();
    RecordingProtocol& self = *client;
    self.on_made = [&self] { self.write("ping"); };
    return client;
  });
  if (trial.done(connecting)) {
    const auto got = [&](std::size_t bytes) { return client->lost() || client->bytes() == bytes; };
    trial.run_until([&] { return got(4); });
    trial.run_for(3min);
    if (!client->lost()) client->write("pong");
    trial.run_until([&] { return got(8); });
    if (trial.calm() && client->bytes() != 8) trial.complain("it did not outlast the silence");
    if (!client->lost()) client->close();
    trial.run_until([&] { return client->lost(); });
  }
  shut_down(trial, server);
}

}  // namespace

void add_bank_scenarios(std::vector<testing::Scenario>& all) {
  all.push_back({.name = "timers",
                 .play = timers,
                 .troubles = {.network = false, .calls = false, .descriptors = false}});
  add(all, "backlog", std::span(kPlain).first(1), backlog);
  all.push_back({.name = "racing-addresses", .play = racing_addresses});
  add(all, "late-writes", kAll, late_writes);
  add(all, "long-silence", kAll, long_silence);
}

}  // namespace ferry::test
