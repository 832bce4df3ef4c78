// Many at once: gather, wait, as_completed, TaskGroup.
#include "tour.h"

#include <ferry/async.h>

#include <cstdio>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

ferry::Coro<std::string> fetch(std::string name, ferry::Duration time) {
  co_await ferry::sleep(time);
  co_return "data from " + name;
}

ferry::Coro<std::string> fail(std::string name, ferry::Duration time) {
  co_await ferry::sleep(time);
  throw std::runtime_error(name + " is down");
}

/// Says so when it is cancelled.
ferry::Coro<std::string> fetch_patiently(std::string name, ferry::Duration time) {
  try {
    co_return co_await fetch(name, time);
  } catch (const ferry::CancelledError&) {
    std::printf("  %s is cancelled\n", name.c_str());
    throw;
  }
}

ferry::Coro<> gather_all() {
  std::puts("gather: in the order of the arguments");
  const tour::Stopwatch watch;
  const auto pages = co_await ferry::gather(fetch("A", 3s), fetch("B", 1s), fetch("C", 2s));
  const auto& [a, b, c] = pages;  // a tuple; from a vector of coroutines it is a vector
  std::printf("  %s, %s, %s: %.0f s\n", a.c_str(), b.c_str(), c.c_str(), watch.seconds());

  auto outcomes = co_await ferry::gather(ferry::return_exceptions, fetch("A", 1s), fail("B", 1s));
  std::printf("  return_exceptions: %s, ", std::get<0>(outcomes).value().c_str());
  try {
    std::get<1>(outcomes).value();
  } catch (const std::runtime_error& error) {
    std::printf("and a failure: %s\n", error.what());
  }
}

ferry::Coro<> wait_for_all() {
  std::puts("wait: ALL_COMPLETED");
  std::vector<ferry::Task<std::string>> tasks;
  tasks.push_back(ferry::create_task(fetch("A", 2s)));
  tasks.push_back(ferry::create_task(fail("B", 1s)));
  const auto all = co_await ferry::wait(tasks);
  std::printf("  done: %zu, pending: %zu\n", all.done.size(), all.pending.size());
  for (const auto& task : all.done) {  // wait does not throw: each is asked
    std::printf("  %s\n", task.exception() ? "a failure" : task.result().c_str());
  }
}

ferry::Coro<> take_the_first() {
  std::puts("wait: FIRST_COMPLETED of three replicas");
  std::vector<ferry::Task<std::string>> replicas;
  replicas.push_back(ferry::create_task(fetch_patiently("replica 1", 3s)));
  replicas.push_back(ferry::create_task(fetch_patiently("replica 2", 1s)));
  replicas.push_back(ferry::create_task(fetch_patiently("replica 3", 2s)));
  const ferry::WaitOptions first{.return_when = ferry::ReturnWhen::first_completed};
  const auto race = co_await ferry::wait(replicas, first);
  std::printf("  %s\n", race.done.front().result().c_str());
  for (const auto& loser : race.pending) loser.cancel();  // wait itself cancels nothing
  co_await ferry::wait(race.pending);
}

ferry::Coro<> stop_at_a_failure() {
  std::puts("wait: FIRST_EXCEPTION");
  std::vector<ferry::Task<std::string>> tasks;
  tasks.push_back(ferry::create_task(fetch("A", 1s)));
  tasks.push_back(ferry::create_task(fail("B", 2s)));
  tasks.push_back(ferry::create_task(fetch_patiently("C", 3s)));
  const ferry::WaitOptions failure{.return_when = ferry::ReturnWhen::first_exception};
  const auto result = co_await ferry::wait(tasks, failure);
  std::printf("  done: %zu, pending: %zu\n", result.done.size(), result.pending.size());
  try {
    result.done.back().result();
  } catch (const std::runtime_error& error) {
    std::printf("  %s\n", error.what());
  }
  for (const auto& task : result.pending) task.cancel();
  co_await ferry::wait(result.pending);
}

ferry::Coro<> take_as_they_come() {
  std::puts("as_completed: as they arrive");
  std::vector<ferry::Coro<std::string>> fetches;
  fetches.push_back(fetch("A", 3s));
  fetches.push_back(fetch("B", 1s));
  fetches.push_back(fetch("C", 2s));
  auto completed = ferry::as_completed(std::move(fetches));
  while (const auto task = co_await completed.next()) {
    std::printf("  %s\n", task->result().c_str());
  }
}

ferry::Coro<> two_of_three(ferry::TaskGroup& group) {
  const auto a = group.create_task(fetch("A", 1s));
  const auto b = group.create_task(fail("B", 2s));
  const auto c = group.create_task(fetch_patiently("C", 3s));
  std::printf("  %s\n", (co_await a).c_str());
}

ferry::Coro<> work_in_a_group() {
  std::puts("TaskGroup: one fails, the others are cancelled");
  try {
    co_await ferry::task_group(two_of_three);
  } catch (const ferry::ExceptionGroup& group) {
    group.for_each<std::runtime_error>(
        [](const std::runtime_error& error) { std::printf("  the group: %s\n", error.what()); });
  }
}

ferry::Coro<> main_coroutine() {
  co_await gather_all();
  co_await wait_for_all();
  co_await take_the_first();
  co_await stop_at_a_failure();
  co_await take_as_they_come();
  co_await work_in_a_group();
}

int main(int argc, char** argv) {
  ferry::run(main_coroutine(), tour::options(argc, argv));
}
