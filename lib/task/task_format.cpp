#include <ferry/task_format.h>

#include "call_stack.h"
#include "source_text.h"

#include <vector>

namespace ferry {
namespace {

std::string with_waiters(std::string text, std::size_t waiters) {
  if (waiters > 0) text.append(", waiters:").append(std::to_string(waiters));
  return text;
}

std::string bracketed(std::string_view kind, const std::string& state) {
  std::string text = "<";
  text.append(kind).append(" [").append(state).append("]>");
  return text;
}

std::string status_word(const FutureState& future) {
  switch (future.status()) {
    case FutureState::Status::pending:
      return "pending";
    case FutureState::Status::cancelled:
      return "cancelled";
    case FutureState::Status::finished:
      break;
  }
  return future.failed() ? "finished exception" : "finished";
}

}  // namespace

std::string to_string(const FutureState& future) {
  if (const auto* const task = dynamic_cast<const TaskCore*>(&future)) return to_string(*task);
  std::string text = "<Future ";
  return text.append(status_word(future)).append(">");
}

std::string to_string(const TaskCore& task) {
  const FutureState& future = task.future();
  const bool cancelling = !future.done() && task.cancelling() > 0;
  std::string text = "<Task ";
  text += cancelling ? "cancelling" : status_word(future);
  text += " name='";
  text.append(task.name()).append("'");
  if (const std::vector<CallGraphEntry> stack = call_stack(task); !stack.empty()) {
    text.append(" coro=<").append(place_text(stack.back().where)).append(">");
  }
  if (const Suspension* const wait = task.waiting_for()) {
    text += " wait_for=<";
    if (FutureState* const awaited = wait->awaited()) {
      const auto* const other = dynamic_cast<const TaskCore*>(awaited);
      text += other ? "Task " : "Future ";
      text += status_word(*awaited);
      if (other) text.append(" name='").append(other->name()).append("'");
    } else {
      text += wait->what();
    }
    text += ">";
  }
  return text.append(">");
}

std::string to_string(const AnyFuture& future) {
  return future.valid() ? to_string(static_cast<const FutureState&>(*future.state()))
                        : std::string("<Future: none>");
}

std::string to_string(const Lock& lock) {
  return bracketed("Lock", with_waiters(lock.locked() ? "locked" : "unlocked", lock.n_waiting()));
}

std::string to_string(const Event& event) {
  return bracketed("Event", with_waiters(event.is_set() ? "set" : "unset", event.n_waiting()));
}

std::string to_string(const Condition& condition) {
  return bracketed("Condition",
                   with_waiters(condition.locked() ? "locked" : "unlocked", condition.n_waiting()));
}

std::string to_string(const Semaphore& semaphore) {
  const std::string state =
      semaphore.locked()
          ? std::string("locked")
          : std::string("unlocked, value:").append(std::to_string(semaphore.value()));
  const bool bounded = dynamic_cast<const BoundedSemaphore*>(&semaphore) != nullptr;
  return bracketed(bounded ? "BoundedSemaphore" : "Semaphore",
                   with_waiters(state, semaphore.n_waiting()));
}

std::string to_string(const Barrier& barrier) {
  std::string state(barrier.state());
  if (!barrier.broken()) {
    state.append(", waiters:").append(std::to_string(barrier.n_waiting()));
    state.append("/").append(std::to_string(barrier.parties()));
  }
  return bracketed("Barrier", state);
}

std::string to_string(const TaskGroup& group) {
  std::string text = "<TaskGroup";
  if (group.size() > 0) text.append(" tasks=").append(std::to_string(group.size()));
  if (group.n_errors() > 0) text.append(" errors=").append(std::to_string(group.n_errors()));
  if (group.cancelling()) {
    text += " cancelling";
  } else if (group.entered()) {
    text += " entered";
  }
  return text.append(">");
}

std::string to_string(const Timeout& timeout) {
  std::string text = "<Timeout [";
  text.append(timeout.state()).append("]");
  if (timeout.state() == "active") {
    text += " when=";
    const std::optional<TimePoint> when = timeout.when();
    text += when ? std::to_string(std::chrono::duration<double>(when->time_since_epoch()).count())
                 : std::string("none");
  }
  return text.append(">");
}

std::string detail::queue_text(std::string_view kind, const QueueBase& queue, std::size_t size) {
  std::string text = "<";
  text.append(kind).append(" maxsize=").append(std::to_string(queue.maxsize()));
  text.append(" size=").append(std::to_string(size));
  if (const std::size_t n = queue.n_getting(); n > 0)
    text.append(" getters[").append(std::to_string(n)).append("]");
  if (const std::size_t n = queue.n_putting(); n > 0)
    text.append(" putters[").append(std::to_string(n)).append("]");
  if (const std::size_t n = queue.unfinished_tasks(); n > 0)
    text.append(" tasks=").append(std::to_string(n));
  if (queue.is_shutdown()) text += " shutdown";
  return text.append(">");
}

std::string detail::with_result(std::string text, std::string_view result) {
  std::string addition = " result=";
  addition += result;
  return text.insert(text.size() - 1, addition);
}

}  // namespace ferry
