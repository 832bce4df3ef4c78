// TCP echo on Asio's coroutines, as its examples write it: one awaitable a connection; with
// --message one awaited async_write for each message.
#include <algorithm>
#include <asio.hpp>
#include <csignal>
#include <cstring>
#include <exception>
#include <iostream>
#include <memory>
#include <system_error>
#include <utility>

#include "options.h"

namespace {

using asio::awaitable;
using asio::use_awaitable;
using asio::ip::tcp;

constexpr std::size_t kChunk = 64 * 1024;

awaitable<void> echo_chunks(tcp::socket socket) {
  try {
    char data[kChunk];
    for (;;) {
      const std::size_t size =
          co_await socket.async_read_some(asio::buffer(data, kChunk), use_awaitable);
      co_await asio::async_write(socket, asio::buffer(data, size), use_awaitable);
    }
  } catch (const std::system_error&) {
    // The peer has closed: the connection is over.
  }
}

awaitable<void> echo_messages(tcp::socket socket, std::size_t message) {
  try {
    const std::size_t capacity = std::max(kChunk, message);
    const auto data = std::make_unique_for_overwrite<char[]>(capacity);
    std::size_t size = 0;
    for (;;) {
      size += co_await socket.async_read_some(asio::buffer(data.get() + size, capacity - size),
                                              use_awaitable);
      std::size_t used = 0;
      for (; size - used >= message; used += message) {
        co_await asio::async_write(socket, asio::buffer(data.get() + used, message), use_awaitable);
      }
      size -= used;
      std::memmove(data.get(), data.get() + used, size);
    }
  } catch (const std::system_error&) {
    // The peer has closed: the connection is over.
  }
}

awaitable<void> serve(tcp::acceptor& acceptor, std::size_t message) {
  for (;;) {
    tcp::socket socket = co_await acceptor.async_accept(use_awaitable);
    std::error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    if (message == 0) {
      co_spawn(acceptor.get_executor(), echo_chunks(std::move(socket)), asio::detached);
    } else {
      co_spawn(acceptor.get_executor(), echo_messages(std::move(socket), message), asio::detached);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const PeerOptions options = peer_options(argc, argv);
  try {
    asio::io_context context(1);
    asio::signal_set signals(context, SIGTERM, SIGINT);
    signals.async_wait([&context](std::error_code, int) { context.stop(); });
    tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), options.port});
    peer_listening(acceptor.local_endpoint().port());
    co_spawn(context, serve(acceptor, options.message), asio::detached);
    context.run();
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
