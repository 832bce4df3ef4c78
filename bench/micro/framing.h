#pragma once

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstring>
#include <vector>

/// What a receive buffer does in a framed protocol: chunks of 4,000 bytes come in, frames of 512
/// bytes go out, so that a part of a frame always stays behind. One iteration is one frame.
template <class Append, class Size, class Data, class Consume>
void take_frames(benchmark::State& state, Append append, Size size, Data data, Consume consume) {
  constexpr std::size_t kChunk = 4'000;
  constexpr std::size_t kFrame = 512;
  const std::vector<char> chunk(kChunk, 'x');
  for (auto _ : state) {
    if (size() < kFrame) append(chunk.data(), chunk.size());
    char first;
    std::memcpy(&first, data(), 1);
    benchmark::DoNotOptimize(first);
    consume(kFrame);
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) *
                          static_cast<std::int64_t>(kFrame));
}
