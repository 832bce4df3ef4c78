// Records that end with separators of several bytes, connects that are cancelled as they succeed,
// writers that lose their connection while they wait for room.

#include "carrier.h"
#include "scenarios.h"

#include <ferry/async.h>
#include <ferry/streams.h>

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ferry::test {

namespace {

using namespace std::chrono_literals;
using testing::RecordingProtocol;
using testing::Seed;
using testing::Trial;

constexpr Duration kPatience = 5min;

// -- records

struct Records {
  explicit Records(Trial& t) : trial(t), lot(t.lot()) {
    constexpr std::string_view kSeparators[] = {"\r\n", "--end--", ";;;"};
    separator = kSeparators[lot.below(3)];
    for (std::size_t i = lot.between(1, 8); i > 0; --i) {
      std::string record(lot.below(lot.permille(900) ? 40 : 2000), static_cast<char>('a' + i));
      // What looks like the beginning of one.
      if (lot.permille(500))
        record += std::string(separator.substr(0, lot.below(separator.size()))) + ".";
      all.push_back(record + std::string(separator));
    }
  }
  Trial& trial;  // outlives the tasks
  Seed lot;
  std::string_view separator;
  std::vector<std::string> all;
  std::size_t arrived = 0;
};

Coro<> read_records(Records* records, StreamReader reader, StreamWriter writer) {
  try {
    for (const std::string& expected : records->all) {
      const std::string got = co_await wait_for(reader.readuntil(records->separator), kPatience);
      if (got != expected) {
        records->trial.complain("a record came as '" + got + "' that was '" + expected + "'");
      }
      ++records->arrived;
    }
    writer.close();
    co_await wait_for(writer.wait_closed(), kPatience);
  } catch (const std::exception&) {
    records->trial.failed(std::current_exception());
    writer.close();
  }
}

Coro<> write_records(Records* records, std::uint16_t port) {
  try {
    ConnectOptions options;
    options.host = "127.0.0.1";
    options.port = port;
    options.timeout = 20s;
    const Stream stream = co_await open_connection(std::move(options));
    std::string text;
    for (const std::string& each : records->all) text += each;
    for (std::string_view left = text; !left.empty();) {
      const std::size_t size = std::min(left.size(), records->lot.between(1, 30));
      stream.writer.write(left.substr(0, size));
      left.remove_prefix(size);
      co_await wait_for(stream.writer.drain(), kPatience);
      if (records->lot.permille(300)) co_await sleep(1ms);
    }
    const std::string rest = co_await wait_for(stream.reader.read(), kPatience);
    if (!rest.empty()) records->trial.complain("an answer came from nowhere");
    stream.writer.close();
    co_await wait_for(stream.writer.wait_closed(), kPatience);
  } catch (const std::exception&) {
    records->trial.failed(std::current_exception());
  }
}

void records(Trial& trial) {
  Records records(trial);
  const auto server = serve(trial, Carrier::tcp, [&records] {
    return std::make_shared<StreamReaderProtocol>(
        StreamReader::kDefaultLimit, [&records](StreamReader reader, StreamWriter writer) {
          return read_records(&records, std::move(reader), std::move(writer));
        });
  });
  if (!server) return;
  const Future<void> writing = create_task(trial.loop(), write_records(&records, server->port()));
  trial.done(writing);
  shut_down(trial, server);
  trial.run_until([&trial] { return trial.loop().stats().tasks == 0; });
  if (trial.calm() && records.arrived != records.all.size()) trial.complain("records are missing");
}

// -- connects that are cancelled

/// Cancels so many turns of the ready queue after the kernel has said that it is connected: now and
/// then as it succeeds.
void connect_and_cancel(Trial& trial, std::uint16_t port, std::size_t turns) {
  ConnectOptions options;
  options.host = "127.0.0.1";
  options.port = port;
  options.timeout = 20s;
  const Task<Stream> connecting = create_task(trial.loop(), open_connection(std::move(options)));
  bool begun = false;
  bool over = false;
  Function<void()> count_down = [&] {
    over = turns-- == 0;
    over ? static_cast<void>(connecting.cancel())
         : static_cast<void>(trial.loop().call_soon([&] { count_down(); }));
  };
  trial.set_observer([&](std::string_view call, int, const IoResult&) {
    if (call != "getsockopt" || std::exchange(begun, true)) return;
    trial.loop().call_soon([&] { count_down(); });  // not inside of the call
  });
  trial.run_until([&] { return connecting.done() && (over || !begun); });
  trial.set_observer(nullptr);
  if (connecting.cancelled()) {
    trial.reached("open_connection is cancelled");
  } else if (connecting.exception()) {
    trial.failed(connecting.exception());
  } else {
    connecting.result().writer.close();
  }
}

void cancelled_connects(Trial& trial) {
  Seed lot = trial.lot();
  trial.disturb();  // the server is told of those that are aborted
  const auto server = serve(trial, Carrier::tcp, [&trial] { return trial.protocol(); });
  if (!server) return;
  for (int round = 0; round < 8; ++round) {
    connect_and_cancel(trial, server->port(), lot.between(0, 8));
  }
  // Those that were made and not wanted are closed by whoever made them.
  if (trial.unharmed()) {
    trial.run_for(10s);
    if (trial.unharmed() && trial.loop().stats().transports != 0) {
      trial.complain("a connection is nobody's");
    }
  }
  shut_down(trial, server);
}

// -- a writer that waits for room

/// Writes for ever: what ends it is that the connection is lost while it waits.
Coro<> write_and_drain(std::uint16_t port) {
  try {
    ConnectOptions options;
    options.host = "127.0.0.1";
    options.port = port;
    options.timeout = 20s;
    const Stream stream = co_await open_connection(std::move(options));
    const std::string much(20'000, 'x');
    for (;;) {
      stream.writer.write(much);
      co_await stream.writer.drain();
    }
  } catch (const std::system_error&) {
    // As it must come.
  }
}

void lost_in_drain(Trial& trial) {
  Seed lot = trial.lot();
  std::vector<std::shared_ptr<RecordingProtocol>> deaf;
  const auto server = serve(trial, Carrier::tcp, [&trial, &deaf] {
    deaf.push_back(trial.protocol());
    RecordingProtocol& self = *deaf.back();
    self.on_made = [&self] { self.pause_reading(); };
    return deaf.back();
  });
  if (!server) return;
  const Future<void> writing = create_task(trial.loop(), write_and_drain(server->port()));
  trial.run_for(std::chrono::microseconds(lot.below(20'000)));
  for (int i = 0; i < 1000 && !writing.done(); ++i) {
    for (const auto& each : deaf) {
      if (each->made() && !each->lost()) each->abort();
    }
    trial.run_for(100ms);
  }
  trial.done(writing);
  shut_down(trial, server);
}

}  // namespace

void add_record_scenarios(std::vector<testing::Scenario>& all) {
  all.push_back({.name = "records", .play = records});
  all.push_back({.name = "cancelled-connects", .play = cancelled_connects});
  all.push_back({.name = "lost-in-drain", .play = lost_in_drain});
}

}  // namespace ferry::test
