#pragma once

#include <ferry/gather.h>
#include <ferry/timer.h>
#include <ferry/wait_list.h>

#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace ferry {

/// The futures of an as_completed, in the order in which they finish.
class CompletionQueue {
 public:
  CompletionQueue(std::vector<AnyFuture> futures, std::optional<Duration> timeout);
  CompletionQueue(const CompletionQueue&) = delete;
  CompletionQueue& operator=(const CompletionQueue&) = delete;
  ~CompletionQueue();

  /// The next that finished and was not given yet: its place among those given to the constructor,
  /// the first if it was given twice. Throws TimeoutError when the time is over.
  Coro<std::size_t> next();
  /// How many have not been given.
  std::size_t left() const noexcept { return left_; }

 private:
  class Change;
  explicit CompletionQueue(std::size_t count);

  struct Pending {
    AnyFuture future;  // none: it is done
    FutureState::CallbackId callback = 0;
  };
  void finished(std::size_t place);
  bool none_done() const noexcept { return given_ == done_.size(); }

  std::shared_ptr<CompletionQueue*> self_;  // null for callbacks that come after the end
  std::vector<Pending> pending_;            // by place
  std::size_t pending_count_ = 0;
  std::vector<std::size_t> done_;  // places; there is room for all
  std::size_t given_ = 0;          // of those, the first
  std::size_t left_ = 0;
  bool timed_out_ = false;
  std::optional<Timer> timer_;
  WaitList waiters_;
};

/// What as_completed returns. Dropping it early leaves the futures running.
template <class F>
class AsCompleted {
 public:
  using Value = detail::ValueOf<F>;

  AsCompleted(std::vector<F> futures, std::optional<Duration> timeout)
      : queue_(std::make_shared<CompletionQueue>(
            std::vector<AnyFuture>(futures.begin(), futures.end()), timeout)),
        futures_(std::move(futures)) {}

  /// `while (auto future = co_await completed.next())`: one of those passed in, which is done; none
  /// when all were given. Throws TimeoutError when the time is over.
  Coro<std::optional<F>> next() {
    if (queue_->left() == 0) co_return std::nullopt;
    const std::size_t place = co_await queue_->next();
    co_return futures_[place];
  }
  /// The result of the next that finishes: the exception if it failed. May be awaited by many tasks
  /// at once, each of which gets another one's. Throws std::logic_error if all were given.
  Coro<Value> next_result() {
    std::optional<F> future = co_await next();
    if (!future) throw std::logic_error("as_completed: all results have been given");
    co_return co_await detail::shared(*future);
  }
  std::size_t left() const noexcept { return queue_->left(); }

 private:
  std::shared_ptr<CompletionQueue> queue_;
  std::vector<F> futures_;
};

/// The futures in the order in which they finish. The same one twice counts once.
/// https://docs.python.org/3/library/asyncio-task.html#asyncio.as_completed
template <class T>
AsCompleted<Future<T>> as_completed(std::vector<Future<T>> futures,
                                    std::optional<Duration> timeout = {}) {
  return {std::move(futures), timeout};
}
template <class T>
AsCompleted<Task<T>> as_completed(std::vector<Task<T>> tasks,
                                  std::optional<Duration> timeout = {}) {
  return {std::move(tasks), timeout};
}
template <class T>
AsCompleted<Task<T>> as_completed(std::vector<Coro<T>> coros,
                                  std::optional<Duration> timeout = {}) {
  std::vector<Task<T>> tasks;
  tasks.reserve(coros.size());
  for (Coro<T>& coro : coros) tasks.push_back(create_task(std::move(coro)));
  return {std::move(tasks), timeout};
}
template <AwaitableObject A>
AsCompleted<Task<AwaitResult<A>>> as_completed(std::vector<A> awaitables,
                                               std::optional<Duration> timeout = {}) {
  std::vector<Task<AwaitResult<A>>> tasks;
  tasks.reserve(awaitables.size());
  for (A& each : awaitables) tasks.push_back(create_task(std::move(each)));
  return {std::move(tasks), timeout};
}

}  // namespace ferry
