// The loop's own costs: callbacks, timers, futures. Beside them Asio's (asio_loop.cpp) and libuv's
// (uv_loop.cpp).

#include "counting.h"
#include "live_loop.h"

#include <ferry/event_loop.h>

#include <deque>
#include <vector>

namespace {

void call_soon_chain(benchmark::State& state) {
  LiveLoop live;
  long left = 0;
  struct Hop {
    ferry::EventLoop& loop;
    long& left;
    void operator()() const {
      if (--left > 0) {
        loop.call_soon(*this);
      } else {
        loop.stop();
      }
    }
  };
  while (state.KeepRunningBatch(kChain)) {
    left = kChain;
    live.get().call_soon(Hop{live.get(), left});
    live.get().run_forever();
  }
}
BENCHMARK(call_soon_chain)->Name("callback to callback/ferry");

/// A future, a callback on it, its result, and the hop to the callback, which makes the next one.
void future_chain(benchmark::State& state) {
  LiveLoop live;
  long left = 0;
  struct Step {
    ferry::EventLoop& loop;
    long& left;
    void operator()() const {
      if (--left <= 0) return loop.stop();
      const auto future = loop.create_future<long>();
      future.add_done_callback(*this);
      future.set_result(left);
    }
  };
  while (state.KeepRunningBatch(kChain)) {
    left = kChain;
    live.get().call_soon(Step{live.get(), left});
    live.get().run_forever();
  }
}
BENCHMARK(future_chain)->Name("future: result to callback/ferry");

class Timers {
 public:
  Timers() : handles_(kOutstanding) {
    RandomDelays delays;
    for (std::size_t i = 0; i < kOutstanding; ++i) add(i, delays.next());
  }
  void add(std::size_t i, std::chrono::milliseconds delay) {
    handles_[i] = loop_.call_later(delay, [this] { ++fired_; });
  }
  void cancel(std::size_t i) { handles_[i].cancel(); }
  // One turn that does not wait.
  void settle() {
    loop_.stop();
    loop_.run_forever();
  }

  static Timers& get() {
    static Timers timers;
    return timers;
  }

 private:
  ferry::EventLoop loop_{{.debug = false}};
  std::vector<ferry::TimerHandle> handles_;
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
BENCHMARK(fill)->Name("timers, from none to 10^6/ferry");
BENCHMARK(drain)->Name("timers, from 10^6 to none/ferry");
BENCHMARK(add)->Name("timers, 10^6 set: add one/ferry");
BENCHMARK(cancel)->Name("timers, 10^6 set: cancel one/ferry");

void push_back_idle_timeout(benchmark::State& state) {
  ferry::EventLoop loop({.debug = false});
  std::deque<ferry::Timer> timers;
  for (std::size_t i = 0; i < kIdleTimers; ++i) {
    timers.emplace_back(loop, [] {}).set(kIdleTimeout);
  }
  while (state.KeepRunningBatch(kIdleTimers)) {
    for (auto& timer : timers) timer.set(kIdleTimeout);
  }
}
BENCHMARK(push_back_idle_timeout)->Name("idle timeout pushed back/ferry");

}  // namespace
