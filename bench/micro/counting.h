#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <numeric>
#include <random>
#include <span>
#include <vector>

// What the benchmarks of ferry, Asio and libuv share, so that all of them do the same work. (Those
// of Python and Go have the same figures.)
// A benchmark is named "row/who"; table.py makes a table of rows and columns out of that.

/// Callbacks in one run of a loop: enough that starting and stopping it does not show.
inline constexpr long kChain = 100'000;
/// Items that fit into the queue between two tasks.
inline constexpr std::size_t kQueueSize = 128;
/// Timers that are set.
inline constexpr std::size_t kOutstanding = 1'000'000;
/// Of which so many are cancelled, or added, between two readings of the clock.
inline constexpr std::size_t kTimerBatch = 10'000;
/// Connections whose idle timeouts are pushed back one after the other.
inline constexpr std::size_t kIdleTimers = 10'000;
inline constexpr std::chrono::minutes kIdleTimeout{10};

/// Far enough away that none comes while a benchmark runs: one to eleven hours, in milliseconds.
/// One after the other, the same for everybody.
class RandomDelays {
 public:
  RandomDelays() : delays_(kOutstanding) {
    std::mt19937 random(1);
    std::uniform_int_distribution<int> milliseconds(3'600'000, 11 * 3'600'000);
    for (auto& delay : delays_) delay = std::chrono::milliseconds(milliseconds(random));
  }
  std::chrono::milliseconds next() { return delays_[next_++ % delays_.size()]; }

 private:
  std::vector<std::chrono::milliseconds> delays_;
  std::size_t next_ = 0;
};

/// Which timer is next: all of them in random order, again and again.
class RandomOrder {
 public:
  RandomOrder() : order_(kOutstanding) {
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::shuffle(order_.begin(), order_.end(), std::mt19937(2));
  }
  std::span<const std::size_t> next_batch() {
    first_ = (first_ + kTimerBatch) % kOutstanding;
    return std::span(order_).subspan(first_, kTimerBatch);
  }

 private:
  std::vector<std::size_t> order_;
  std::size_t first_ = 0;
};
static_assert(kOutstanding % kTimerBatch == 0);

/// `Timers` holds kOutstanding timers, all set: cancel(i) cancels one, add(i, delay) sets it again,
/// settle() lets the loop do what it has to do about cancelled ones, which is not measured.
template <class Timers>
void timer_add(benchmark::State& state, Timers& timers) {
  RandomDelays delays;
  RandomOrder order;
  while (state.KeepRunningBatch(kTimerBatch)) {
    const auto batch = order.next_batch();
    state.PauseTiming();
    for (const std::size_t i : batch) timers.cancel(i);
    timers.settle();
    state.ResumeTiming();
    for (const std::size_t i : batch) timers.add(i, delays.next());
  }
}

template <class Timers>
void timer_cancel(benchmark::State& state, Timers& timers) {
  RandomDelays delays;
  RandomOrder order;
  while (state.KeepRunningBatch(kTimerBatch)) {
    const auto batch = order.next_batch();
    for (const std::size_t i : batch) timers.cancel(i);
    state.PauseTiming();
    timers.settle();
    for (const std::size_t i : batch) timers.add(i, delays.next());
    state.ResumeTiming();
  }
}

/// The other way round: from none to all of them, and back, in the order of their making.
template <class Timers>
void timers_fill(benchmark::State& state, Timers& timers) {
  RandomDelays delays;
  while (state.KeepRunningBatch(kOutstanding)) {
    state.PauseTiming();
    for (std::size_t i = 0; i < kOutstanding; ++i) timers.cancel(i);
    timers.settle();
    state.ResumeTiming();
    for (std::size_t i = 0; i < kOutstanding; ++i) timers.add(i, delays.next());
  }
}

template <class Timers>
void timers_drain(benchmark::State& state, Timers& timers) {
  RandomDelays delays;
  while (state.KeepRunningBatch(kOutstanding)) {
    for (std::size_t i = 0; i < kOutstanding; ++i) timers.cancel(i);
    state.PauseTiming();
    timers.settle();
    for (std::size_t i = 0; i < kOutstanding; ++i) timers.add(i, delays.next());
    state.ResumeTiming();
  }
}
