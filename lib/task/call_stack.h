#pragma once

#include <ferry/call_graph.h>
#include <ferry/task_core.h>

#include <vector>

namespace ferry {

/// The coroutines of a task from the innermost out; one that has not begun stands where the task
/// was created. Empty if it is done. `innermost` is where that one is if the task runs right now.
std::vector<CallGraphEntry> call_stack(const TaskCore& task,
                                       SourceLocation innermost = SourceLocation());
/// None of its coroutines has begun.
bool is_unbegun(const TaskCore& task) noexcept;

}  // namespace ferry
