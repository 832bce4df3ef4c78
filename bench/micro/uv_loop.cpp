// libuv's side of loop.cpp. libuv has no queue of callbacks that run soon: the nearest to call_soon
// is an idle handle, which runs once a turn of the loop, each turn with an epoll_wait of its own.

#include "counting.h"

#include <unistd.h>
#include <uv.h>

#include <cstdlib>
#include <deque>

namespace {

/// A loop that waits for a pipe that never has anything.
class LiveLoop {
 public:
  LiveLoop() {
    uv_loop_init(&loop_);
    if (::pipe(ends_) != 0) std::abort();
    uv_poll_init(&loop_, &quiet_, ends_[0]);
    uv_poll_start(&quiet_, UV_READABLE, [](uv_poll_t*, int, int) {});
  }
  ~LiveLoop() {
    uv_walk(
        &loop_, [](uv_handle_t* handle, void*) { uv_close(handle, nullptr); }, nullptr);
    uv_run(&loop_, UV_RUN_DEFAULT);
    uv_loop_close(&loop_);
    ::close(ends_[0]);
    ::close(ends_[1]);
  }
  LiveLoop(const LiveLoop&) = delete;
  LiveLoop& operator=(const LiveLoop&) = delete;
  uv_loop_t* get() { return &loop_; }

 private:
  uv_loop_t loop_;
  uv_poll_t quiet_;
  int ends_[2];
};

void idle_chain(benchmark::State& state) {
  uv_idle_t idle;
  LiveLoop live;
  uv_idle_init(live.get(), &idle);
  long left = 0;
  idle.data = &left;
  while (state.KeepRunningBatch(kChain)) {
    left = kChain;
    uv_idle_start(&idle, [](uv_idle_t* handle) {
      if (--*static_cast<long*>(handle->data) > 0) return;
      uv_idle_stop(handle);
      uv_stop(handle->loop);
    });
    uv_run(live.get(), UV_RUN_DEFAULT);
  }
}
BENCHMARK(idle_chain)->Name("callback to callback/libuv");

class Timers {
 public:
  Timers() : timers_(kOutstanding) {
    RandomDelays delays;
    for (std::size_t i = 0; i < kOutstanding; ++i) {
      uv_timer_init(loop_.get(), &timers_[i]);
      add(i, delays.next());
    }
  }
  void add(std::size_t i, std::chrono::milliseconds delay) {
    uv_timer_start(
        &timers_[i], [](uv_timer_t*) {}, static_cast<std::uint64_t>(delay.count()), 0);
  }
  void cancel(std::size_t i) { uv_timer_stop(&timers_[i]); }
  void settle() {}

  static Timers& get() {
    static Timers timers;
    return timers;
  }

 private:
  std::deque<uv_timer_t> timers_;
  LiveLoop loop_;  // made after the timers: it closes them before they go
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
BENCHMARK(fill)->Name("timers, from none to 10^6/libuv");
BENCHMARK(drain)->Name("timers, from 10^6 to none/libuv");
BENCHMARK(add)->Name("timers, 10^6 set: add one/libuv");
BENCHMARK(cancel)->Name("timers, 10^6 set: cancel one/libuv");

void push_back_idle_timeout(benchmark::State& state) {
  std::deque<uv_timer_t> timers(kIdleTimers);
  LiveLoop live;
  constexpr auto kTimeout = std::chrono::milliseconds(kIdleTimeout).count();
  for (auto& timer : timers) {
    uv_timer_init(live.get(), &timer);
    uv_timer_start(
        &timer, [](uv_timer_t*) {}, kTimeout, kTimeout);
  }
  while (state.KeepRunningBatch(kIdleTimers)) {
    for (auto& timer : timers) uv_timer_again(&timer);
  }
}
BENCHMARK(push_back_idle_timeout)->Name("idle timeout pushed back/libuv");

}  // namespace
