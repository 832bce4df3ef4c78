#include <ferry/task.h>

#include "task_list.h"

namespace ferry {

TaskCore* current_task() {
  static_cast<void>(get_running_loop());
  return TaskCore::current();
}

std::vector<TaskCore*> all_tasks(EventLoop& loop) {
  return loop.is_closed() ? std::vector<TaskCore*>{} : TaskList::of(loop).all();
}

std::vector<TaskCore*> all_tasks() {
  return all_tasks(get_running_loop());
}

}  // namespace ferry
