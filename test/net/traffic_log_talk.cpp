// Makes random conversations with a traffic log, for traffic_log_test.py:
//
//     traffic_log_talk FOLDER SEED
//
// writes FOLDER/log.pcapng, and for each conversation N what its client and its server had written:
// FOLDER/N-client, FOLDER/N-server.
#include <ferry/net.h>
#include <ferry/wraps.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <optional>
#include <random>
#include <string>

namespace {

using namespace ferry;

/// Writes random bytes, now and then, until all are written; then ends its half.
class Talker final : public Protocol {
 public:
  Talker(std::string file, unsigned seed) : out_(file, std::ios::binary), random_(seed) {
    left_ = random_() % 3 == 0 ? random_() % 1'000'000 : random_() % 3'000;
  }

  void connection_made(std::shared_ptr<Transport> transport) override {
    transport_ = std::move(transport);
    timer_.emplace(transport_->loop(), [this] { talk(); });
    talk();
  }
  void data_received(BytesView) override { talk(); }
  bool eof_received() override {
    heard_end_ = true;
    if (left_ == 0) transport_->close();
    return true;
  }
  void connection_lost(std::error_code) override {
    timer_->cancel();
    transport_.reset();
  }

 private:
  void talk() {
    if (left_ == 0) {
      transport_->write_eof();
      if (heard_end_) transport_->close();
      return;
    }
    std::string words(std::min<std::size_t>(left_, random_() % 70'000), '\0');
    for (char& c : words) c = static_cast<char>(random_());
    out_ << words;
    left_ -= words.size();
    transport_->write(words);
    timer_->set(std::chrono::milliseconds(random_() % 3));
  }

  std::ofstream out_;
  std::minstd_rand random_;
  std::size_t left_;
  bool heard_end_ = false;
  std::shared_ptr<Transport> transport_;
  std::optional<Timer> timer_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: traffic_log_talk FOLDER SEED\n";
    return 2;
  }
  const std::string folder = argv[1];
  const auto seed = static_cast<unsigned>(std::atoi(argv[2]));
  EventLoop loop;
  const auto log = TrafficLog::open(loop, {.path = folder + "/log.pcapng"});
  int number = 0;

  const auto talk = [&](auto server_side, auto client_side) {
    const std::string name = folder + "/" + std::to_string(number++);
    const auto seeds = seed * 1000 + static_cast<unsigned>(number) * 2;
    auto accepted = loop.create_future<void>();
    const auto server = loop.run_until_complete(server_side([name, seeds, accepted] {
      accepted.set_result();
      return std::make_shared<Talker>(name + "-server", seeds);
    }));
    loop.run_until_complete(client_side(
        *server, [name, seeds] { return std::make_shared<Talker>(name + "-client", seeds + 1); }));
    loop.run_until_complete(accepted);
    server->close();
    loop.run_until_complete(server->wait_closed());
  };
  const auto tcp = [&](const char* host, bool log_server) {
    talk(
        [&](ProtocolFactory factory) {
          ListenOptions options;
          options.hosts = {host};
          if (log_server) options.wrap = log->server();
          return create_server(loop, std::move(factory), options);
        },
        [&](Server& server, ProtocolFactory factory) {
          ConnectOptions options;
          options.host = host;
          options.port = server.port();
          if (!log_server) options.wrap = log->client();
          return create_connection(loop, std::move(factory), options);
        });
  };
  for (int i = 0; i < 4; ++i) {
    tcp("127.0.0.1", i % 2 == 0);
    tcp("::1", i % 2 == 0);
    talk(
        [&](ProtocolFactory factory) {
          UnixListenOptions options;
          options.path = folder + "/socket";
          options.wrap = log->server();
          return create_unix_server(loop, std::move(factory), options);
        },
        [&](Server&, ProtocolFactory factory) {
          UnixConnectOptions options;
          options.path = folder + "/socket";
          return create_unix_connection(loop, std::move(factory), options);
        });
  }
  loop.run_until_complete(log->close());
}
