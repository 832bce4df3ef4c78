#pragma once

#include "counting_new.h"

#include <ferry/async.h>
#include <ferry/testing/trial.h>

#include <string_view>
#include <vector>

namespace ferry::test {

template <class T>
const TaskCore& core_of(const Task<T>& task) {
  return *static_cast<const TaskCell<T>*>(task.state());
}

/// What the task waits for, in a word ("lock", "stream read"): empty if it is done, or about to go
/// on.
template <class T>
std::string_view waits_for(const Task<T>& task) {
  const Suspension* waiting = task.done() ? nullptr : core_of(task).waiting_for();
  return waiting ? waiting->what() : std::string_view();
}

/// Trial::reached: a task is cancelled while it waits for that.
void note_cancel(testing::Trial& trial, std::string_view waiting);
/// A task is cancelled that waited for that, and is woken but does not run yet.
void note_cancel_of_woken(testing::Trial& trial, std::string_view waited);

/// Cancels it, and notes where it is. False if it is done.
template <class T>
bool cancel_noting(testing::Trial& trial, const Task<T>& task) {
  if (task.done()) return false;
  note_cancel(trial, waits_for(task));
  return task.cancel();
}

/// Does `wake`, and cancels the first of the tasks that this has woken, before it runs.
template <class T, class F>
bool cancel_woken_by(testing::Trial& trial, const std::vector<Task<T>>& tasks, F wake) {
  std::vector<std::string_view> before;
  exempt([&] {  // it may be a destructor that does this
    for (const Task<T>& task : tasks) before.push_back(waits_for(task));
  });
  wake();
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    if (before[i].empty() || tasks[i].done() || !waits_for(tasks[i]).empty()) continue;
    exempt([&] { note_cancel_of_woken(trial, before[i]); });
    tasks[i].cancel();
    return true;
  }
  return false;
}

}  // namespace ferry::test
