#include "await_graph.h"

#include "task_list.h"

#include <ferry/any_future.h>
#include <ferry/task_group.h>

#include <unordered_set>

namespace ferry {
namespace {

const std::vector<FutureState*> kNone;

}  // namespace

AwaitGraph::AwaitGraph(EventLoop& loop) {
  if (loop.is_closed()) return;
  TaskList& list = TaskList::of(loop);
  tasks_ = list.all();
  for (TaskCore* task : tasks_) add_task(*task);
  for (const TaskList::Link& link : list.links()) {
    add(*link.waiter.state(), *link.future.state());
  }
}

void AwaitGraph::add(FutureState& waiter, FutureState& future) {
  awaits_[&waiter].push_back(&future);
  awaited_by_[&future].push_back(&waiter);
}

void AwaitGraph::add_task(TaskCore& task) {
  std::vector<FutureState*> found;
  if (const Suspension* const wait = task.waiting_for()) wait->all_awaited(found);
  for (const TaskGroup* group = task.groups(); group; group = group->outer()) {
    group->add_unfinished(found);
  }
  // `found` grows: a gathering stands for its children, too.
  std::unordered_set<const FutureState*> seen;
  for (std::size_t i = 0; i < found.size(); ++i) {
    FutureState& future = *found[i];
    if (!seen.insert(&future).second) continue;
    add(task.future(), future);
    if (const auto* const dependent = dynamic_cast<const DependentFuture*>(&future)) {
      dependent->all_awaited(found);
    }
  }
}

TaskCore* AwaitGraph::task_of(FutureState& future) noexcept {
  return dynamic_cast<TaskCore*>(&future);
}

const std::vector<FutureState*>& AwaitGraph::awaited_by(const FutureState& future) const noexcept {
  const auto found = awaited_by_.find(&future);
  return found == awaited_by_.end() ? kNone : found->second;
}

const std::vector<FutureState*>& AwaitGraph::awaits(const FutureState& future) const noexcept {
  const auto found = awaits_.find(&future);
  return found == awaits_.end() ? kNone : found->second;
}

}  // namespace ferry
