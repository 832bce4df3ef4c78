#include "asio_kernel.h"

#include <ferry/error.h>

#include <asio/post.hpp>

namespace ferry {

// The scheduler's lock stays, so that other threads may post; the per-descriptor locks go.
AsioKernel::AsioKernel()
    : io_(ASIO_CONCURRENCY_HINT_UNSAFE_IO), work_(io_.get_executor()), timer_(io_) {}

AsioKernel::~AsioKernel() = default;

std::unique_ptr<Kernel> make_asio_kernel() {
  return std::make_unique<AsioKernel>();
}

void AsioKernel::run() {
  // Counted when it is left: a stop from before it begins is meant for it.
  struct Leave {
    std::uint64_t& run;
    ~Leave() { ++run; }
  } leave{run_};
  io_.restart();
  io_.run();
}

void AsioKernel::stop() {
  // Behind all that the last poll harvested, so that none of it waits for the next run.
  // Only of this run: should a LoopExit end it first, the next one is not meant.
  asio::post(io_, [this, run = run_] {
    if (run == run_) io_.stop();
  });
}

void AsioKernel::request_drain() {
  if (drain_posted_) return;
  drain_posted_ = true;
  asio::post(io_, placed(drain_memory_, [this] {
               drain_posted_ = false;
               client_->on_drain();
             }));
}

void AsioKernel::wake() noexcept {
  if (wake_posted_.exchange(true)) return;
  try {
    asio::post(io_, [this] {
      wake_posted_ = false;
      client_->on_drain();
    });
  } catch (...) {
    wake_posted_ = false;  // out of memory: the next wake tries again
  }
}

void AsioKernel::set_timer(TimePoint when) {
  const std::uint64_t setting = ++timer_setting_;
  timer_.expires_at(when);
  timer_.async_wait(placed(timer_memory_, [this, setting](const asio::error_code& error) {
    if (!error && setting == timer_setting_) client_->on_timer();
  }));
}

void AsioKernel::after_fork_in_child() {
  io_.notify_fork(asio::io_context::fork_child);
}

FdWatchPtr AsioKernel::watch(int fd, FdWatch::Listener& listener, std::error_code& error) {
  return make_fd_watch(io_, fd, listener, error);
}

std::error_code AsioKernel::watch_signal(int signal_number) {
  if (!signals_) signals_.emplace(io_);
  asio::error_code error;
  signals_->add(signal_number, error);
  if (error) return system_error_code(error.value());
  wait_for_signal();
  return {};
}

std::error_code AsioKernel::unwatch_signal(int signal_number) {
  asio::error_code error;
  if (signals_) signals_->remove(signal_number, error);
  return system_error_code(error.value());
}

void AsioKernel::wait_for_signal() {
  if (waiting_for_signal_) return;
  waiting_for_signal_ = true;
  signals_->async_wait([this](const asio::error_code& error, int signal_number) {
    waiting_for_signal_ = false;
    if (error) return;
    wait_for_signal();
    client_->on_signal(signal_number);
  });
}

}  // namespace ferry
