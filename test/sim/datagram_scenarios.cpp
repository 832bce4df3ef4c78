#include "carrier.h"
#include "scenarios.h"

#include <ferry/datagram.h>
#include <ferry/testing/pattern_stream.h>
#include <ferry/timer.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace ferry::test {

namespace {

using namespace std::chrono_literals;
using testing::Seed;
using testing::Trial;

/// One end that talks in datagrams: each has its number and bytes that belong to it.
class Talker final : public DatagramProtocol {
 public:
  /// `echo`: sends back what comes.
  Talker(Trial& trial, std::uint16_t id, bool echo) : trial_(trial), id_(id), echo_(echo) {}

  void connection_made(std::shared_ptr<DatagramTransport> made) override {
    if (transport) trial_.complain("connection_made was called twice");
    transport = std::move(made);
  }
  void datagram_received(BytesView data, const DatagramInfo& info) override {
    if (!transport || lost) trial_.complain("a datagram came at the wrong time");
    if (reading_paused) trial_.complain("a datagram came while reading is paused");
    ++got;
    std::uint32_t number = 0;
    if (data.size() < sizeof number) return trial_.complain("a datagram is too short");
    std::memcpy(&number, data.data(), sizeof number);
    const std::size_t size = data.size() - sizeof number;
    testing::PatternReader reader(id_, number);
    reader.take(data.drop(sizeof number));
    if (!reader.end(number + size)) trial_.complain("a datagram is wrong: " + reader.to_string());
    if (on_number) on_number(number, info.peer);
    // Several may ask, each with numbers of his own.
    if (echo_) return transport->sendto(data, info.peer);
    if (number >= seen.size()) seen.resize(number + 1);
    if (seen[number]++ > 0) trial_.reached("a datagram comes twice");
    if (number < last) trial_.reached("a datagram is overtaken");
    last = std::max(last, number);
  }
  void error_received(std::error_code error) override {
    ++errors;
    trial_.report("error_received: " + error.message());
    if (error == std::errc::connection_refused) trial_.reached("a datagram is refused");
    if (error == std::errc::no_buffer_space) trial_.reached("no memory for a datagram");
    if (error == make_error_code(errc::write_overflow)) {
      trial_.reached("the queue of datagrams is full");
    }
  }
  void connection_lost(std::error_code) override {
    if (!transport || lost) trial_.complain("a datagram socket was lost at the wrong time");
    lost = true;
  }
  void pause_writing() override {
    if (paused) trial_.complain("pause_writing was called twice");
    paused = true;
    trial_.reached("the sending of datagrams is paused");
  }
  void resume_writing() override {
    if (!paused) trial_.complain("resume_writing was called without pause_writing");
    paused = false;
    if (on_resume) on_resume();
  }

  /// Sends the next one, of so many bytes beside its number.
  std::string next(std::size_t size) {
    const std::uint32_t number = sent++;
    std::string text(sizeof number + size, '\0');
    std::memcpy(text.data(), &number, sizeof number);
    testing::PatternWriter(id_, number)
        .fill(std::as_writable_bytes(std::span(text)).subspan(sizeof number));
    return text;
  }
  std::size_t distinct() const {
    return static_cast<std::size_t>(
        std::count_if(seen.begin(), seen.end(), [](unsigned times) { return times > 0; }));
  }

  std::shared_ptr<DatagramTransport> transport;
  Function<void()> on_resume;
  Function<void(std::uint32_t number, const Address& peer)> on_number;
  std::vector<unsigned> seen;
  std::uint32_t sent = 0;
  std::uint32_t last = 0;
  std::size_t got = 0;
  std::size_t errors = 0;
  bool paused = false;
  bool lost = false;
  bool reading_paused = false;

