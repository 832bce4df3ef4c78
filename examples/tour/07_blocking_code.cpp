// Code that blocks: on threads, so that the loop goes on; what needs the CPU, in other processes.
#include "tour.h"

#include <ferry/async.h>
#include <ferry/executor.h>
#include <ferry/process_pool.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

/// What no coroutine should do: it keeps its thread for a second.
std::string read_slowly(std::string name) {
  std::this_thread::sleep_for(tour::kSecond);
  return "contents of " + name;
}

ferry::Coro<> call_on_a_thread() {
  const auto reading = ferry::to_thread(read_slowly, "a.txt");
  int ticks = 0;
  while (!reading.done()) {
    ++ticks;
    co_await ferry::sleep(tour::kSecond / 10);
  }
  std::printf("to_thread: %s\n", reading.result().c_str());
  std::printf("meanwhile the loop ticked: %s\n", ticks > 0 ? "yes" : "no");
}

ferry::Coro<> use_the_default_pool() {
  ferry::EventLoop& loop = ferry::get_running_loop();
  const auto here = std::this_thread::get_id();
  const auto reading = loop.run_in_executor(nullptr, [here] {
    return read_slowly("b.txt") +
           (std::this_thread::get_id() == here ? ", on the loop's thread" : ", on another thread");
  });
  std::printf("default executor: %s\n", (co_await reading).c_str());
}

/// How many jobs run at once.
struct Gauge {
  std::atomic<int> now = 0;
  std::atomic<int> most = 0;
};

ferry::Coro<> use_a_pool_of_two() {
  ferry::EventLoop& loop = ferry::get_running_loop();
  ferry::ThreadPool pool({.threads = 2});
  Gauge gauge;  // outlives the jobs, which are awaited
  std::vector<ferry::Future<void>> jobs;
  for (int i = 0; i < 6; ++i) {
    jobs.push_back(loop.run_in_executor(&pool, [&gauge] {
      const int now = ++gauge.now;
      int most = gauge.most;
      while (most < now && !gauge.most.compare_exchange_weak(most, now)) {
      }
      std::this_thread::sleep_for(tour::kSecond / 5);
      --gauge.now;
    }));
  }
  co_await ferry::gather(jobs);
  std::printf("ThreadPool of 2: %zu jobs, more than 2 at once: %s\n", jobs.size(),
              gauge.most > 2 ? "yes" : "no");
}

/// For the CPU: on a thread it would take its time from the loop's core, in a process it need not.
int count_primes(int limit) {
  int count = 0;
  for (int number = 2; number < limit; ++number) {
    int divisor = 2;
    while (divisor * divisor <= number && number % divisor != 0) ++divisor;
    if (divisor * divisor > number) ++count;
  }
  return count;
}

int crash() {
  std::abort();
}

ferry::Coro<> use_processes(ferry::ProcessPool& pool) {
  ferry::EventLoop& loop = ferry::get_running_loop();
  const auto some = loop.run_in_executor(pool, count_primes, 1000);
  const auto more = loop.run_in_executor(pool, count_primes, 10000);
  const auto bad = loop.run_in_executor(pool, crash);
  std::printf("ProcessPool: %d primes", co_await some);
  std::printf(" below 1000, %d below 10000\n", co_await more);
  try {
    co_await bad;
  } catch (const ferry::BrokenWorkerError&) {
    std::puts("ProcessPool: a crash fails that call, and no other");
  }
}

ferry::Coro<> main_coroutine(ferry::ProcessPool& processes) {
  co_await call_on_a_thread();
  co_await use_the_default_pool();
  co_await use_a_pool_of_two();
  co_await use_processes(processes);
}

int main() {
  // Its workers are copies of this process: to be made before there are threads.
  ferry::ProcessPool processes({.workers = 2});
  ferry::run(main_coroutine(processes));
}
