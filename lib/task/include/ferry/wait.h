#pragma once

#include <ferry/any_future.h>

#include <optional>
#include <utility>
#include <vector>

namespace ferry {

enum class ReturnWhen { first_completed, first_exception, all_completed };

struct WaitOptions {
  std::optional<Duration> timeout{};
  ReturnWhen return_when = ReturnWhen::all_completed;
};

/// In the order in which they were given.
template <class F>
struct WaitResult {
  std::vector<F> done;
  std::vector<F> pending;
};

/// Waits as `wait` does, and nothing more.
Coro<> wait_until(std::vector<AnyFuture> futures, WaitOptions options);

/// Waits for futures or tasks, of one type or as AnyFuture: for all, for the first, for the first
/// that fails; or until the time is over, which is no error. Cancels nothing, not even when it is
/// cancelled itself. Throws std::invalid_argument for none at all.
/// https://docs.python.org/3/library/asyncio-task.html#asyncio.wait
template <class F>
Coro<WaitResult<F>> wait(std::vector<F> futures, WaitOptions options = {}) {
  co_await wait_until(std::vector<AnyFuture>(futures.begin(), futures.end()), options);
  WaitResult<F> result;
  for (F& future : futures) {
    (future.done() ? result.done : result.pending).push_back(std::move(future));
  }
  co_return result;
}

}  // namespace ferry
