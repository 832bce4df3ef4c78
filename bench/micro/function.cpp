// A callable made, called and destroyed, with captures that fit a pointer pair and that do not.

#include <benchmark/benchmark.h>
#include <ferry/function.h>

#include <array>
#include <cstddef>
#include <functional>

namespace {

template <std::size_t Size>
struct Callable {
  std::array<std::byte, Size - sizeof(long*)> payload;
  long* calls;
  void operator()() const {
    benchmark::DoNotOptimize(payload);
    ++*calls;
  }
};

template <class F, std::size_t Size>
void make_call_destroy(benchmark::State& state) {
  long calls = 0;
  Callable<Size> callable{{}, &calls};
  benchmark::DoNotOptimize(callable);
  for (auto _ : state) {
    F f(callable);
    benchmark::DoNotOptimize(f);
    f();
  }
  benchmark::DoNotOptimize(calls);
}

/// Made in one place and moved to another, as on its way through a queue.
template <class F, std::size_t Size>
void make_move_call_destroy(benchmark::State& state) {
  long calls = 0;
  Callable<Size> callable{{}, &calls};
  benchmark::DoNotOptimize(callable);
  for (auto _ : state) {
    F f(callable);
    benchmark::DoNotOptimize(f);
    F g(std::move(f));
    benchmark::DoNotOptimize(g);
    g();
  }
  benchmark::DoNotOptimize(calls);
}

using Ferry = ferry::Function<void()>;
using Std = std::function<void()>;
BENCHMARK(make_call_destroy<Ferry, 16>)->Name("function, 16 B: make, call, destroy/ferry");
BENCHMARK(make_call_destroy<Std, 16>)->Name("function, 16 B: make, call, destroy/std::function");
BENCHMARK(make_call_destroy<Ferry, 48>)->Name("function, 48 B: make, call, destroy/ferry");
BENCHMARK(make_call_destroy<Std, 48>)->Name("function, 48 B: make, call, destroy/std::function");
BENCHMARK(make_call_destroy<Ferry, 64>)->Name("function, 64 B: make, call, destroy/ferry");
BENCHMARK(make_call_destroy<Std, 64>)->Name("function, 64 B: make, call, destroy/std::function");
BENCHMARK(make_move_call_destroy<Ferry, 16>)->Name("function, 16 B: and one move/ferry");
BENCHMARK(make_move_call_destroy<Std, 16>)->Name("function, 16 B: and one move/std::function");

}  // namespace
