#include "dialer.h"

#include "tls.h"

#include <unistd.h>

#include <algorithm>

namespace ferry::bench {

Future<Connection<>> dial(EventLoop& loop, ProtocolFactory factory, const Endpoint& to,
                          std::size_t index) {
  constexpr Duration kPatience = std::chrono::seconds(10);
  const ProtocolWrap wrap = to.tls ? dialing_tls() : ProtocolWrap();
  if (to.transport == Carrier::unix_stream) {
    UnixConnectOptions options;
    options.path = to.path;
    options.timeout = kPatience;
    options.wrap = wrap;
    return create_unix_connection(loop, std::move(factory), std::move(options));
  }
  // Linux hands out some 28000 ports for each source address, and takes a minute to give them back:
  // so the next run (another process) uses other addresses.
  constexpr std::size_t kPerAddress = 20'000;
  ConnectOptions options;
  options.host = to.host;
  options.port = to.port;
  options.timeout = kPatience;
  options.wrap = wrap;
  if (index >= kPerAddress && to.host.starts_with("127.")) {
    const std::size_t address = index / kPerAddress;
    options.local_host = "127." + std::to_string(1 + getpid() % 250) + "." +
                         std::to_string(address / 250 % 250) + "." +
                         std::to_string(1 + address % 250);
  }
  return create_connection(loop, std::move(factory), std::move(options));
}

Dialer::Dialer(EventLoop& loop, Endpoint to, std::size_t count, Factory factory, std::size_t first)
    : loop_(loop),
      to_(std::move(to)),
      count_(count),
      factory_(std::move(factory)),
      first_(first),
      done_(loop) {}

Future<void> Dialer::open() {
  constexpr std::size_t kAtOnce = 64;
  for (std::size_t i = 0; i < std::min(count_, kAtOnce); ++i) dial();
  return done_;
}

void Dialer::dial() {
  const std::size_t index = begun_++;
  bench::dial(
      loop_, [this, index] { return factory_(index); }, to_, first_ + index)
      .add_done_callback([this](Future<Connection<>> connection) {
        const std::exception_ptr failure = connection.exception();
        if (done_.done()) return;
        if (failure) {
          done_.set_exception(failure);
        } else if (++opened_ == count_) {
          done_.set_result();
        } else if (begun_ < count_) {
          dial();
        }
      });
}

}  // namespace ferry::bench
