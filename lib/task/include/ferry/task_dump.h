#pragma once

#include <ferry/event_loop.h>
#include <ferry/function.h>

#include <string>
#include <string_view>

namespace ferry {

/// All tasks of the loop that are not done, as a tree of who waits for whom, for a person to read:
/// those that nobody awaits at the left, below each what it waits for. Each with its name, what it
/// waits for, and its coroutines from the outermost in, with the places of their co_await. Lines
/// end in newlines. From the loop's thread. (python -m asyncio pstree)
std::string dump_tasks(EventLoop& loop);
/// The same as a table, one line a task in the order of creation, with who awaits it.
/// (python -m asyncio ps)
std::string dump_task_table(EventLoop& loop);

/// From now on the signal makes a dump of the tasks: `kill -USR1 pid`. It is given to `sink` as a
/// whole; without one, line by line to the loop's log, as warnings. It comes from the loop, between
/// callbacks: a callback that hangs is seen by a debugger only. `loop.remove_signal_handler`
/// ends it. Throws as `add_signal_handler`.
void dump_tasks_on_signal(EventLoop& loop, int signal_number,
                          Function<void(std::string_view)> sink = nullptr);

}  // namespace ferry
