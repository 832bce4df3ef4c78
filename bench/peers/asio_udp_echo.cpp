// UDP echo on Asio's callbacks, as its examples write it: receive, send, receive.
#include <asio.hpp>
#include <csignal>
#include <exception>
#include <iostream>
#include <memory>

#include "options.h"

namespace {

using asio::ip::udp;

class Server {
 public:
  Server(asio::io_context& context, unsigned short port)
      : socket_(context, {asio::ip::address_v4::loopback(), port}) {
    peer_listening(socket_.local_endpoint().port());
    receive();
  }

 private:
  void receive() {
    socket_.async_receive_from(asio::buffer(data_.get(), kMost), peer_,
                               [this](std::error_code error, std::size_t size) {
                                 if (error) return receive();
                                 send(size);
                               });
  }
  void send(std::size_t size) {
    socket_.async_send_to(asio::buffer(data_.get(), size), peer_,
                          [this](std::error_code, std::size_t) { receive(); });
  }

  static constexpr std::size_t kMost = 64 * 1024;
  udp::socket socket_;
  udp::endpoint peer_;
  std::unique_ptr<char[]> data_ = std::make_unique<char[]>(kMost);
};

}  // namespace

int main(int argc, char** argv) {
  const PeerOptions options = peer_options(argc, argv);
  try {
    asio::io_context context(1);
    asio::signal_set signals(context, SIGTERM, SIGINT);
    signals.async_wait([&context](std::error_code, int) { context.stop(); });
    Server server(context, options.port);
    context.run();
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
