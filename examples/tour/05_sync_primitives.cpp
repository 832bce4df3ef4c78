// Locks, events and queues for tasks: whoever waits leaves the thread to the others.
#include "tour.h"

#include <ferry/async.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

using namespace std::chrono_literals;

const char* yes_or_no(bool value) {
  return value ? "yes" : "no";
}

// -- Lock: reading, waiting and writing back as one step

struct Account {
  ferry::Lock lock;
  int balance = 0;
};

ferry::Coro<> deposit(Account& account) {
  const auto guard = co_await account.lock.scoped();  // async with lock:
  const int before = account.balance;
  co_await ferry::sleep(100ms);
  account.balance = before + 1;
}

ferry::Coro<> share_an_account() {
  Account account;
  std::vector<ferry::Coro<>> deposits;
  for (int i = 0; i < 10; ++i) deposits.push_back(deposit(account));
  co_await ferry::gather(std::move(deposits));
  std::printf("Lock: 10 deposits, balance %d, locked: %s\n", account.balance,
              yes_or_no(account.lock.locked()));
}

// -- Semaphore: at most ten requests at once

struct Requests {
  ferry::Semaphore permits{10};
  int running = 0;
  int most = 0;
};

ferry::Coro<> request(Requests& requests) {
  const auto permit = co_await requests.permits.scoped();
  requests.most = std::max(requests.most, ++requests.running);
  co_await ferry::sleep(1s);
  --requests.running;
}

ferry::Coro<> limit_requests() {
  const tour::Stopwatch watch;
  Requests requests;
  std::vector<ferry::Coro<>> all;
  for (int i = 0; i < 30; ++i) all.push_back(request(requests));
  co_await ferry::gather(std::move(all));
  std::printf("Semaphore(10): 30 requests of 1 s, %d at once: %.0f s\n", requests.most,
              watch.seconds());

  // acquire and release are there by themselves, too: async with is only the better habit.
  ferry::BoundedSemaphore bounded(1);
  co_await bounded.acquire();
  bounded.release();
  try {
    bounded.release();
  } catch (const std::invalid_argument& error) {
    std::printf("%s\n", error.what());
  }
}

// -- Event: a consumer waits until the producer says go

ferry::Coro<> consume(ferry::Event& ready, std::vector<int>& data) {
  std::puts("Event: the consumer waits");
  co_await ready.wait();
  std::printf("Event: the consumer has %zu items\n", data.size());
}

ferry::Coro<> produce(ferry::Event& ready, std::vector<int>& data) {
  co_await ferry::sleep(1s);
  data = {1, 2, 3};
  std::puts("Event: the producer sets it");
  ready.set();
}

ferry::Coro<> signal_an_event() {
  ferry::Event ready;
  std::vector<int> data;
  co_await ferry::gather(consume(ready, data), produce(ready, data));
  const bool before = ready.is_set();
  ready.clear();
  std::printf("Event: is_set: %s, after clear: %s\n", yes_or_no(before), yes_or_no(ready.is_set()));
}

// -- Condition: waiting for more than "something changed"

struct Stock {
  ferry::Condition changed;
  int items = 0;
};

ferry::Coro<> buy(Stock& stock, std::string name, int wanted) {
  const auto guard = co_await stock.changed.scoped();
  co_await stock.changed.wait_for([&stock, wanted] { return stock.items >= wanted; });
  stock.items -= wanted;
  std::printf("Condition: %s takes %d, %d left\n", name.c_str(), wanted, stock.items);
}

ferry::Coro<> deliver(Stock& stock) {
  for (int delivery = 0; delivery < 2; ++delivery) {
    co_await ferry::sleep(1s);
    const auto guard = co_await stock.changed.scoped();
    stock.items += 3;
    std::puts("Condition: 3 delivered");
    stock.changed.notify_all();
  }
}

ferry::Coro<> wait_for_a_condition() {
  Stock stock;
  co_await ferry::gather(buy(stock, "Ann", 4), buy(stock, "Bob", 2), deliver(stock));
}

// -- Queues

using Jobs = ferry::Queue<std::optional<int>>;

ferry::Coro<> fill(Jobs& jobs) {
  for (int job = 1; job <= 8; ++job) {
    co_await jobs.put(job);  // waits while five are in it
    if (jobs.full()) std::printf("Queue: job %d makes it full\n", job);
  }
  co_await jobs.put(std::nullopt);  // the sentinel: that was all
}

ferry::Coro<int> empty(Jobs& jobs) {
  int sum = 0;
  while (const std::optional<int> job = co_await jobs.get()) {
    co_await ferry::sleep(1s);
    sum += *job;
    jobs.task_done();
  }
  jobs.task_done();
  co_return sum;
}

ferry::Coro<> pass_through_a_queue() {
  Jobs jobs(5);
  const auto consumer = ferry::create_task(empty(jobs));
  co_await fill(jobs);
  co_await jobs.join();  // until each item was got and done
  std::printf("Queue(5): all done, sum %d\n", co_await consumer);

  ferry::LifoQueue<int> stack;
  ferry::PriorityQueue<std::pair<int, std::string>> agenda;
  for (int i = 1; i <= 3; ++i) stack.put_nowait(i);
  agenda.put_nowait({3, "sleep"});
  agenda.put_nowait({1, "work"});
  agenda.put_nowait({2, "eat"});
  std::printf("LifoQueue:");
  while (stack.qsize() > 0) std::printf(" %d", stack.get_nowait());
  std::printf("\nPriorityQueue:");
  while (!agenda.empty()) std::printf(" %s", (co_await agenda.get()).second.c_str());
  std::printf("\n");
}

ferry::Coro<> main_coroutine() {
  co_await share_an_account();
  co_await limit_requests();
  co_await signal_an_event();
  co_await wait_for_a_condition();
  co_await pass_through_a_queue();
}

int main(int argc, char** argv) {
  ferry::run(main_coroutine(), tour::options(argc, argv));
}
