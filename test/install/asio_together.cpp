// A program that has an io_context of its own, and ferry on it; with the flags of ferry-asio.
#include <asio.hpp>

#include <ferry/asio.h>
#include <ferry/async.h>

#include <array>
#include <cstdio>
#include <string>

namespace {

ferry::Coro<std::string> ask(asio::io_context& io, std::string port) {
  asio::ip::tcp::resolver resolver(io);
  const auto found = co_await resolver.async_resolve("127.0.0.1", port, ferry::use_coro);
  asio::ip::tcp::socket socket(io);
  co_await asio::async_connect(socket, found, ferry::use_coro);
  asio::steady_timer timer(io, std::chrono::milliseconds(1));
  co_await timer.async_wait(ferry::use_coro);
  std::string text;
  const std::tuple<asio::error_code, std::size_t> end =
      co_await asio::async_read(socket, asio::dynamic_buffer(text), ferry::use_coro_tuple);
  co_return std::get<0>(end) == asio::error::eof ? text : std::get<0>(end).message();
}

}  // namespace

int main() {
  asio::io_context io;
  asio::ip::tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
  acceptor.async_accept([](asio::error_code, asio::ip::tcp::socket peer) {
    asio::write(peer, asio::buffer("hello", 5));
  });
  ferry::EventLoop loop(ferry::make_asio_kernel(io));
  const ferry::Task<std::string> task =
      ferry::create_task(loop, ask(io, std::to_string(acceptor.local_endpoint().port())));
  io.run();
  const std::string answer = task.result();
  std::puts(answer.c_str());
  return answer == "hello" && &ferry::io_context(loop) == &io ? 0 : 1;
}
