#pragma once

#include "sim_agenda.h"

#include <ferry/executor.h>
#include <ferry/kernel.h>

#include <cstdint>
#include <map>
#include <memory>

namespace ferry::testing {

class SimTurns;

/// Where the jobs of a simulation run: in the loop's own thread, between its events, each at a time
/// drawn from the seed, as if a thread had taken so long. There is no limit to how many are under
/// way. The kernel must outlive it; only for the loop's thread.
class SimExecutor final : public Executor {
 public:
  SimExecutor(SimTurns& turns, SimAgenda& agenda, Duration least, Duration most);
  SimExecutor(const SimExecutor&) = delete;
  SimExecutor& operator=(const SimExecutor&) = delete;
  ~SimExecutor() override { detach(); }

  void submit(Function<void()> job) override { submit_late({}, std::move(job)); }
  /// The job takes so much longer.
  void submit_late(Duration more, Function<void()> job);
  /// When all that was submitted before has run.
  void submit_apart(Function<void()> job) override;
  /// Runs at once what is left: nobody else could while this waits.
  void shutdown() override;
  void detach() noexcept override;

 private:
  /// Outlives the executor in the agenda.
  struct Queue {
    std::map<std::uint64_t, Function<void()>> jobs;
    std::uint64_t next = 0;
    bool closed = false;
  };
  TimePoint draw();

  SimTurns& turns_;
  SimAgenda& agenda_;
  Duration least_;
  Duration most_;
  TimePoint last_due_{};
  std::shared_ptr<Queue> queue_ = std::make_shared<Queue>();
};

}  // namespace ferry::testing
