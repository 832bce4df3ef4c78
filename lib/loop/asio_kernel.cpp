#include "asio_kernel.h"

#include <ferry/error.h>
#include <ferry/event_loop.h>

#include <asio/post.hpp>
#include <asio/version.hpp>

#include <ferry/asio_options.h>

#include <new>
#include <stdexcept>

namespace ferry {

namespace {

/// A watch on a shared kernel: its listener is called inside the client.
class VisitingWatch final : public FdWatch, private FdWatch::Listener {
 public:
  VisitingWatch(asio::io_context& io, Kernel::Client& client, int fd, FdWatch::Listener& listener,
                std::error_code& error)
      : client_(client), listener_(listener), watch_(make_fd_watch(io, fd, *this, error)) {}

  void arm(Direction direction, Arm how) override { watch_->arm(direction, how); }
  void disarm(Direction direction) override { watch_->disarm(direction); }
  void close() noexcept override { delete this; }

 private:
  ~VisitingWatch() = default;

  // The listener may close this meanwhile.
  void on_readable(ReadEvent event) override {
    std::pair<FdWatch::Listener&, ReadEvent> call{listener_, event};
    client_.call_inside(
        [](void* argument) {
          auto& [listener, read] = *static_cast<decltype(call)*>(argument);
          listener.on_readable(read);
        },
        &call);
  }
  void on_writable() override {
    client_.call_inside(
        [](void* argument) { static_cast<FdWatch::Listener*>(argument)->on_writable(); },
        &listener_);
  }

