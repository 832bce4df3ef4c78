// An echo server on many cores. multi_core_echo [PORT [LOOPS [SPREAD]]]: port 7777 unless given, 0
// for any; as many loops as cores; SPREAD is least_loaded (one loop accepts and gives each
// connection to the loop that has the fewest) or reuse_port (each loop listens, the kernel
// spreads). SIGTERM or SIGINT: no new connections, five seconds for the others.
#include <ferry/group_server.h>
#include <ferry/net.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string_view>

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

int main(int argc, char** argv) {
  ferry::ListenOptions options{.hosts = {"127.0.0.1"}, .port = 7777};
  if (argc > 1) options.port = static_cast<std::uint16_t>(std::atoi(argv[1]));
  const auto loops = argc > 2 ? static_cast<std::size_t>(std::atoi(argv[2])) : std::size_t{0};
  const bool reuse_port = argc > 3 && std::string_view(argv[3]) == "reuse_port";

  ferry::LoopGroup group({.loops = loops});
  group.start();
  ferry::EventLoop loop;  // this thread's: for signals, and to accept
  auto server = loop.run_until_complete(ferry::create_server(
      loop, group, [](ferry::EventLoop&) { return std::make_shared<Echo>(); }, std::move(options),
      reuse_port ? ferry::Spread::reuse_port : ferry::Spread::least_loaded));

  const auto end = [&] {
    for (std::size_t i = 0; i < group.size(); ++i) {
      std::printf("loop %zu has %zu connections\n", i, group.crew()->load(i));
    }
    std::fflush(stdout);
    server->drain(5s).add_done_callback([&loop] { loop.stop(); });
  };
  loop.add_signal_handler(SIGTERM, end);
  loop.add_signal_handler(SIGINT, end);

  std::printf("listening on %s\n", server->sockets()[0].to_string().c_str());
  std::fflush(stdout);
  loop.run_forever();
}
