#include "descriptors.h"
#include "dialer.h"
#include "options.h"

#include <unistd.h>

#include <csignal>
#include <cstdio>

namespace ferry::bench {

namespace {

/// A connection that says nothing. One that ends before this program does is an error.
class Idler final : public Protocol {
 public:
  explicit Idler(std::size_t& lost) : lost_(lost) {}
  void connection_made(std::shared_ptr<Transport> transport) override {
    loop_ = &transport->loop();
  }
  void connection_lost(std::error_code error) override {
    if (error == errc::loop_closed) return;
    ++lost_;
    loop_->stop();
  }

 private:
  std::size_t& lost_;
  EventLoop* loop_ = nullptr;
};

/// Stops the loop at the end of stdin. What cannot be waited for (a file, /dev/null, which is
/// what a shell gives to background jobs) never ends.
void stop_at_end_of_stdin(EventLoop& loop) {
  const auto at_end = [&loop] {
    char discarded[512];
    if (::read(STDIN_FILENO, discarded, sizeof discarded) <= 0) loop.stop();
  };
  try {
    loop.add_reader(STDIN_FILENO, at_end);
  } catch (const std::system_error&) {
  }
}

}  // namespace

int idle(const IdleOptions& options) {
  raise_descriptor_limit(options.connections);
  std::size_t lost = 0;
  EventLoop loop;
  loop.set_log_sink(stderr_log_sink());
  for (const int signal_number : {SIGTERM, SIGINT}) {
    loop.add_signal_handler(signal_number, [&loop] { loop.stop(); });
  }
  Dialer dialer(loop, options.to, options.connections,
                [&lost](std::size_t) { return std::make_shared<Idler>(lost); });
  const Future<void> opened = dialer.open();
  // Not run_until_complete: a signal may come first, and is no error.
  opened.add_done_callback([&](Future<void>) {
    if (opened.exception()) return loop.stop();
    std::printf("idle %zu\n", options.connections);
    std::fflush(stdout);
    stop_at_end_of_stdin(loop);
  });
  loop.run_forever();
  if (opened.done()) opened.result();
  if (lost > 0) {
    std::fprintf(stderr, "ferry-bench: the server closed %zu of %zu idle connections\n", lost,
                 options.connections);
  }
  return lost == 0 ? 0 : 1;
}

}  // namespace ferry::bench
