// Below the coroutines: callbacks, timers and descriptors, straight on the loop.
#include "tour.h"

#include <ferry/event_loop.h>
#include <ferry/fd.h>

#include <cerrno>
#include <cstdio>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <sys/socket.h>
#include <unistd.h>

using tour::kSecond;

void call_back(ferry::EventLoop& loop) {
  loop.call_soon([] { std::puts("call_soon: the next turn"); });
  loop.call_later(2 * kSecond, [] { std::puts("call_later: after 2 s"); });
  ferry::TimerHandle never = loop.call_later(3 * kSecond, [] { std::puts("never printed"); });
  never.cancel();
  loop.call_at(loop.time() + 5 * kSecond, [&loop] {
    std::puts("call_at: at time() + 5 s");
    loop.stop();
  });
  std::puts("nothing has been called yet");
  loop.run_forever();
}

/// Two sockets that are connected to each other.
std::pair<ferry::Fd, ferry::Fd> connected_sockets() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) {
    throw std::system_error(ferry::system_error_code(errno), "socketpair");
  }
  return {ferry::Fd(ends[0]), ferry::Fd(ends[1])};
}

void watch_a_socket(ferry::EventLoop& loop) {
  const auto [here, there] = connected_sockets();
  const int reading = here.get();
  const int writing = there.get();

  loop.add_writer(writing, [&loop, writing] {
    std::puts("add_writer: there is room");
    loop.remove_writer(writing);  // it would be called each turn
    if (::send(writing, "hello", 5, MSG_NOSIGNAL) != 5) std::puts("not sent");
  });
  loop.add_reader(reading, [&loop, reading] {
    char text[100];
    const ssize_t size = ::recv(reading, text, sizeof text, 0);
    if (size < 0) return;  // not ready after all
    std::printf("add_reader: %.*s\n", static_cast<int>(size), text);
    std::printf("remove_reader: %s", loop.remove_reader(reading) ? "removed" : "not there");
    std::printf(", again: %s\n", loop.remove_reader(reading) ? "removed" : "not there");
    loop.stop();
  });
  loop.run_forever();
}

void complete_futures(ferry::EventLoop& loop) {
  const auto answer = loop.create_future<int>();
  loop.call_later(kSecond, [answer] { answer.set_result(42); });
  std::printf("create_future: %d\n", loop.run_until_complete(answer));

  const ferry::Future<int> failure(loop);
  failure.set_exception(std::runtime_error("no answer"));
  try {
    failure.result();
  } catch (const std::runtime_error& error) {
    std::printf("Future: %s\n", error.what());
  }
}

void close(ferry::EventLoop& loop) {
  loop.close();
  try {
    loop.call_soon([] {});
  } catch (const std::logic_error& error) {
    std::printf("after close: %s\n", error.what());
  }
}

int main() {
  ferry::EventLoop loop;
  call_back(loop);
  watch_a_socket(loop);
  complete_futures(loop);
  close(loop);
}
