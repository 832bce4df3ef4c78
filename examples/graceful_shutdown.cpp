// Ends without cutting anybody off. graceful_shutdown [PORT]: answers each line after half a second
// of "work"; at SIGTERM or SIGINT no new connection is taken, work under way is finished, and only
// what takes longer than five seconds is aborted. A second signal aborts at once.
#include <ferry/net.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

using namespace std::chrono_literals;

class Worker : public ferry::Protocol {
 public:
  explicit Worker(ferry::EventLoop& loop) : finished_(loop, [this] { finish(); }) {}

  void connection_made(std::shared_ptr<ferry::Transport> transport) override {
    transport_ = std::move(transport);
  }
  void data_received(ferry::BytesView data) override {
    job_ += data.text();
    if (!job_.ends_with('\n')) return;
    transport_->pause_reading();  // one job at a time
    finished_.set(500ms);
  }

 private:
  void finish() {
    transport_->write("done: " + job_);
    transport_->close();
  }

  ferry::Timer finished_;
  std::shared_ptr<ferry::Transport> transport_;
  std::string job_;
};

int main(int argc, char** argv) {
  ferry::EventLoop loop;
  const char* port = argc > 1 ? argv[1] : "7777";
  ferry::ListenOptions options{.hosts = {"127.0.0.1"},
                               .port = static_cast<std::uint16_t>(std::atoi(port))};
  auto server = loop.run_until_complete(ferry::create_server(
      loop, [&loop] { return std::make_shared<Worker>(loop); }, std::move(options)));

  bool ending = false;
  const auto end = [&] {
    if (std::exchange(ending, true)) return server->abort_clients();
    std::printf("finishing %zu connections\n", server->connections());
    std::fflush(stdout);
    server->drain(5s).add_done_callback([&loop](ferry::Future<std::size_t> aborted) {
      std::printf("all done, %zu aborted\n", aborted.result());
      loop.stop();
    });
  };
  loop.add_signal_handler(SIGTERM, end);
  loop.add_signal_handler(SIGINT, end);

  std::printf("listening on %s\n", server->sockets()[0].to_string().c_str());
  std::fflush(stdout);
  loop.run_forever();
}
