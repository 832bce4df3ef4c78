// Sends each datagram back to where it came from. udp_echo [PORT]: 7777 unless given, 0 for any;
// SIGINT or SIGTERM ends it.
#include <ferry/net.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

class Echo : public ferry::DatagramProtocol {
 public:
  void connection_made(std::shared_ptr<ferry::DatagramTransport> transport) override {
    transport_ = std::move(transport);
  }
  void datagram_received(ferry::BytesView data, const ferry::DatagramInfo& info) override {
    transport_->sendto(data, info.peer);
  }
  void error_received(std::error_code error) override {
    std::fprintf(stderr, "udp_echo: %s\n", error.message().c_str());
  }
  // Better to let datagrams wait in the kernel, which drops what is too much, than in here.
  void pause_writing() override { transport_->pause_reading(); }
  void resume_writing() override { transport_->resume_reading(); }

 private:
  std::shared_ptr<ferry::DatagramTransport> transport_;
};

int main(int argc, char** argv) try {
  ferry::EventLoop loop;
  loop.add_signal_handler(SIGINT, [&loop] { loop.stop(); });
  loop.add_signal_handler(SIGTERM, [&loop] { loop.stop(); });

  ferry::DatagramOptions options{.local_host = "127.0.0.1", .local_port = 7777};
  if (argc > 1) options.local_port = static_cast<std::uint16_t>(std::atoi(argv[1]));
  auto endpoint = loop.run_until_complete(ferry::create_datagram_endpoint(
      loop, [] { return std::make_shared<Echo>(); }, std::move(options)));
  std::printf("listening on %s\n", endpoint.transport->sockname().to_string().c_str());
  std::fflush(stdout);
  loop.run_forever();
} catch (const std::exception& error) {
  std::fprintf(stderr, "udp_echo: %s\n", error.what());
  return 1;
}
