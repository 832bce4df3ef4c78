// Asio's side of tasks.cpp: asio::awaitable, co_spawn, experimental::channel.

#include "allocations.h"
#include "counting.h"
#include "live_context.h"

#include <asio.hpp>
#include <asio/experimental/channel.hpp>

namespace {

template <class Work>
void in_a_task(benchmark::State& state, Work work) {
  LiveContext live;
  const CountAllocations counting(state);
  while (state.KeepRunningBatch(kChain)) {
    // The descriptor that is waited for keeps the context from running out of work.
    asio::co_spawn(live.get(), work(kChain), [&](const std::exception_ptr& failure) {
      if (failure) std::abort();
      live.get().stop();
    });
    live.get().restart();
    live.get().run();
  }
}

asio::awaitable<long> same(long value) {
  co_return value;
}

asio::awaitable<void> await_each(long count) {
  for (long i = 0; i < count; ++i) {
    long value = co_await same(i);
    benchmark::DoNotOptimize(value);
  }
}
void await(benchmark::State& state) {
  in_a_task(state, await_each);
}
BENCHMARK(await)->Name("await of a coroutine/Asio");

asio::awaitable<void> join_each(long count) {
  const auto executor = co_await asio::this_coro::executor;
  for (long i = 0; i < count; ++i) {
    long value = co_await asio::co_spawn(executor, same(i), asio::use_awaitable);
    benchmark::DoNotOptimize(value);
  }
}
void create_and_join(benchmark::State& state) {
  in_a_task(state, join_each);
}
BENCHMARK(create_and_join)->Name("task: create, run, join/Asio");

asio::awaitable<void> yield_each(long count) {
  const auto executor = co_await asio::this_coro::executor;
  for (long i = 0; i < count; ++i) co_await asio::post(executor, asio::use_awaitable);
}
void yield(benchmark::State& state) {
  in_a_task(state, yield_each);
}
BENCHMARK(yield)->Name("task: let others run/Asio");

using Items = asio::experimental::channel<void(std::error_code, long)>;

asio::awaitable<void> put(Items& items, long item) {
  return items.async_send(std::error_code(), item, asio::use_awaitable);
}
asio::awaitable<long> get(Items& items) {
  return items.async_receive(asio::use_awaitable);
}

asio::awaitable<void> return_each(Items& here, Items& back, long count) {
  for (long i = 0; i < count; ++i) {
    const long item = co_await get(here);
    co_await put(back, item);
  }
}
asio::awaitable<void> pass_to_and_fro(long count) {
  const auto executor = co_await asio::this_coro::executor;
  Items there(executor, 1);
  Items back(executor, 1);
  const long rounds = count / 2;
  asio::co_spawn(executor, return_each(there, back, rounds), asio::detached);
  for (long i = 0; i < rounds; ++i) {
    co_await put(there, i);
    long item = co_await get(back);
    benchmark::DoNotOptimize(item);
  }
}
void queue_one_by_one(benchmark::State& state) {
  in_a_task(state, pass_to_and_fro);
}
BENCHMARK(queue_one_by_one)->Name("queue: hand-over, one by one/Asio");

asio::awaitable<void> put_each(Items& queue, long count) {
  for (long i = 0; i < count; ++i) co_await put(queue, i);
}
asio::awaitable<void> get_all(long count) {
  const auto executor = co_await asio::this_coro::executor;
  Items queue(executor, kQueueSize);
  asio::co_spawn(executor, put_each(queue, count), asio::detached);
  for (long i = 0; i < count; ++i) {
    long item = co_await get(queue);
    benchmark::DoNotOptimize(item);
  }
}
void queue_of_128(benchmark::State& state) {
  in_a_task(state, get_all);
}
BENCHMARK(queue_of_128)->Name("queue: hand-over, up to 128 wait/Asio");

}  // namespace
