#include <ferry/task_factory.h>

#include "task_list.h"

#include <utility>

namespace ferry {

void set_task_factory(EventLoop& loop, TaskFactory factory) {
  std::shared_ptr<TaskFactory>& place = TaskList::of(loop).factory();
  place = factory ? std::make_shared<TaskFactory>(std::move(factory)) : nullptr;
}

bool has_task_factory(EventLoop& loop) {
  return !loop.is_closed() && TaskList::of(loop).factory() != nullptr;
}

void eager_task_factory(TaskCore&, TaskOptions& options) {
  options.eager = true;
}

}  // namespace ferry
