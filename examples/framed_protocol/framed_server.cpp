// Serves the protocol of frames.h: sends texts back reversed. framed_server [PORT]
#include "frames.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

class Reverser : public FrameProtocol {
 public:
  void pause_writing() override { transport().pause_reading(); }
  void resume_writing() override { transport().resume_reading(); }

 protected:
  void frame_received(const Frame& frame) override {
    if (frame.kind != Frame::text) return send({Frame::error, "what is that?"});
    std::string text(frame.payload.text());
    std::reverse(text.begin(), text.end());
    send({Frame::reversed, text});
  }
};

int main(int argc, char** argv) {
  ferry::EventLoop loop;
  for (int signal : {SIGINT, SIGTERM}) loop.add_signal_handler(signal, [&loop] { loop.stop(); });
  const char* port = argc > 1 ? argv[1] : "7777";
  ferry::ListenOptions options{.hosts = {"127.0.0.1"},
                               .port = static_cast<std::uint16_t>(std::atoi(port))};
  auto server = loop.run_until_complete(ferry::create_server(
      loop, [] { return std::make_shared<Reverser>(); }, std::move(options)));
  std::printf("listening on %s\n", server->sockets()[0].to_string().c_str());
  std::fflush(stdout);
  loop.run_forever();
}
