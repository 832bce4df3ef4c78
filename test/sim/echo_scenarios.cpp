#include "carrier.h"
#include "scenarios.h"

#include <chrono>
#include <string>
#include <vector>

namespace ferry::test {

namespace {

using namespace std::chrono_literals;
using testing::RecordingProtocol;
using testing::Trial;

/// Sends back what comes, and ends when the peer does.
std::shared_ptr<Protocol> echo(Trial& trial) {
  const auto protocol = trial.protocol();
  RecordingProtocol& self = *protocol;
  self.keep_data = false;
  self.on_data = [&self](BytesView data) { self.write(data); };
  self.on_pause = [&self] { self.pause_reading(); };
  self.on_resume = [&self] { self.resume_reading(); };
  return protocol;
}

/// Sends `bytes`, waits for as many, closes.
std::shared_ptr<RecordingProtocol> asker(Trial& trial, const std::string& bytes) {
  const auto protocol = trial.protocol();
  RecordingProtocol& self = *protocol;
  self.on_made = [&self, &bytes] { self.write(bytes); };
  self.on_data = [&self, &bytes](BytesView) {
    if (self.bytes() >= bytes.size()) self.close();
  };
  return protocol;
}

/// Four connections ask at once.
void echo_four(Trial& trial, Carrier carrier) {
  const auto server = serve(trial, carrier, [&trial] { return echo(trial); });
  if (!server) return;
  auto lot = trial.lot();
  std::vector<std::string> questions;
  std::vector<std::shared_ptr<RecordingProtocol>> clients;
  std::vector<Future<Connection<>>> connecting;
  for (int i = 0; i < 4; ++i) {
    questions.emplace_back(lot.between(1, 5000), static_cast<char>('a' + i));
  }
  for (const std::string& question : questions) {
    ConnectOptions options;
    options.timeout = 20s;
    connecting.push_back(connect(
        trial, carrier, *server,
        [&trial, &clients, &question] {
          clients.push_back(asker(trial, question));
          return clients.back();
        },
        options));
  }
  for (const auto& each : connecting) trial.done(each);
  trial.run_until([&trial] { return trial.all_lost(); });
  shut_down(trial, server);
}

}  // namespace

void add_echo_scenarios(std::vector<testing::Scenario>& all) {
  add(all, "echo", kAll, echo_four);
}

}  // namespace ferry::test
