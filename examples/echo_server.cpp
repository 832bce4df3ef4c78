// An echo server. echo_server [PORT]: 7777 unless given, 0 for any; SIGINT or SIGTERM ends it.
#include <ferry/net.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

class Echo : public ferry::Protocol {
 public:
  void connection_made(std::shared_ptr<ferry::Transport> transport) override {
    transport_ = std::move(transport);
  }
  void data_received(ferry::BytesView data) override { transport_->write(data); }
  // A peer that does not read its answers need not be read from either.
  void pause_writing() override { transport_->pause_reading(); }
  void resume_writing() override { transport_->resume_reading(); }

 private:
  std::shared_ptr<ferry::Transport> transport_;
};

int main(int argc, char** argv) {
  ferry::EventLoop loop;
  loop.add_signal_handler(SIGINT, [&loop] { loop.stop(); });
  loop.add_signal_handler(SIGTERM, [&loop] { loop.stop(); });

  ferry::ListenOptions options{.hosts = {"127.0.0.1"}, .port = 7777};
  if (argc > 1) options.port = static_cast<std::uint16_t>(std::atoi(argv[1]));
  auto server = loop.run_until_complete(ferry::create_server(
      loop, [] { return std::make_shared<Echo>(); }, std::move(options)));
  std::printf("listening on %s\n", server->sockets()[0].to_string().c_str());
  std::fflush(stdout);
  loop.run_forever();
}
