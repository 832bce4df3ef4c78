#pragma once

#include <ferry/task_core.h>

#include <cstddef>
#include <unordered_map>
#include <vector>

namespace ferry {

/// Who waits for whom among the tasks of a loop, at the moment it is made. Nobody keeps books of
/// that while tasks run: it is read off what they wait for.
class AwaitGraph {
 public:
  explicit AwaitGraph(EventLoop& loop);

  /// All tasks, in the order of creation.
  const std::vector<TaskCore*>& tasks() const noexcept { return tasks_; }
  /// The task that the future is, done or not; null if it is none.
  static TaskCore* task_of(FutureState& future) noexcept;
  /// Who waits for `future`, in the order of creation: tasks, or what a user's own code said.
  const std::vector<FutureState*>& awaited_by(const FutureState& future) const noexcept;
  /// What `future`, a task, waits for, those behind gather and its kin included; each once.
  const std::vector<FutureState*>& awaits(const FutureState& future) const noexcept;

 private:
  void add(FutureState& waiter, FutureState& future);
  void add_task(TaskCore& task);

  using Edges = std::unordered_map<const FutureState*, std::vector<FutureState*>>;

  std::vector<TaskCore*> tasks_;
  Edges awaits_;
  Edges awaited_by_;
};

}  // namespace ferry
