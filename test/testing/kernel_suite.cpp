#include "kernel_suite.h"

#include <array>
#include <chrono>
#include <system_error>

namespace ferry::test {

using namespace std::chrono_literals;

void KernelSuite::SetUp() {
  descriptors_before_ = open_descriptors();
  kernel_ = make_kernel(world());
  kernel_->attach(*this);
}

void KernelSuite::TearDown() {
  if (simulated()) {
    EXPECT_EQ(sim().stats().open_sockets, 0u) << "simulated sockets leaked";
    EXPECT_EQ(sim().stats().names, 0u) << "simulated names leaked";
  }
  kernel_.reset();
  EXPECT_EQ(open_descriptors(), descriptors_before_) << "descriptors leaked";
}

void KernelSuite::turns(int count) {
  internal_ = true;
  internal_drained_ = [this, left = count]() mutable {
    if (--left > 0) return kernel().request_drain();
    kernel().stop();
  };
  kernel().request_drain();
  kernel().run();
  internal_ = false;
}

void KernelSuite::run_until(Function<bool()> condition) {
  const TimePoint limit = kernel().now() + 10s;
  bool met = condition();
  internal_ = true;
  internal_timed_ = [this, &met, &condition, limit] {
    met = condition();
    if (met || kernel().now() >= limit) return kernel().stop();
    kernel().set_timer(kernel().now() + 1ms);
  };
  if (!met) {
    kernel().set_timer(kernel().now() + 1ms);
    kernel().run();
  }
  internal_ = false;
  EXPECT_TRUE(met) << "the condition did not come true";
}

void KernelSuite::on_drain() {
  if (internal_) {
    if (internal_drained_) internal_drained_();
    return;
  }
  log_.emplace_back("drain");
  if (drained_) drained_();
}

Address KernelSuite::name_of(const Socket& socket) {
  Address address;
  EXPECT_TRUE(kernel().local_address(socket.get(), address).ok());
  return address;
}

void KernelSuite::set(const Socket& socket, int level, int name, int value) {
  ASSERT_TRUE(kernel().set_option(socket.get(), level, name, value).ok());
}

void KernelSuite::on_timer() {
  if (internal_) {
    if (internal_timed_) internal_timed_();
    return;
  }
  log_.emplace_back("timer");
  if (timed_) timed_();
}

void KernelSuite::on_signal(int signal_number) {
  log_.emplace_back("signal");
  if (signalled_) signalled_(signal_number);
}

void Ear::on_readable(FdWatch::ReadEvent event) {
  ++readable;
  drain = event.drain;
  if (log_) log_->push_back(name_ + " readable");
  if (then_readable) then_readable();
}

void Ear::on_writable() {
  ++writable;
  if (log_) log_->push_back(name_ + " writable");
  if (then_writable) then_writable();
}

FdWatchPtr watch(Kernel& kernel, int fd, FdWatch::Listener& listener) {
  std::error_code error;
  FdWatchPtr watch = kernel.watch(fd, listener, error);
  if (!watch) throw std::system_error(error, "watch");
  return watch;
}

std::string read_dry(Kernel& kernel, int fd) {
  std::string got;
  std::array<std::byte, 64 * 1024> chunk;
  for (;;) {
    const IoResult result = kernel.recv(fd, chunk);
    if (!result.ok() || result.count() == 0) return got;
    got.append(reinterpret_cast<const char*>(chunk.data()), result.count());
  }
}

std::size_t fill(Kernel& kernel, int fd) {
  const std::string chunk(16 * 1024, 'f');
  for (std::size_t sent = 0;;) {
    const IoResult result = kernel.send(fd, chunk);
    if (result.would_block()) return sent;
    if (!result.ok()) throw std::system_error(result.code(), "send");
    sent += result.count();
  }
}

int error_of(const IoResult& result) {
  EXPECT_EQ(result.value, -1);
  return result.error;
}

}  // namespace ferry::test