  Kernel::Client& client_;
  FdWatch::Listener& listener_;
  FdWatchPtr watch_;
};

}  // namespace

// The scheduler's lock stays, so that other threads may post; the per-descriptor locks go.
AsioKernel::AsioKernel()
    : own_io_(std::make_unique<asio::io_context>(ASIO_CONCURRENCY_HINT_UNSAFE_IO)),
      io_(*own_io_),
      timer_(io_) {
  remains_->kernel = this;
}

AsioKernel::AsioKernel(asio::io_context& context) : io_(context), timer_(io_) {
  remains_->kernel = this;
}

AsioKernel::~AsioKernel() {
  remains_->kernel = nullptr;
}

std::unique_ptr<Kernel> make_asio_kernel() {
  return std::make_unique<AsioKernel>();
}

// What ferry/asio.h declares, for the options of Asio that this file was compiled with and no
// others.
namespace detail {

template <unsigned kVersion, unsigned kOptions>
asio::io_context& asio_context(Kernel& kernel);
template <unsigned kVersion, unsigned kOptions>
std::unique_ptr<Kernel> asio_kernel(asio::io_context& context);

template <>
asio::io_context& asio_context<ASIO_VERSION, kAsioOptions>(Kernel& kernel) {
  if (auto* const asio = dynamic_cast<AsioKernel*>(&kernel)) return asio->context();
  throw std::logic_error("io_context: the kernel of this event loop is not Asio's");
}
template <>
std::unique_ptr<Kernel> asio_kernel<ASIO_VERSION, kAsioOptions>(asio::io_context& context) {
  return std::make_unique<AsioKernel>(context);
}

}  // namespace detail

template <class F>
void AsioKernel::call(F f) {
  if (own_io_) return f();
  client_->call_inside([](void* argument) { (*static_cast<F*>(argument))(); }, &f);
}

void AsioKernel::run() {
  // Counted when it is left: a stop from before it begins is meant for it.
  struct Leave {
    std::uint64_t& run;
    ~Leave() { ++run; }
  } leave{run_};
  const WorkGuard work(io_.get_executor());
  io_.restart();
  io_.run();
}

void AsioKernel::stop() {
  // Behind all that the last poll harvested, so that none of it waits for the next run.
  // Only of this run: should a LoopExit end it first, the next one is not meant.
  asio::post(io_, placed(remains_->stop_memory, [remains = remains_, run = run_] {
               AsioKernel* const kernel = remains->kernel;
               if (kernel && run == kernel->run_) kernel->io_.stop();
             }));
}

void AsioKernel::request_drain() {
  if (drain_posted_) return;
  drain_posted_ = true;
  asio::post(io_, placed(remains_->drain_memory, [remains = remains_] {
               AsioKernel* const kernel = remains->kernel;
               if (!kernel) return;
               kernel->drain_posted_ = false;
               kernel->call([kernel] { kernel->client_->on_drain(); });
             }));
}

void AsioKernel::wake() noexcept {
  if (wake_posted_.exchange(true)) return;
  try {
    // Its memory is free again before the handler runs, which lets others wake.
    asio::post(io_, placed(remains_->wake_memory, [remains = remains_] {
                 AsioKernel* const kernel = remains->kernel;
                 if (!kernel) return;
                 kernel->wake_posted_ = false;
                 kernel->call([kernel] { kernel->client_->on_drain(); });
               }));
  } catch (...) {
    wake_posted_ = false;  // out of memory: the next wake tries again
  }
}

void AsioKernel::set_timer(TimePoint when) {
  ++timer_setting_;
  timer_.expires_at(when);
  if (!timer_waiting_) wait_for_timer();
}

/// One wait at a time, so that its memory is always at hand: a new setting cancels the wait for the
/// last one, whose handler begins the next.
void AsioKernel::wait_for_timer() {
  if (!own_io_ && timer_.expiry() == TimePoint::max()) return;
  timer_.async_wait(placed(remains_->timer_memory, [remains = remains_, setting = timer_setting_](
                                                       const asio::error_code& error) {
    if (AsioKernel* const kernel = remains->kernel) kernel->on_wait(setting, error);
  }));
  timer_waiting_ = true;
}

void AsioKernel::on_wait(std::uint64_t setting, const asio::error_code& error) {
  timer_waiting_ = false;
  if (setting != timer_setting_) {
    try {
      return wait_for_timer();
    } catch (const std::bad_alloc&) {
      // An io_context with other timers had no room. The client sets it again, or tries to.
    }
  } else if (error) {
    return;
  }
  call([this] { client_->on_timer(); });
}

void AsioKernel::after_fork_in_child() {
  io_.notify_fork(asio::io_context::fork_child);
}

void AsioKernel::work_started() {
  if (!own_io_ && work_++ == 0) work_guard_.emplace(io_.get_executor());
}

void AsioKernel::work_finished() noexcept {
  if (!own_io_ && --work_ == 0) work_guard_.reset();
}

FdWatchPtr AsioKernel::watch(int fd, FdWatch::Listener& listener, std::error_code& error) {
  try {
    if (own_io_) return make_fd_watch(io_, fd, listener, error);
    FdWatchPtr watch(new VisitingWatch(io_, *client_, fd, listener, error));
    if (error) watch.reset();
    return watch;
  } catch (const std::bad_alloc&) {
    error = std::make_error_code(std::errc::not_enough_memory);
    return nullptr;
  }
}

std::error_code AsioKernel::watch_signal(int signal_number) {
  if (!signals_) signals_.emplace(io_);
  asio::error_code error;
  signals_->add(signal_number, error);
  if (error) return system_error_code(error.value());
  ++signal_count_;
  try {
    wait_for_signal();
  } catch (...) {
    unwatch_signal(signal_number);
    throw;
  }
  return {};
}

std::error_code AsioKernel::unwatch_signal(int signal_number) {
  asio::error_code error;
  if (signals_) {
    signals_->remove(signal_number, error);
    // Else whoever runs a shared io_context would wait for none.
    if (!error && --signal_count_ == 0) signals_->cancel();
  }
  return system_error_code(error.value());
}

void AsioKernel::wait_for_signal() {
  if (waiting_for_signal_) return;
  const auto on_signal = [remains = remains_](const asio::error_code& error, int signal_number) {
    AsioKernel* const kernel = remains->kernel;
    if (!kernel) return;
    kernel->waiting_for_signal_ = false;
    if (kernel->signal_count_ > 0) kernel->wait_for_signal();
    if (error) return;
    kernel->call([kernel, signal_number] { kernel->client_->on_signal(signal_number); });
  };
  signals_->async_wait(placed(remains_->signal_memory, on_signal));
  waiting_for_signal_ = true;
}

}  // namespace ferry
