// Sends a text to an echo server and prints what comes back. echo_client PORT [TEXT]
#include <ferry/net.h>

#include <cstdio>
#include <cstdlib>
#include <string>

class EchoClient : public ferry::Protocol {
 public:
  EchoClient(ferry::EventLoop& loop, std::string text) : text_(std::move(text)), ended_(loop) {}

  void connection_made(std::shared_ptr<ferry::Transport> transport) override {
    transport->write(text_);
    transport->write_eof();  // half-close: nothing more from us, but we still listen
  }
  void data_received(ferry::BytesView data) override {
    std::fwrite(data.data(), 1, data.size(), stdout);
  }
  void connection_lost(std::error_code error) override {
    if (error) {
      ended_.set_exception(std::system_error(error, "the connection broke"));
    } else {
      ended_.set_result();
    }
  }
  ferry::Future<void> ended() const { return ended_; }

 private:
  std::string text_;
  ferry::Future<void> ended_;
};

int main(int argc, char** argv) try {
  const char* port = argc > 1 ? argv[1] : "7777";
  const std::string text = argc > 2 ? argv[2] : "hello, ferry";

  ferry::EventLoop loop;
  ferry::ConnectOptions options{.host = "127.0.0.1",
                                .port = static_cast<std::uint16_t>(std::atoi(port)),
                                .timeout = std::chrono::seconds(5)};
  auto connection = loop.run_until_complete(ferry::create_connection(
      loop, [&] { return std::make_shared<EchoClient>(loop, text + "\n"); }, std::move(options)));
  loop.run_until_complete(connection.protocol->ended());
} catch (const std::exception& error) {
  std::fprintf(stderr, "echo_client: %s\n", error.what());
  return 1;
}
