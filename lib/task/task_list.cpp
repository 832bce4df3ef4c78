#include "task_list.h"

#include <ferry/task_group.h>

#include <algorithm>
#include <utility>

namespace ferry {

namespace {

/// Of tasks that are overdue, in one turn: as many as the loop runs callbacks.
constexpr std::size_t kStepsAtOnce = 61;

}  // namespace

TaskList& TaskList::of(EventLoop& loop) {
  std::unique_ptr<LoopExtension>& place = loop.extension();
  if (!place) [[unlikely]] {
    if (loop.is_closed()) throw std::logic_error("create_task: the event loop is closed");
    place.reset(new TaskList(loop));
  }
  return static_cast<TaskList&>(*place);
}

std::uint64_t TaskList::add(TaskCore& task) noexcept {
  task.next_ = first_;
  if (first_) first_->link_ = &task.next_;
  task.link_ = &first_;
  first_ = &task;
  ++count_;
  return ++last_number_;
}

void TaskList::remove(TaskCore& task) noexcept {
  if (!task.link_) return;
  *task.link_ = task.next_;
  if (task.next_) task.next_->link_ = task.link_;
  task.link_ = nullptr;
  --of(*task.loop_).count_;
}

std::vector<TaskCore*> TaskList::all() const {
  std::vector<TaskCore*> tasks;
  tasks.reserve(count_);
  for (TaskCore* task = first_; task; task = task->next_) tasks.push_back(task);
  std::reverse(tasks.begin(), tasks.end());
  return tasks;
}

std::shared_ptr<RunningStep> TaskList::running_step() {
  if (!running_step_) running_step_ = std::make_shared<RunningStep>();
  return running_step_;
}

void TaskList::add_link(Link link) {
  if (link.future.done() || std::find(links_.begin(), links_.end(), link) != links_.end()) return;
  link.future.state()->add_done_callback([this](FutureState& done) {
    std::erase_if(links_, [&](const Link& each) { return each.future.state() == &done; });
  });
  links_.push_back(std::move(link));
}

void TaskList::drop_link(const Link& link) {
  std::erase(links_, link);
}

void TaskList::on_overdue() {
  const auto first_overdue = [this] {
    TaskCore* task = first_;
    while (task && !task->overdue_) task = task->next_;
    return task;
  };
  TaskCore* task = nullptr;
  for (std::size_t budget = kStepsAtOnce; (task = first_overdue()) != nullptr; --budget) {
    if (budget == 0) return loop_->note_overdue();  // the rest in the next turn
    task->overdue_ = false;
    loop_->run_callback([task] { task->step(); });
  }
}

void TaskList::on_loop_close() {
  links_.clear();
  // Nobody is to be woken any more by what the destructors do: release a lock, cancel a task.
  // And a wait in a generator that somebody else has outlives its task.
  for (TaskCore* task = first_; task; task = task->next_) {
    if (Suspension* const wait = std::exchange(task->waiting_, nullptr)) wait->task_ = nullptr;
  }
  while (TaskCore* const task = first_) {
    remove(*task);
    ExceptionContext context;
    context.message =
        report_text([task] { return "Task was destroyed but it is pending: " + task->name(); });
    context.where = task->created();
    context.future = task->future_;
    loop_->run_callback([&] { loop_->call_exception_handler(context); });
    task->destroy_coroutine();
    // One is left if it was entered in a generator that somebody else has.
    while (task->groups_) task->groups_->exit();
    task->future_->release();
  }
}

}  // namespace ferry
