// Coroutines, tasks and queues. The same with Asio's coroutines: asio_tasks.cpp; with Python's
// asyncio and uvloop: python_tasks.py; with goroutines: go_tasks.go. One iteration is one await,
// one task, one hand-over.

#include "allocations.h"
#include "counting.h"
#include "live_loop.h"

#include <ferry/queue.h>
#include <ferry/sleep.h>
#include <ferry/task.h>

namespace {

/// Runs `work(count)` as a task, again and again.
template <class Work>
void in_a_task(benchmark::State& state, Work work) {
  LiveLoop live;
  const CountAllocations counting(state);
  while (state.KeepRunningBatch(kChain)) ferry::run_until_complete(live.get(), work(kChain));
}

ferry::Coro<long> same(long value) {
  co_return value;
}

ferry::Coro<> await_each(long count) {
  for (long i = 0; i < count; ++i) {
    long value = co_await same(i);
    benchmark::DoNotOptimize(value);
  }
}
void await(benchmark::State& state) {
  in_a_task(state, await_each);
}
BENCHMARK(await)->Name("await of a coroutine/ferry");

ferry::Coro<> join_each(long count) {
  for (long i = 0; i < count; ++i) {
    long value = co_await ferry::create_task(same(i));
    benchmark::DoNotOptimize(value);
  }
}
void create_and_join(benchmark::State& state) {
  in_a_task(state, join_each);
}
BENCHMARK(create_and_join)->Name("task: create, run, join/ferry");

ferry::Coro<> yield_each(long count) {
  for (long i = 0; i < count; ++i) co_await ferry::sleep(ferry::Duration::zero());
}
void yield(benchmark::State& state) {
  in_a_task(state, yield_each);
}
BENCHMARK(yield)->Name("task: let others run/ferry");

using Items = ferry::Queue<long>;

ferry::Coro<> return_each(Items& here, Items& back, long count) {
  for (long i = 0; i < count; ++i) {
    long item = co_await here.get();
    co_await back.put(item);
  }
}
ferry::Coro<> pass_to_and_fro(long count) {
  Items there(1);
  Items back(1);
  const long rounds = count / 2;
  const ferry::Task<> other = ferry::create_task(return_each(there, back, rounds));
  for (long i = 0; i < rounds; ++i) {
    co_await there.put(i);
    long item = co_await back.get();
    benchmark::DoNotOptimize(item);
  }
  co_await other;
}
void queue_one_by_one(benchmark::State& state) {
  in_a_task(state, pass_to_and_fro);
}
BENCHMARK(queue_one_by_one)->Name("queue: hand-over, one by one/ferry");

ferry::Coro<> put_each(Items& queue, long count) {
  for (long i = 0; i < count; ++i) co_await queue.put(i);
}
ferry::Coro<> get_all(long count) {
  Items queue(kQueueSize);
  const ferry::Task<> putter = ferry::create_task(put_each(queue, count));
  for (long i = 0; i < count; ++i) {
    long item = co_await queue.get();
    benchmark::DoNotOptimize(item);
  }
  co_await putter;
}
void queue_of_128(benchmark::State& state) {
  in_a_task(state, get_all);
}
BENCHMARK(queue_of_128)->Name("queue: hand-over, up to 128 wait/ferry");

}  // namespace
