// Streams: a TCP client and a TCP server as coroutines.
#include "tour.h"

#include <ferry/async.h>
#include <ferry/streams.h>

#include <cstdio>
#include <memory>
#include <string>

ferry::Coro<> echo(ferry::StreamReader reader, ferry::StreamWriter writer) {
  const std::string data = co_await reader.read(1024);  // what there is, at most that much
  std::printf("server: received %zu bytes\n", data.size());
  writer.write(data);
  co_await writer.drain();
  writer.close();
  co_await writer.wait_closed();
}

ferry::Coro<> talk_to(std::uint16_t port) {
  const ferry::Stream stream = co_await ferry::open_connection("127.0.0.1", port);
  const auto& [reader, writer] = stream;

  writer.write("hello, ferry\n");
  co_await writer.drain();  // waits if the peer is slower than we are
  const std::string line = co_await reader.readline();
  std::printf("client: %s", line.c_str());
  const std::string rest = co_await reader.read();
  std::printf("client: %zu bytes more until the end\n", rest.size());

  writer.close();
  co_await writer.wait_closed();
  std::printf("client: is_closing: %s\n", writer.is_closing() ? "yes" : "no");
}

void show(const ferry::Server& server) {
  std::printf("server: is_serving: %s, sockets: %zu\n", server.is_serving() ? "yes" : "no",
              server.sockets().size());
}

/// What is done while the server serves: here, being its own client.
ferry::Coro<> use(std::shared_ptr<ferry::Server> server) {
  std::printf("server: of this loop: %s\n",
              &server->loop() == &ferry::get_running_loop() ? "yes" : "no");
  const auto serving = server->serve_forever();
  show(*server);
  co_await talk_to(server->port());
  serving.cancel();  // or Ctrl-C: ends serve_forever and closes the server
}

ferry::Coro<> main_coroutine() {
  const auto server = co_await ferry::start_server(echo, "127.0.0.1", 0);  // any free port
  co_await ferry::with(server, use);                                       // async with server:
  show(*server);
}

int main() {
  ferry::run(main_coroutine());
}
