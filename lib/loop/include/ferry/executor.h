#pragma once

#include <ferry/function.h>

#include <cstddef>
#include <memory>
#include <string>

namespace ferry {

/// Runs jobs somewhere that is not the loop's thread. All functions may be called from any thread.
/// Derive from it to bring a pool of your own.
class Executor {
 public:
  virtual ~Executor() = default;
  /// Queues `job`. A job must not throw, but may be destroyed without having been run. Throws
  /// std::logic_error after `shutdown` or `detach`.
  virtual void submit(Function<void()> job) = 0;
  /// Runs a job that waits for the others, such as a `shutdown`, where it takes the place of none
  /// of them; also when no more jobs are taken. By default on a thread of its own, which nobody
  /// waits for.
  virtual void submit_apart(Function<void()> job);
  /// Takes no more jobs, and returns when those it has are done: blocks.
  /// By default nothing, for executors that own no threads.
  virtual void shutdown() {}
  /// Takes no more jobs, drops those that have not begun and lets the others go on without an
  /// owner, so that no `shutdown` waits for them any more, nor the destructor. Never blocks.
  virtual void detach() noexcept {}
};

/// A pool of threads, started one by one as jobs come, up to a limit; idle ones wait. Signals are
/// blocked in its threads, so that they reach the loop's. A job that throws is fatal
/// (std::terminate).
class ThreadPool final : public Executor {
 public:
  struct Options {
    std::size_t threads = 0;         ///< Limit; 0: cores + 4, at most 32 (as Python's pool).
    std::size_t queued = 1'000'000;  ///< Jobs that may wait; beyond it submit throws.
    /// The threads are named "<name>-0", "<name>-1", ...; the system shows 15 bytes.
    std::string name = "ferry";
  };

  ThreadPool() : ThreadPool(Options{}) {}
  explicit ThreadPool(Options options);
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  /// As `shutdown`; on one of its own threads, as `detach`.
  ~ThreadPool() override;

  /// Besides what Executor::submit says, throws std::length_error if too many jobs wait, and
  /// std::system_error if not even one thread can be started.
  void submit(Function<void()> job) override;
  /// Throws std::logic_error on one of its own threads, which would wait for itself.
  void shutdown() override;
  void detach() noexcept override;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace ferry
