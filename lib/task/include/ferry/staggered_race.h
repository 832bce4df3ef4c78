#pragma once

#include <ferry/task.h>
#include <ferry/wait.h>

#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

namespace ferry {

/// How a staggered_race ended.
template <class T>
struct StaggeredResult {
  using Value = std::conditional_t<std::is_void_v<T>, Nothing, T>;
  std::optional<Value> value{};         ///< The winner's; none if all failed.
  std::optional<std::size_t> winner{};  ///< Its index.
  /// One for each that was started: what it failed with, null for the winner. Those that came too
  /// late: CancelledError.
  std::vector<std::exception_ptr> exceptions{};
};

namespace detail {

template <class F>
using RaceValue = typename std::invoke_result_t<F&>::value_type;

/// So that what `begin` itself throws is the task's failure, too.
template <class F>
Coro<RaceValue<F>> run_racer(std::shared_ptr<std::vector<F>> begin, std::size_t place) {
  co_return co_await (*begin)[place]();
}

template <class T>
std::vector<Task<T>> not_done(const std::vector<Task<T>>& tasks) {
  std::vector<Task<T>> left;
  for (const Task<T>& task : tasks) {
    if (!task.done()) left.push_back(task);
  }
  return left;
}

/// The first, in the order of their starts, that has a value.
template <class T>
std::optional<std::size_t> find_winner(const std::vector<Task<T>>& tasks) {
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    if (tasks[i].done() && !tasks[i].state()->failure()) return i;
  }
  return std::nullopt;
}

}  // namespace detail

/// Calls the functions, which give coroutines, one after the other: the next when the one before
/// has failed, or `delay` after its start if that is first. The first that succeeds wins; the
/// others are cancelled, and waited for. Without a delay there is one at a time. Cancelling it
/// cancels all that run. How connections race for addresses (RFC 8305), for whatever else there are
/// several of.
template <class F>
auto staggered_race(std::vector<F> begin, std::optional<Duration> delay = std::nullopt)
    -> Coro<StaggeredResult<detail::RaceValue<F>>> {
  using T = detail::RaceValue<F>;
  EventLoop& loop = get_running_loop();
  StaggeredResult<T> result;
  std::vector<Task<T>> tasks;
  tasks.reserve(begin.size());
  // Theirs as well: without memory it may end before they do.
  const auto racers = std::make_shared<std::vector<F>>(std::move(begin));
  std::exception_ptr cancelled;
  TimePoint next_start;
  try {
    while (!result.winner && !cancelled) {
      const bool all_started = tasks.size() == racers->size();
      const bool latest_failed = tasks.empty() || tasks.back().done();
      if (!all_started && (latest_failed || (delay && loop.time() >= next_start))) {
        tasks.push_back(create_task(detail::run_racer(racers, tasks.size())));
        if (delay) next_start = loop.after(*delay);
        continue;
      }
      std::vector<Task<T>> running = detail::not_done(tasks);
      if (running.empty()) break;
      WaitOptions options;
      options.return_when = ReturnWhen::first_completed;
      if (!all_started && delay) options.timeout = next_start - loop.time();
      try {
        co_await wait(std::move(running), options);
      } catch (const CancelledError&) {
        cancelled = std::current_exception();
      }
      result.winner = detail::find_winner(tasks);
    }
    std::vector<Task<T>> late = detail::not_done(tasks);
    for (const Task<T>& task : late) task.cancel();
    while (!late.empty()) {
      try {
        co_await wait(std::vector<Task<T>>(late));
      } catch (const CancelledError&) {
        cancelled = std::current_exception();
      }
      late = detail::not_done(late);
    }
  } catch (...) {  // there is no memory, not even to wait for them
    for (const Task<T>& task : tasks) task.cancel();
    throw;
  }
  // To look at a failure is to have heard of it, though the race be cancelled.
  for (const Task<T>& task : tasks) result.exceptions.push_back(task.state()->failure());
  if (cancelled) std::rethrow_exception(cancelled);
  if (result.winner) {
    const Task<T>& winner = tasks[*result.winner];
    if constexpr (std::is_void_v<T>) {
      result.value.emplace();
    } else {
      result.value.emplace(std::move(winner.result()));
    }
  }
  co_return result;
}

}  // namespace ferry
