#pragma once

#include <ferry/task.h>

namespace ferry {

/// Has a say in each task of a loop before it begins: it may change the options (run it eagerly,
/// give it a name or a context) and take note of the task. What it throws comes out of create_task,
/// and the coroutine is destroyed.
using TaskFactory = Function<void(TaskCore& task, TaskOptions& options)>;

/// Asked from now on for every task of the loop, whoever makes it: create_task, gather, TaskGroup.
/// Null restores the default. (asyncio's makes the task itself, which types do not allow here.)
/// https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.set_task_factory
void set_task_factory(EventLoop& loop, TaskFactory factory);
bool has_task_factory(EventLoop& loop);

/// A task factory: all tasks are eager, as far as the loop runs.
/// https://docs.python.org/3/library/asyncio-task.html#asyncio.eager_task_factory
void eager_task_factory(TaskCore& task, TaskOptions& options);

}  // namespace ferry
