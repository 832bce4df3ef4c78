#include "meeting.h"

#include <ferry/connect.h>

#include <chrono>
#include <string>

namespace ferry::testing {

using namespace std::chrono_literals;

Meeting meet(Trial& trial, void (*prepare)(RecordingProtocol&, Trial&)) {
  Meeting made;
  ListenOptions options;
  options.hosts = {"127.0.0.1"};
  const auto starting = create_server(
      trial.loop(),
      [&trial, prepare] {
        auto protocol = trial.protocol();
        prepare(*protocol, trial);
        return protocol;
      },
      std::move(options));
  if (!trial.done(starting)) return made;
  made.server = starting.result();
  ConnectOptions there;
  there.host = "127.0.0.1";
  there.port = made.server->port();
  const auto connecting = create_connection(
      trial.loop(), [&] { return made.client = trial.protocol(); }, std::move(there));
  if (!trial.done(connecting)) made.client = nullptr;
  return made;
}

void take_down(Trial& trial, const Meeting& meeting) {
  if (meeting.client && !meeting.client->lost()) meeting.client->close();
  if (meeting.server) {
    meeting.server->close();
    trial.done(meeting.server->drain(1s));
  }
  trial.run_until([&trial] { return trial.all_lost(); });
}

void good(Trial& trial) {
  const Meeting meeting = meet(trial, [](RecordingProtocol& self, Trial&) {
    self.on_data = [&self](BytesView data) { self.write(data); };
  });
  if (meeting.client && !meeting.client->lost()) {
    meeting.client->write(std::string(3000, 'x'));
    trial.run_until([&] { return meeting.client->lost() || meeting.client->bytes() == 3000; });
  }
  take_down(trial, meeting);
}

void naive(Trial& trial) {
  const Meeting meeting = meet(trial, [](RecordingProtocol& self, Trial& seen_by) {
    self.on_data = [&seen_by](BytesView data) {
      if (data.size() != 3000) seen_by.complain("not a message");
    };
  });
  if (meeting.client && !meeting.client->lost()) meeting.client->write(std::string(3000, 'x'));
  trial.run_for(1s);
  take_down(trial, meeting);
}

}  // namespace ferry::testing
