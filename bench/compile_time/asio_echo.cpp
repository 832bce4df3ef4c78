// examples/echo_server.cpp, written on Asio.
#include <array>
#include <asio.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>

using asio::ip::tcp;

struct Echo : std::enable_shared_from_this<Echo> {
  explicit Echo(tcp::socket connected) : socket(std::move(connected)) {}
  void read() {
    socket.async_read_some(asio::buffer(data), [self = shared_from_this()](auto error, auto size) {
      if (!error) self->write(size);
    });
  }
  void write(std::size_t size) {
    asio::async_write(socket, asio::buffer(data, size),
                      [self = shared_from_this()](auto error, auto) {
                        if (!error) self->read();
                      });
  }
  tcp::socket socket;
  std::array<char, 65536> data;
};

void accept(tcp::acceptor& acceptor) {
  acceptor.async_accept([&acceptor](auto error, tcp::socket socket) {
    if (!error) std::make_shared<Echo>(std::move(socket))->read();
    accept(acceptor);
  });
}

int main(int argc, char** argv) {
  asio::io_context context;
  const auto port = static_cast<asio::ip::port_type>(argc > 1 ? std::atoi(argv[1]) : 7777);
  tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), port});
  asio::signal_set signals(context, SIGINT, SIGTERM);
  signals.async_wait([&context](auto, auto) { context.stop(); });
  std::printf("listening on 127.0.0.1:%d\n", acceptor.local_endpoint().port());
  std::fflush(stdout);
  accept(acceptor);
  context.run();
}
