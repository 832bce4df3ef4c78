#pragma once

#include <ferry/coro.h>
#include <ferry/event.h>

#include <cstddef>
#include <stdexcept>
#include <string_view>

namespace ferry {

/// The barrier was reset or aborted while tasks waited at it.
class BrokenBarrierError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Where a number of tasks wait for each other, again and again; like asyncio.Barrier.
/// https://docs.python.org/3/library/asyncio-sync.html#barrier
class Barrier {
 public:
  /// Throws std::invalid_argument for no parties.
  explicit Barrier(std::size_t parties);

  /// Waits until all are here; gives each another number from 0 on. Who comes while the last round
  /// leaves waits for the next. A task that is cancelled just leaves. Throws BrokenBarrierError.
  Coro<std::size_t> wait();
  /// Those who wait get BrokenBarrierError; then it is as new. A round that is complete leaves.
  void reset();
  /// All get BrokenBarrierError, from now on until `reset`.
  void abort();
  std::size_t parties() const noexcept { return parties_; }
  /// How many wait for the rest.
  std::size_t n_waiting() const noexcept { return state_ == State::filling ? count_ : 0; }
  bool broken() const noexcept { return state_ == State::broken; }
  /// "filling", "draining", "resetting" or "broken".
  std::string_view state() const noexcept;

 private:
  enum class State { filling, draining, resetting, broken };
  class Change;
  void set(State state);

  std::size_t parties_;
  std::size_t count_ = 0;
  std::size_t next_index_ = 0;  // of the round that leaves
  State state_ = State::filling;
  WaitList waiters_;
};

}  // namespace ferry
