// An echo server of coroutines. coroutine_echo [PORT]: 7777 unless given; SIGINT ends it.
#include <ferry/async.h>
#include <ferry/streams.h>

#include <cstdio>
#include <cstdlib>

ferry::Coro<> echo(ferry::StreamReader reader, ferry::StreamWriter writer) {
  while (!reader.at_eof()) {
    writer.write(co_await reader.read_view());
    // A peer that does not read its answers is not read from either.
    co_await writer.drain();
  }
  writer.close();
  co_await writer.wait_closed();
}

ferry::Coro<> serve(std::uint16_t port) {
  const auto server = co_await ferry::start_server(echo, "127.0.0.1", port);
  std::printf("listening on %s\n", server->sockets()[0].to_string().c_str());
  std::fflush(stdout);
  co_await server->serve_forever();
}

int main(int argc, char** argv) {
  try {
    ferry::run(serve(argc > 1 ? static_cast<std::uint16_t>(std::atoi(argv[1])) : 7777));
  } catch (const ferry::KeyboardInterrupt&) {
  }
}
