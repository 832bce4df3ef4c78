#include <ferry/call_graph.h>

#include "await_graph.h"
#include "call_stack.h"
#include "source_text.h"
#include "task_list.h"

#include <algorithm>
#include <sstream>
#include <stdexcept>
#include <unordered_set>
#include <utility>

namespace ferry {
namespace {

/// Steps from the future asked about: the graph is nested, and so is what walks it.
constexpr int kMostSteps = 500;

class Capture {
 public:
  Capture(EventLoop& loop, const CallGraphOptions& options, SourceLocation where)
      : awaits_(loop), options_(options), where_(where) {}

  FutureCallGraph graph_of(FutureState& future, int steps = 0) {
    FutureCallGraph graph;
    graph.future = AnyFuture(&future);
    if (const TaskCore* const task = AwaitGraph::task_of(future)) {
      graph.name = task->name();
      graph.call_stack = stack_of(*task, steps == 0);
    }
    const std::vector<FutureState*>& waiters = awaits_.awaited_by(future);
    if (waiters.empty()) return graph;
    if (!seen_.insert(&future).second || steps == kMostSteps) {
      graph.cut = true;
      return graph;
    }
    for (FutureState* waiter : waiters) graph.awaited_by.push_back(graph_of(*waiter, steps + 1));
    return graph;
  }

 private:
  std::vector<CallGraphEntry> stack_of(const TaskCore& task, bool first) const {
    if (options_.limit == 0) return {};
    const bool runs = &task == TaskCore::current();
    std::vector<CallGraphEntry> stack = call_stack(task, runs ? where_ : SourceLocation());
    if (first && runs && options_.depth > 1) {
      const std::size_t skipped = std::min(options_.depth - 1, stack.size());
      stack.erase(stack.begin(), stack.begin() + static_cast<std::ptrdiff_t>(skipped));
    }
    if (!options_.limit) return stack;
    const auto size = static_cast<std::ptrdiff_t>(stack.size());
    const std::ptrdiff_t limit = *options_.limit;
    if (limit > 0 && limit < size) stack.erase(stack.begin() + limit, stack.end());
    if (limit < 0 && size + limit > 0) stack.erase(stack.begin(), stack.end() + limit);
    return stack;
  }

  const AwaitGraph awaits_;
  const CallGraphOptions options_;
  const SourceLocation where_;
  std::unordered_set<const FutureState*> seen_;
};

void format(const FutureCallGraph& graph, std::size_t level, std::ostringstream& out) {
  const std::string indent(level * 4, ' ');
  out << indent << (graph.name.empty() ? "* Future(" : "* Task(name='" + graph.name + "', ")
      << "id=" << static_cast<const void*>(graph.future.state()) << ")\n";
  if (!graph.call_stack.empty()) {
    out << indent << "  + Call stack:\n";
    for (const CallGraphEntry& entry : graph.call_stack) {
      out << indent << "  |   File '" << entry.where.file_name() << "', line " << entry.where.line()
          << ", in async " << entry.function() << "()\n";
    }
  }
  if (graph.cut) out << indent << "  + Awaited by: (not shown here)\n";
  if (graph.awaited_by.empty()) return;
  out << indent << "  + Awaited by:\n";
  for (const FutureCallGraph& waiter : graph.awaited_by) format(waiter, level + 1, out);
}

/// Null if nothing can be said of the two.
TaskList* list_of(const AnyFuture& future, const AnyFuture& waiter) {
  if (!future.valid() || !waiter.valid()) return nullptr;
  EventLoop* const loop = future.state()->loop();
  if (!loop || loop->is_closed() || waiter.state()->loop() != loop) return nullptr;
  return &TaskList::of(*loop);
}

}  // namespace

std::vector<CallGraphEntry> call_stack(const TaskCore& task, SourceLocation innermost) {
  std::vector<CallGraphEntry> stack;
  for (const CoroPromiseBase* each = task.coroutine(); each; each = each->awaits()) {
    const bool begun = each->where().line() > 0;
    stack.push_back({begun ? each->where() : task.created()});
  }
  std::reverse(stack.begin(), stack.end());
  if (!stack.empty() && innermost.line() > 0) stack.front().where = innermost;
  return stack;
}

bool is_unbegun(const TaskCore& task) noexcept {
  const CoroPromiseBase* const first = task.coroutine();
  return first && first->where().line() == 0;
}

std::string CallGraphEntry::function() const {
  return std::string(function_name(where));
}

std::optional<FutureCallGraph> capture_call_graph(const CallGraphOptions& options,
                                                  SourceLocation where) {
  EventLoop& loop = get_running_loop();
  const TaskCore* const task = TaskCore::current();
  if (!task) return std::nullopt;
  return Capture(loop, options, where).graph_of(task->future());
}

FutureCallGraph capture_call_graph(const AnyFuture& future, const CallGraphOptions& options,
                                   SourceLocation where) {
  if (!future.valid()) throw std::invalid_argument("capture_call_graph: no future");
  EventLoop* const loop = future.state()->loop();
  if (!loop) {
    FutureCallGraph alone;  // the loop is gone, and its tasks
    alone.future = future;
    return alone;
  }
  return Capture(*loop, options, where).graph_of(*future.state());
}

std::string format_call_graph(const FutureCallGraph& graph) {
  std::ostringstream out;
  format(graph, 0, out);
  return out.str();
}

std::string format_call_graph(const std::optional<FutureCallGraph>& graph) {
  return graph ? format_call_graph(*graph) : std::string();
}

void print_call_graph(std::FILE* file, const CallGraphOptions& options, SourceLocation where) {
  std::fputs(format_call_graph(capture_call_graph(options, where)).c_str(), file);
}

void print_call_graph(std::FILE* file, const AnyFuture& future, const CallGraphOptions& options,
                      SourceLocation where) {
  std::fputs(format_call_graph(capture_call_graph(future, options, where)).c_str(), file);
}

void future_add_to_awaited_by(const AnyFuture& future, const AnyFuture& waiter) {
  if (TaskList* const list = list_of(future, waiter)) list->add_link({future, waiter});
}

void future_discard_from_awaited_by(const AnyFuture& future, const AnyFuture& waiter) {
  if (TaskList* const list = list_of(future, waiter)) list->drop_link({future, waiter});
}

}  // namespace ferry
