// Sends each datagram back to where it came from, as udp_echo does, in a coroutine.
// udp_coroutine_echo [PORT]: 7777 unless given, 0 for any; SIGINT ends it.
#include <ferry/async.h>
#include <ferry/streams.h>

#include <cstdio>
#include <cstdlib>

ferry::Coro<> serve(std::uint16_t port) {
  ferry::DatagramOptions options;
  options.local_host = "127.0.0.1";
  options.local_port = port;
  const ferry::DatagramStream stream = co_await ferry::open_datagram_stream(options);
  std::printf("listening on %s\n", stream.sockname().to_string().c_str());
  std::fflush(stdout);
  while (!stream.is_closing()) {
    try {
      // The answers to all that came together leave together.
      while (const auto datagram = co_await stream.next_view()) {
        stream.sendto(datagram->data, datagram->info.peer);
        // While answers wait for room, questions wait in the kernel, which drops what is too much.
        co_await stream.drain();
      }
    } catch (const ferry::IoError& error) {  // of one datagram; the others go on
      std::fprintf(stderr, "udp_coroutine_echo: %s\n", error.what());
    }
  }
}

int main(int argc, char** argv) try {
  ferry::run(serve(argc > 1 ? static_cast<std::uint16_t>(std::atoi(argv[1])) : 7777));
} catch (const ferry::KeyboardInterrupt&) {
} catch (const std::exception& error) {
  std::fprintf(stderr, "udp_coroutine_echo: %s\n", error.what());
  return 1;
}
