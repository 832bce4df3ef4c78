#include <ferry/task_dump.h>

#include "await_graph.h"
#include "call_stack.h"
#include "source_text.h"

#include <ferry/any_future.h>

#include <algorithm>
#include <array>
#include <sstream>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace ferry {
namespace {

/// Deeper ones are not indented further.
constexpr std::size_t kDeepest = 32;

std::string name_of(FutureState& future) {
  const TaskCore* const task = AwaitGraph::task_of(future);
  return task ? task->name() : std::string("a future");
}

/// What it waits for; empty if it does not.
std::string what_it_waits_for(const TaskCore& task) {
  const Suspension* const wait = task.waiting_for();
  if (!wait) return {};
  if (FutureState* const future = wait->awaited()) {
    if (const TaskCore* const other = AwaitGraph::task_of(*future)) return other->name();
    if (const auto* const dependent = dynamic_cast<const DependentFuture*>(future)) {
      return std::string(dependent->what());
    }
  }
  return std::string(wait->what());
}

std::string_view state_of(const TaskCore& task) {
  if (&task == TaskCore::current()) return "running";
  if (task.waiting_for()) return "waiting";
  return is_unbegun(task) ? "not begun" : "ready";
}
std::string_view cancelling_word(const TaskCore& task) {
  return task.cancelling() > 0 ? ", cancelling" : "";
}

std::string place(const CallGraphEntry& entry) {
  return place_text(entry.where);
}

/// Prints each task once, below the first that waits for it.
class Tree {
 public:
  explicit Tree(EventLoop& loop) : graph_(loop) {}

  std::string text() {
    const std::size_t count = graph_.tasks().size();
    out_ << count << (count == 1 ? " task\n" : " tasks\n");
    for (TaskCore* task : graph_.tasks()) {
      if (!is_awaited_by_a_task(*task)) print_from(*task);
    }
    // What is left waits in circles.
    for (TaskCore* task : graph_.tasks()) {
      if (printed_.contains(task)) continue;
      out_ << "in a circle:\n";
      print_from(*task);
    }
    return out_.str();
  }

 private:
  struct Item {
    TaskCore* task;
    std::size_t level;
  };

  bool is_awaited_by_a_task(const TaskCore& task) const {
    const std::vector<FutureState*>& waiters = graph_.awaited_by(task.future());
    return std::any_of(waiters.begin(), waiters.end(),
                       [](FutureState* waiter) { return AwaitGraph::task_of(*waiter) != nullptr; });
  }
  void print_from(TaskCore& root) {
    std::vector<Item> todo{{&root, 0}};
    while (!todo.empty()) {
      const Item item = todo.back();
      todo.pop_back();
      if (!print(item)) continue;
      const std::vector<FutureState*>& awaited = graph_.awaits(item.task->future());
      for (auto each = awaited.rbegin(); each != awaited.rend(); ++each) {
        TaskCore* const other = AwaitGraph::task_of(**each);
        if (other && other->coroutine()) todo.push_back({other, item.level + 1});
      }
    }
  }
  /// False if it has been printed before.
  bool print(const Item& item) {
    const std::string indent(2 * std::min(item.level, kDeepest), ' ');
    out_ << indent << "* " << item.task->name();
    if (!printed_.insert(item.task).second) {
      out_ << " (see above)\n";
      return false;
    }
    out_ << ": " << state_of(*item.task);
    const std::string what = what_it_waits_for(*item.task);
    if (!what.empty()) out_ << " for " << what;
    out_ << cancelling_word(*item.task) << '\n';
    const std::vector<CallGraphEntry> stack = call_stack(*item.task);
    for (auto entry = stack.rbegin(); entry != stack.rend(); ++entry) {
      out_ << indent << "    " << place(*entry) << '\n';
    }
    return true;
  }

  const AwaitGraph graph_;
  std::unordered_set<const TaskCore*> printed_;
  std::ostringstream out_;
};

constexpr std::size_t kColumns = 5;
using Row = std::array<std::string, kColumns>;

std::string joined(const Row& row, const std::array<std::size_t, kColumns>& widths) {
  std::string line;
  for (std::size_t column = 0; column < kColumns; ++column) {
    line += row[column];
    if (column + 1 < kColumns) line.append(widths[column] + 2 - row[column].size(), ' ');
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

}  // namespace

std::string dump_tasks(EventLoop& loop) {
  return Tree(loop).text();
}

std::string dump_task_table(EventLoop& loop) {
  const AwaitGraph graph(loop);
  std::vector<Row> rows{{"TASK", "STATE", "WAITS FOR", "AWAITED BY", "COROUTINES"}};
  for (const TaskCore* task : graph.tasks()) {
    std::string awaited_by;
    for (FutureState* waiter : graph.awaited_by(task->future())) {
      if (!awaited_by.empty()) awaited_by += ", ";
      awaited_by += name_of(*waiter);
    }
    std::string coroutines;
    for (const CallGraphEntry& entry : call_stack(*task)) {
      if (!coroutines.empty()) coroutines += " <- ";
      coroutines += place(entry);
    }
    std::string state(state_of(*task));
    state += cancelling_word(*task);
    rows.push_back({task->name(), std::move(state), what_it_waits_for(*task), std::move(awaited_by),
                    std::move(coroutines)});
  }
  std::array<std::size_t, kColumns> widths{};
  for (const Row& row : rows) {
    for (std::size_t column = 0; column < kColumns; ++column) {
      widths[column] = std::max(widths[column], row[column].size());
    }
  }
  std::string text;
  for (const Row& row : rows) text += joined(row, widths);
  return text;
}

void dump_tasks_on_signal(EventLoop& loop, int signal_number,
                          Function<void(std::string_view)> sink) {
  loop.add_signal_handler(signal_number, [&loop, sink = std::move(sink)]() mutable {
    const std::string text = dump_tasks(loop);
    if (sink) return sink(text);
    std::string_view rest = text;
    while (!rest.empty()) {
      const std::size_t end = rest.find('\n');
      loop.log(LogLevel::warning, rest.substr(0, end));
      rest.remove_prefix(end + 1);
    }
  });
}

}  // namespace ferry
