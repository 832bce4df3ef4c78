// Replaces itself without losing a connection. hot_restart PATH [PORT]: an echo server, which
// offers its listening socket at PATH, a unix socket. Started again with the same PATH, say in a
// new version, it takes the socket over, serves, and tells the old process, which finishes its
// connections and ends. If the new one fails on its way, the old one goes on. Takes a socket from
// systemd, too.
#include <ferry/net.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>

using namespace std::chrono_literals;

class Echo : public ferry::Protocol {
 public:
  void connection_made(std::shared_ptr<ferry::Transport> transport) override {
    transport_ = std::move(transport);
  }
  void data_received(ferry::BytesView data) override { transport_->write(data); }
  void pause_writing() override { transport_->pause_reading(); }
  void resume_writing() override { transport_->resume_reading(); }

 private:
  std::shared_ptr<ferry::Transport> transport_;
};

/// What the process at `path` listens on; nothing if there is none.
std::optional<ferry::TakenListeners> take_over(ferry::EventLoop& loop, const std::string& path) {
  try {
    return loop.run_until_complete(ferry::take_over_listeners(loop, path));
  } catch (const ferry::IoError& error) {
    if (error.code() == std::errc::no_such_file_or_directory ||
        error.code() == std::errc::connection_refused) {
      return std::nullopt;
    }
    throw;
  }
}

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: hot_restart PATH [PORT]\n", stderr);
    return 2;
  }
  const std::string path = argv[1];
  auto inherited = ferry::inherited_listeners();
  ferry::EventLoop loop;
  loop.set_log_sink(ferry::stderr_log_sink());
  auto taken = take_over(loop, path);

  ferry::ListenOptions options;
  options.sockets = ferry::take_listeners(taken ? taken->listeners : inherited, "echo");
  if (options.sockets.empty()) {
    options.hosts = {"127.0.0.1"};
    options.port = static_cast<std::uint16_t>(argc > 2 ? std::atoi(argv[2]) : 7777);
  }
  auto server = loop.run_until_complete(ferry::create_server(
      loop, [] { return std::make_shared<Echo>(); }, std::move(options)));
  if (taken) loop.run_until_complete(taken->confirm());

  const auto finish = [&] {
    std::printf("finishing %zu connections\n", server->connections());
    std::fflush(stdout);
    server->drain(30s).add_done_callback([&loop] { loop.stop(); });
  };
  ferry::hand_over_listeners(loop, {.path = path, .servers = {{"echo", server}}})
      .add_done_callback([&](ferry::Future<ferry::Successor> successor) {
        std::printf("process %d goes on\n", successor.result().pid);
        finish();
      });
  loop.add_signal_handler(SIGTERM, finish);
  loop.add_signal_handler(SIGINT, finish);

  std::printf("listening on %s\n", server->sockets()[0].to_string().c_str());
  std::fflush(stdout);
  loop.run_forever();
}
