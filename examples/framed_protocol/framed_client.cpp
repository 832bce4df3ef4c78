// Sends its arguments to framed_server, all at once, and prints the answers. framed_client PORT
// TEXT...
#include "frames.h"

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

class Client : public FrameProtocol {
 public:
  Client(ferry::EventLoop& loop, std::vector<std::string> texts)
      : texts_(std::move(texts)), ended_(loop) {}

  void connection_made(std::shared_ptr<ferry::Transport> transport) override {
    FrameProtocol::connection_made(std::move(transport));
    for (const std::string& text : texts_) send({Frame::text, text});
  }
  void connection_lost(std::error_code error) override {
    if (!error && answers_ < texts_.size())
      error = std::make_error_code(std::errc::connection_reset);
    ended_.set_result(error);
  }
  ferry::Future<std::error_code> ended() const { return ended_; }

 protected:
  void frame_received(const Frame& frame) override {
    const std::string_view text = frame.payload.text();
    const bool good = frame.kind == Frame::reversed;
    std::printf("%s%.*s\n", good ? "" : "error: ", static_cast<int>(text.size()), text.data());
    if (++answers_ == texts_.size()) transport().close();
  }

 private:
  std::vector<std::string> texts_;
  std::size_t answers_ = 0;
  ferry::Future<std::error_code> ended_;
};

int main(int argc, char** argv) try {
  if (argc < 3) {
    std::fputs("usage: framed_client PORT TEXT...\n", stderr);
    return 2;
  }
  ferry::EventLoop loop;
  const std::vector<std::string> texts(argv + 2, argv + argc);
  ferry::ConnectOptions options{.host = "127.0.0.1",
                                .port = static_cast<std::uint16_t>(std::atoi(argv[1])),
                                .timeout = std::chrono::seconds(5)};
  auto connection = loop.run_until_complete(ferry::create_connection(
      loop, [&] { return std::make_shared<Client>(loop, texts); }, std::move(options)));
  const std::error_code error = loop.run_until_complete(connection.protocol->ended());
  if (error) throw std::system_error(error);
} catch (const std::exception& error) {
  std::fprintf(stderr, "framed_client: %s\n", error.what());
  return 1;
}