 private:
  Trial& trial_;
  std::uint16_t id_;
  bool echo_;
};

std::shared_ptr<Talker> open(Trial& trial, std::uint16_t id, bool echo, DatagramOptions options) {
  std::shared_ptr<Talker> talker;
  const auto opening = create_datagram_endpoint(
      trial.loop(),
      [&] {
        talker = std::make_shared<Talker>(trial, id, echo);
        return talker;
      },
      std::move(options));
  return trial.done(opening) ? talker : nullptr;
}

DatagramOptions local() {
  DatagramOptions options;
  options.local_host = "127.0.0.1";
  return options;
}

DatagramOptions towards(const Trial& trial, const Talker& talker) {
  DatagramOptions options;
  const Address& there = talker.transport->sockname();
  if (there.is_unix()) {
    options.remote_path = there.path();
    options.local_path = "@" + unix_name(trial, "client");
  } else {
    options.remote_host = "127.0.0.1";
    options.remote_port = there.port();
  }
  return options;
}

/// Something draws datagrams away: what is missing then is nobody's fault.
bool lossy(Trial& trial) {
  return trial.simulated() &&
         (trial.sim().network().stats().lost > 0 || trial.sim().stats().dropped_datagrams > 0);
}

void close_all(Trial& trial, std::initializer_list<std::shared_ptr<Talker>> all) {
  for (const auto& each : all) {
    if (each && each->transport) each->transport->close();
  }
  trial.run_until([&] {
    return std::all_of(all.begin(), all.end(),
                       [](const auto& each) { return !each || !each->transport || each->lost; });
  });
}

/// After all is well again: a new pair, whose datagrams come back, as far as the way does not lose
/// them.
void check_progress(Trial& trial) {
  trial.heal();
  const auto server = open(trial, 9, true, local());
  const auto client = server ? open(trial, 9, false, towards(trial, *server)) : nullptr;
  if (!client) {
    trial.complain("no datagram socket can be made although all is well again");
    return close_all(trial, {server, client});
  }
  for (int i = 0; i < 100 && client->got == 0; ++i) {
    client->transport->sendto(client->next(30));
    trial.run_for(1s);
  }
  if (client->got == 0) trial.complain("no datagram gets through although all is well again");
  close_all(trial, {server, client});
}

/// Many ask one; all that is asked is answered, but for what is lost on the way.
void echo(Trial& trial, bool connected) {
  Seed lot = trial.lot();
  const auto server = open(trial, 5, true, local());
  if (!server) return check_progress(trial);
  std::vector<std::shared_ptr<Talker>> clients;
  for (int i = 0; i < 3; ++i) {
    DatagramOptions options = connected ? towards(trial, *server) : local();
    if (auto client = open(trial, 5, false, std::move(options))) {
      clients.push_back(std::move(client));
    }
  }
  const std::size_t count = lot.between(1, 30);
  for (std::size_t i = 0; i < count; ++i) {
    for (const auto& each : clients) {
      const std::string text = each->next(lot.below(lot.permille(100) ? 5000 : 200));
      each->transport->sendto(text, connected ? Address() : server->transport->sockname());
    }
    if (lot.permille(300)) trial.run_for(std::chrono::microseconds(lot.below(2000)));
  }
  const auto all_back = [&] {
    return std::all_of(clients.begin(), clients.end(),
                       [](const auto& each) { return each->distinct() == each->sent; });
  };
  bool late = false;
  Timer timer(trial.loop(), [&late] { late = true; });
  timer.set(30s);
  trial.run_until([&] { return late || all_back(); });
  if (!all_back()) {
    trial.reached("datagrams are missing");
    if (trial.calm() && !lossy(trial)) {
      trial.complain("datagrams are missing although none was lost");
    }
  }
  for (const auto& each : clients) {
    if (each->seen.size() > each->sent) trial.complain("a datagram came that nobody sent");
    close_all(trial, {each});
  }
  close_all(trial, {server});
  check_progress(trial);
}

void echo_unconnected(Trial& trial) {
  echo(trial, false);
}
void echo_connected(Trial& trial) {
  echo(trial, true);
}

/// More at once than one system call takes, of one size and of many.
void batches(Trial& trial) {
  Seed lot = trial.lot();
  const auto server = open(trial, 5, true, local());
  const auto client = server ? open(trial, 5, false, towards(trial, *server)) : nullptr;
  if (client) {
    for (int round = 0; round < 2; ++round) {
      std::vector<std::string> texts;
      std::vector<BytesView> views;
      const bool same = lot.permille(500);
      const std::size_t size = lot.below(400);
      for (std::size_t i = lot.between(70, 150); i > 0; --i) {
        texts.push_back(client->next(same ? size : lot.below(400)));
      }
      for (const std::string& each : texts) views.emplace_back(each);
      client->transport->send_each(views);
      trial.run_for(std::chrono::microseconds(lot.below(500)));
    }
    bool late = false;
    Timer timer(trial.loop(), [&late] { late = true; });
    timer.set(10s);
    trial.run_until([&] { return late || client->distinct() == client->sent; });
    if (client->distinct() < client->sent && trial.calm() && !lossy(trial)) {
      trial.complain("a part of a batch is missing");
    }
    if (client->got > 128) trial.reached("more datagrams than fit into a batch");
  }
  close_all(trial, {client, server});
  check_progress(trial);
}

/// The system takes none for a while: sending is paused, and all goes out later; or the queue is
/// full.
void queued(Trial& trial) {
  Seed lot = trial.lot();
  trial.disturb();
  const auto server = open(trial, 5, false, local());
  const auto client = server ? open(trial, 5, false, towards(trial, *server)) : nullptr;
  if (client) {
    client->transport->set_write_buffer_limits(lot.between(100, 2000));
    if (lot.permille(800)) client->transport->set_write_hard_limit(3000);
    const auto guard = trial.faults().inject(
        {.call = "sendmmsg", .error = EAGAIN, .after = lot.below(3), .times = lot.between(1, 3)});
    const auto memory = trial.faults().inject(
        {.call = "sendmmsg", .error = ENOBUFS, .after = lot.below(4), .times = lot.between(0, 2)});
    std::size_t left = 60;
    const auto send = [&] {
      while (left > 0 && !client->paused) {
        --left;
        client->transport->sendto(client->next(lot.below(300)));
        const std::size_t high = client->transport->get_write_buffer_limits().high;
        if (client->transport->get_write_buffer_size() > high + 400) {
          trial.complain("too many datagrams are queued");
        }
      }
    };
    client->on_resume = send;
    send();
    if (lot.permille(600)) {
      // Without minding the pause.
      for (int i = 0; i < 20; ++i) client->transport->sendto(client->next(300));
    }
    if (lot.permille(250)) trial.run_for(std::chrono::microseconds(lot.below(3000)));
    if (lot.permille(700)) {
      if (client->transport->get_write_buffer_size() > 0) {
        trial.reached("close with a queue of datagrams");
      }
      client->transport->close();
    }
    trial.run_for(1s);
    client->on_resume = nullptr;
  }
  close_all(trial, {client, server});
  check_progress(trial);
}

/// Nobody is there: the sender is told.
void refused(Trial& trial) {
  Seed lot = trial.lot();
  trial.disturb();
  const auto server = open(trial, 5, true, local());
  const auto client = server ? open(trial, 5, false, towards(trial, *server)) : nullptr;
  if (client) {
    for (int i = 0; i < 3; ++i) client->transport->sendto(client->next(10));
    trial.run_for(std::chrono::microseconds(lot.below(1000)));
    close_all(trial, {server});
    for (int i = 0; i < 3; ++i) {
      client->transport->sendto(client->next(10));
      trial.run_for(2s);
    }
    if (trial.unharmed() && client->errors == 0 && !lossy(trial)) {
      trial.complain("nobody was there, and the sender was not told");
    }
  }
  close_all(trial, {client, server});
  check_progress(trial);
}

/// Reading is paused now and then, and sockets end in the middle.
void paused(Trial& trial) {
  Seed lot = trial.lot();
  trial.disturb();
  const auto server = open(trial, 5, true, local());
  const auto client = server ? open(trial, 5, false, towards(trial, *server)) : nullptr;
  if (client) {
    for (int i = 0; i < 30; ++i) {
      const auto& who = lot.permille(500) ? server : client;
      switch (lot.below(5)) {
        case 0:
          who->transport->pause_reading();
          who->reading_paused = true;
          break;
        case 1:
          who->reading_paused = false;
          who->transport->resume_reading();
          break;
        default:
          for (std::size_t n = lot.below(5); n > 0; --n) {
            client->transport->sendto(client->next(lot.below(100)));
          }
      }
      trial.run_for(std::chrono::microseconds(lot.below(500)));
      if (lot.permille(70)) who->transport->abort();
      if (lot.permille(70)) who->transport->close();
      if (who->reading_paused && who->transport->is_closing() && !who->lost) {
        trial.reached("a datagram socket is closed while paused");
      }
    }
  }
  close_all(trial, {client, server});
  check_progress(trial);
}

/// One speaks to all who listen.
void broadcast(Trial& trial) {
  Seed lot = trial.lot();
  DatagramOptions listen;
  listen.local_host = "0.0.0.0";
  listen.reuse_port = true;
  const auto first = open(trial, 5, false, listen);
  if (!first) return check_progress(trial);
  listen.local_port = first->transport->sockname().port();
  const auto second = open(trial, 5, false, listen);
  DatagramOptions speak;
  speak.local_host = "127.0.0.1";
  speak.allow_broadcast = true;
  const auto speaker = open(trial, 5, false, speak);
  const auto everybody = Address::ip("127.255.255.255", listen.local_port);
  const std::size_t count = lot.between(1, 20);
  for (std::size_t i = 0; speaker && i < count; ++i) {
    speaker->transport->sendto(speaker->next(lot.below(300)), *everybody);
  }
  trial.run_for(10s);
  for (const auto& each : {first, second}) {
    if (speaker && each && trial.calm() && !lossy(trial) && each->distinct() != count) {
      trial.complain("not all heard what was said to all");
    }
  }
  close_all(trial, {first, second, speaker});
  check_progress(trial);
}

/// Between unix sockets nothing is lost, doubled or overtaken; a queue that is full holds back who
/// sends to it, connected or not, until there is room.
void over_unix(Trial& trial) {
  Seed lot = trial.lot();
  // A simulated path costs nothing, and its file has to be looked after.
  const std::string at = trial.simulated() && lot.permille(500) ? "/" : "@";
  const auto server = open(trial, 5, false, {.local_path = at + unix_name(trial, "server")});
  if (!server) return check_progress(trial);
  std::map<Address, std::uint32_t> next;
  server->on_number = [&](std::uint32_t number, const Address& peer) {
    std::uint32_t& expected = next[peer];
    if (number < expected) trial.complain("a datagram of a unix socket is late, or comes twice");
    if (number > expected && trial.calm()) trial.complain("a datagram of a unix socket is missing");
    expected = number + 1;
  };
  struct Client {
    std::shared_ptr<Talker> talker;
    std::size_t left;
  };
  std::vector<Client> clients;
  const Address there = server->transport->sockname();
  for (int i = 0; i < 3; ++i) {
    DatagramOptions options{.local_path = at + unix_name(trial, "client") + std::to_string(i)};
    if (i < 2) options.remote_path = there.path();
    if (auto talker = open(trial, 5, false, std::move(options))) {
      talker->transport->set_write_buffer_limits(lot.between(100, 2000));
      clients.push_back({std::move(talker), lot.between(5, 80)});
    }
  }
  for (Client& each : clients) {
    each.talker->on_resume = [&each, &there, &lot] {
      Talker& talker = *each.talker;
      for (; each.left > 0 && !talker.paused; --each.left) {
        talker.transport->sendto(talker.next(lot.below(300)), there);
      }
    };
  }
  for (int round = 0; round < 6; ++round) {
    server->reading_paused = lot.permille(500);
    server->reading_paused ? server->transport->pause_reading()
                           : server->transport->resume_reading();
    for (Client& each : clients) {
      if (lot.permille(500)) each.talker->on_resume();
    }
    trial.run_for(std::chrono::microseconds(lot.below(3000)));
    for (const Client& each : clients) {
      if (!server->reading_paused || each.talker->transport->get_write_buffer_size() == 0) continue;
      trial.reached("a unix socket's queue is full");
    }
  }
  server->reading_paused = false;
  server->transport->resume_reading();
  for (Client& each : clients) each.talker->on_resume();
  const auto done = [](const Client& each) { return each.left == 0; };
  int minutes = 0;  // one may be over at once
  do {
    trial.run_for(1min);
  } while (++minutes < 3 && !std::all_of(clients.begin(), clients.end(), done));
  for (const Client& each : clients) {
    if (each.left > 0) trial.complain("the sending of datagrams was paused and never resumed");
    if (trial.calm() && next[each.talker->transport->sockname()] != each.talker->sent) {
      trial.complain("not all datagrams of a unix socket arrived");
    }
    each.talker->on_resume = nullptr;
    close_all(trial, {each.talker});
  }
  close_all(trial, {server});
  check_progress(trial);
}

/// An error comes in front of the answer, and nothing behind it: the answer must be read.
void error_first(Trial& trial) {
  trial.disturb();
  const auto server = open(trial, 5, true, local());
  const auto client = server ? open(trial, 5, false, towards(trial, *server)) : nullptr;
  if (client) {
    trial.heal();
    for (int i = 0; i < 3 && !client->lost; ++i) {
      const auto guard = trial.faults().inject({.call = "recvmmsg",
                                                .error = ECONNREFUSED,
                                                .fd = client->transport->native_handle(),
                                                .times = 1});
      client->transport->sendto(client->next(20));
      trial.run_for(3s);
    }
    if (!lossy(trial) && client->distinct() < client->sent) {
      trial.complain("an error took the datagram behind it along");
    }
  }
  close_all(trial, {client, server});
  check_progress(trial);
}

}  // namespace

void add_datagram_scenarios(std::vector<testing::Scenario>& all) {
  const auto add = [&all](const char* name, void (*play)(Trial&)) {
    all.push_back({.name = name, .play = play});
  };
  add("datagrams-unconnected", echo_unconnected);
  add("datagrams-connected", echo_connected);
  add("datagram-batches", batches);
  add("datagrams-queued", queued);
  add("datagrams-refused", refused);
  add("datagrams-paused", paused);
  add("datagrams-to-all", broadcast);
  add("datagrams-unix", over_unix);
  add("datagram-behind-an-error", error_first);
}

}  // namespace ferry::test
