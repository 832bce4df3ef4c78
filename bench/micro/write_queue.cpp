// A write queue under many small writes: 64 of 100 bytes, gathered as for one sendmsg(2), consumed
// in two uneven parts, as a kernel that takes them in two goes would. One iteration is one write.

#include "write_queue.h"

#include <benchmark/benchmark.h>

#include <array>
#include <cstddef>
#include <deque>
#include <vector>

namespace {

constexpr std::size_t kWrites = 64;
constexpr std::size_t kSize = 100;
constexpr std::size_t kFirstPart = 2'345;

/// The plain way: a copy of every write in a deque.
class VectorQueue {
 public:
  void append(ferry::BytesView bytes) { writes_.emplace_back(bytes.begin(), bytes.end()); }
  std::size_t gather(std::span<ferry::BytesView> pieces) const {
    std::size_t count = 0;
    for (const auto& write : writes_) {
      if (count == pieces.size()) break;
      const ferry::BytesView all(write);
      pieces[count] = count == 0 ? all.drop(sent_) : all;
      ++count;
    }
    return count;
  }
  void consume(std::size_t n) {
    while (n > 0) {
      const std::size_t left = writes_.front().size() - sent_;
      if (n < left) {
        sent_ += n;
        return;
      }
      n -= left;
      sent_ = 0;
      writes_.pop_front();
    }
  }

 private:
  std::deque<std::vector<std::byte>> writes_;
  std::size_t sent_ = 0;
};

template <class Queue>
void small_writes(benchmark::State& state) {
  Queue queue;
  const std::vector<std::byte> bytes(kSize, std::byte{'x'});
  std::array<ferry::BytesView, 64> pieces;
  while (state.KeepRunningBatch(kWrites)) {
    for (std::size_t i = 0; i < kWrites; ++i) queue.append(bytes);
    benchmark::DoNotOptimize(queue.gather(pieces));
    queue.consume(kFirstPart);
    benchmark::DoNotOptimize(queue.gather(pieces));
    queue.consume(kWrites * kSize - kFirstPart);
    benchmark::ClobberMemory();
  }
}
BENCHMARK(small_writes<ferry::WriteQueue>)->Name("write queue, 100 B/ferry");
BENCHMARK(small_writes<VectorQueue>)->Name("write queue, 100 B/deque of vectors");

}  // namespace
