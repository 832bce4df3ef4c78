// A program on Asio that has begun to use ferry: both on its io_context. A server of ferry's
// answers in capitals; a coroutine of ferry's talks to it through Asio's resolver, socket and
// timer; and Asio's plain handlers run beside.
#include <ferry/asio.h>
#include <ferry/async.h>
#include <ferry/net.h>

#include <asio/connect.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/read.hpp>
#include <asio/steady_timer.hpp>
#include <asio/write.hpp>

#include <cctype>
#include <cstdio>

using namespace std::chrono_literals;
using asio::ip::tcp;
using ferry::use_coro;
using ferry::use_coro_tuple;

class Capitals : public ferry::Protocol {
 public:
  void connection_made(std::shared_ptr<ferry::Transport> transport) override {
    transport_ = std::move(transport);
  }
  void data_received(ferry::BytesView data) override {
    std::string answer(data.text());
    for (char& c : answer) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    transport_->write(answer);
  }

 private:
  std::shared_ptr<ferry::Transport> transport_;
};

ferry::Coro<> converse(asio::io_context& io, std::string port) {
  tcp::resolver resolver(io);
  const auto found = co_await resolver.async_resolve("127.0.0.1", port, use_coro);
  tcp::socket socket(io);
  co_await asio::async_connect(socket, found, use_coro);
  asio::steady_timer timer(io);
  for (const std::string word : {"one", "two", "three"}) {
    co_await asio::async_write(socket, asio::buffer(word), use_coro);
    std::string answer(word.size(), ' ');
    co_await asio::async_read(socket, asio::buffer(answer), use_coro);
    std::printf("%s: %s\n", word.c_str(), answer.c_str());
    timer.expires_after(1ms);
    co_await timer.async_wait(use_coro);
  }

  // Nobody says more: a limit of ferry's cancels an operation of Asio's.
  const auto listen = [](tcp::socket* from) -> ferry::Coro<> {
    std::string more;
    co_await asio::async_read(*from, asio::dynamic_buffer(more), use_coro);
  };
  try {
    co_await ferry::timeout(5ms, listen(&socket));
  } catch (const ferry::TimeoutError&) {
    std::puts("silence");
  }

  // And an error as a value.
  socket.close();
  const std::tuple<asio::error_code, std::size_t> result =
      co_await socket.async_write_some(asio::buffer("x", 1), use_coro_tuple);
  std::printf("closed: %s\n", std::get<0>(result) == asio::error::bad_descriptor ? "yes" : "no");
}

ferry::Coro<> program(asio::io_context& io) {
  ferry::ListenOptions options;
  options.hosts = {"127.0.0.1"};
  const auto factory = [] { return std::make_shared<Capitals>(); };
  const std::shared_ptr<ferry::Server> server =
      co_await ferry::create_server(ferry::get_running_loop(), factory, options);
  co_await converse(io, std::to_string(server->sockets().front().port()));
  server->close();
}

int main() try {
  asio::io_context io;
  asio::steady_timer timer(io, 1ms);
  timer.async_wait([](const asio::error_code&) { std::puts("a handler of Asio's"); });

  ferry::EventLoop loop(ferry::make_asio_kernel(io));
  const ferry::Task<> task = ferry::create_task(loop, program(io));
  io.run();  // until neither Asio nor ferry has anything left to do
  task.result();
} catch (const std::exception& error) {
  std::fprintf(stderr, "asio_on_ferry: %s\n", error.what());
  return 1;
}
