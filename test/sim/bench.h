#pragma once

#include "task_probe.h"

#include <ferry/async.h>
#include <ferry/testing/seeds.h>

#include <memory>
#include <string>
#include <vector>

namespace ferry::test {

/// What the tasks of a small random program share, and hold as long as they live: some workers at
/// one object (a lock, a queue, ...), and somebody who cancels them now and then.
struct Bench {
  explicit Bench(testing::Trial& t) : trial(t), lot(t.lot()) {}
  virtual ~Bench() = default;

  /// Somebody waits for what is there already: right only for as long as those who are woken have
  /// not had their turn.
  virtual bool stalled() const { return false; }
  /// From none to some milliseconds: often the same, so that many things are due at once.
  Duration pause() { return lot.below(5) * std::chrono::milliseconds(1); }
  Duration patience() const {
    return trial.simulated() ? Duration(std::chrono::minutes(10))
                             : Duration(std::chrono::seconds(5));
  }
  /// That limit is over. What has no time at all is not even begun.
  void timed_out(Duration limit, const char* state) {
    if (limit > Duration::zero()) trial.reached(state);
  }
  /// For tasks that are to survive: how many of the first are never cancelled.
  std::size_t spared = 0;

  testing::Trial& trial;  // outlives its loop, and so all tasks
  testing::Seed lot;
  std::vector<Task<>> tasks;
  std::uint64_t steps = 0;  ///< Whatever happens is counted.
};

/// Runs all of `work` as tasks of the bench, cancels some at random, and waits for all. Who still
/// waits after that has been forgotten; exceptions are wrong.
Coro<> work_at(std::shared_ptr<Bench> bench, std::vector<Coro<>> work, std::size_t cancels);
/// Waits for all of the tasks, which must end by themselves.
Coro<> all_end(std::shared_ptr<Bench> bench);
/// Runs that on the trial's loop to its end.
void play_bench(testing::Trial& trial, Coro<> program);

/// Only what the clock and turns do to a program matters where there are no sockets.
inline constexpr testing::Troubles kNoSockets{
    .network = false, .calls = false, .descriptors = false};

/// A scenario without a carrier.
void add(std::vector<testing::Scenario>& all, const std::string& name,
         void (*play)(testing::Trial&), testing::Troubles troubles = kNoSockets);

}  // namespace ferry::test
