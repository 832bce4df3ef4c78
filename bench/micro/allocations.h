#pragma once

#include <benchmark/benchmark.h>

/// How often this thread has asked for memory by `new` (allocations.cpp replaces the operator).
long allocations() noexcept;

/// From here to the end of the benchmark: allocations in one iteration, for the table.
class CountAllocations {
 public:
  explicit CountAllocations(benchmark::State& state) : state_(state) {}
  CountAllocations(const CountAllocations&) = delete;
  CountAllocations& operator=(const CountAllocations&) = delete;
  ~CountAllocations() {
    state_.counters["allocations"] = benchmark::Counter(
        static_cast<double>(allocations() - before_), benchmark::Counter::kAvgIterations);
  }

 private:
  benchmark::State& state_;
  long before_ = allocations();
};
