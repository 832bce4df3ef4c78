#include "dialer.h"

#include "tls.h"

#include <unistd.h>

#include <algorithm>

namespace ferry::bench {

ConnectOptions connect_options(const Endpoint& to, std::size_t index) {
  // Linux hands out some 28000 ports for each source address, and takes a minute to give them back:
  // so the next run (another process) uses other addresses.
  constexpr std::size_t kPerAddress = 20'000;
  ConnectOptions options;
  options.host = to.host;
  options.port = to.port;
  options.timeout = std::chrono::seconds(10);
  if (to.tls) options.wrap = dialing_tls();
  if (index >= kPerAddress && to.host.starts_with("127.")) {
    const std::size_t address = index / kPerAddress;
    options.local_host = "127." + std::to_string(1 + getpid() % 250) + "." +
                         std::to_string(address / 250 % 250) + "." +
                         std::to_string(1 + address % 250);
  }
  return options;
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
  create_connection(
      loop_, [this, index] { return factory_(index); }, connect_options(to_, first_ + index))
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
