#pragma once

#include <ferry/any_future.h>
#include <ferry/source_location.h>

#include <cstddef>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

namespace ferry {

/// One coroutine of a task: where it waits, or, the innermost of the task that runs, where it is.
struct CallGraphEntry {
  SourceLocation where;
  /// "handle", without arguments. Empty if the compiler does not say.
  std::string function() const;
};

/// What waits for whom, seen from one future or task: its coroutines, and who awaits it.
/// https://docs.python.org/3/library/asyncio-graph.html#asyncio.FutureCallGraph
struct FutureCallGraph {
  AnyFuture future;
  /// The task's; empty if it is no task.
  std::string name;
  /// Its coroutines, from the innermost, which waits or runs, out. Empty for a plain future.
  std::vector<CallGraphEntry> call_stack;
  /// The tasks that wait for it, in the order of their creation: by co_await, and in gather,
  /// shield, wait, as_completed or a TaskGroup; none of those stands in between.
  std::vector<FutureCallGraph> awaited_by;
  /// Those that wait for it are left out: they stand elsewhere in the graph, where it was reached
  /// by another way (or tasks wait for each other in a circle); or they are too many steps away.
  bool cut = false;
};

struct CallGraphOptions {
  /// Coroutines of the running task to leave out, from the innermost, less one.
  std::size_t depth = 1;
  /// Of each call stack: positive, so many of the innermost; negative, of the outermost; 0, none.
  std::optional<std::ptrdiff_t> limit{};
};

/// Of the task that runs; none if none does. Throws std::logic_error if no loop runs. It takes time
/// in proportion to the number of all tasks of the loop, and nothing when it is not called.
std::optional<FutureCallGraph> capture_call_graph(
    const CallGraphOptions& options = CallGraphOptions(),
    SourceLocation where = SourceLocation::current());
/// Of a future or task, from the thread of its loop, which need not run. Throws
/// std::invalid_argument for none.
FutureCallGraph capture_call_graph(const AnyFuture& future,
                                   const CallGraphOptions& options = CallGraphOptions(),
                                   SourceLocation where = SourceLocation::current());

/// As text of some lines, in asyncio's layout; "" for none.
std::string format_call_graph(const FutureCallGraph& graph);
std::string format_call_graph(const std::optional<FutureCallGraph>& graph);
/// Captures the graph of the task that runs and writes it to `file`; nothing if none does.
void print_call_graph(std::FILE* file, const CallGraphOptions& options = CallGraphOptions(),
                      SourceLocation where = SourceLocation::current());
void print_call_graph(std::FILE* file, const AnyFuture& future,
                      const CallGraphOptions& options = CallGraphOptions(),
                      SourceLocation where = SourceLocation::current());

/// For libraries with waits of their own, which are neither a co_await nor made of the functions
/// above: from now on `future` counts as awaited by `waiter`, until it is done or this is taken
/// back. Both must be of one loop; else, and once the loop is closed, nothing happens.
void future_add_to_awaited_by(const AnyFuture& future, const AnyFuture& waiter);
void future_discard_from_awaited_by(const AnyFuture& future, const AnyFuture& waiter);

}  // namespace ferry
