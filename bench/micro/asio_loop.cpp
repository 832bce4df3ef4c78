// Asio's side of loop.cpp: the same chains and timers on an io_context.

#include "counting.h"
#include "live_context.h"

#include <asio.hpp>
#include <deque>

namespace {

void post_chain(benchmark::State& state) {
  LiveContext live;
  long left = 0;
  struct Hop {
    asio::io_context& context;
    long& left;
    void operator()() const {
      if (--left > 0) {
        asio::post(context, *this);
      } else {
        context.stop();
      }
    }
  };
  while (state.KeepRunningBatch(kChain)) {
    left = kChain;
    asio::post(live.get(), Hop{live.get(), left});
    live.get().restart();
    live.get().run();
  }
}
BENCHMARK(post_chain)->Name("callback to callback/Asio");

class Timers {
 public:
  Timers() {
    RandomDelays delays;
    for (std::size_t i = 0; i < kOutstanding; ++i) {
      timers_.emplace_back(context_);
      add(i, delays.next());
    }
  }
  void add(std::size_t i, std::chrono::milliseconds delay) {
    timers_[i].expires_after(delay);
    timers_[i].async_wait([this](std::error_code) { ++fired_; });
  }
  void cancel(std::size_t i) { timers_[i].cancel(); }
  // A cancelled wait still calls its handler, with operation_aborted.
  void settle() { context_.poll(); }

  static Timers& get() {
    static Timers timers;
    return timers;
  }

 private:
  asio::io_context context_{1};
  std::deque<asio::steady_timer> timers_;
  long fired_ = 0;
};

void add(benchmark::State& state) {
  timer_add(state, Timers::get());
}
void cancel(benchmark::State& state) {
  timer_cancel(state, Timers::get());
}
void fill(benchmark::State& state) {
  timers_fill(state, Timers::get());
}
void drain(benchmark::State& state) {
  timers_drain(state, Timers::get());
}
BENCHMARK(fill)->Name("timers, from none to 10^6/Asio");
BENCHMARK(drain)->Name("timers, from 10^6 to none/Asio");
BENCHMARK(add)->Name("timers, 10^6 set: add one/Asio");
BENCHMARK(cancel)->Name("timers, 10^6 set: cancel one/Asio");

void push_back_idle_timeout(benchmark::State& state) {
  asio::io_context context{1};
  std::deque<asio::steady_timer> timers;
  long aborted = 0;
  for (std::size_t i = 0; i < kIdleTimers; ++i) {
    timers.emplace_back(context, kIdleTimeout).async_wait([](std::error_code) {});
  }
  while (state.KeepRunningBatch(kIdleTimers)) {
    for (auto& timer : timers) {
      timer.expires_after(kIdleTimeout);
      timer.async_wait([&aborted](std::error_code) { ++aborted; });
    }
    context.poll();
  }
  benchmark::DoNotOptimize(aborted);
}
BENCHMARK(push_back_idle_timeout)->Name("idle timeout pushed back/Asio");

}  // namespace
