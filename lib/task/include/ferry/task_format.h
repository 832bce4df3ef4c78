#pragma once

#include <ferry/barrier.h>
#include <ferry/condition.h>
#include <ferry/event.h>
#include <ferry/lock.h>
#include <ferry/queue.h>
#include <ferry/semaphore.h>
#include <ferry/task.h>
#include <ferry/task_group.h>
#include <ferry/timeout.h>

#include <concepts>
#include <ostream>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>

// How things look in a log, in the words of asyncio's repr: `<Lock [locked, waiters:2]>`,
// `<Task pending name='reader' coro=<read at proxy.cpp:12> wait_for=<Future pending>>`.
// Not part of ferry/async.h: few need it, and <sstream> takes its time to compile.

namespace ferry {

/// A future of whatever type, without its value; a task as a task. Does not count as retrieving an
/// exception.
std::string to_string(const FutureState& future);
std::string to_string(const TaskCore& task);
std::string to_string(const AnyFuture& future);
std::string to_string(const Lock& lock);
std::string to_string(const Event& event);
std::string to_string(const Condition& condition);
std::string to_string(const Semaphore& semaphore);
std::string to_string(const Barrier& barrier);
std::string to_string(const TaskGroup& group);
std::string to_string(const Timeout& timeout);

namespace detail {

std::string queue_text(std::string_view kind, const QueueBase& queue, std::size_t size);
/// `text` with the value in it, before the last bracket.
std::string with_result(std::string text, std::string_view result);

template <class T>
concept Printable = requires(std::ostream& out, const T& value) {
  out << value;
};

}  // namespace detail

/// With its value, if that can be printed: `<Future finished result=3>`.
template <class T>
std::string to_string(const Future<T>& future) {
  if (!future.valid()) return "<Future: none>";
  std::string text = to_string(static_cast<const FutureState&>(*future.state()));
  if constexpr (!std::is_void_v<T> && detail::Printable<T>) {
    if (future.done() && !future.cancelled() && !future.state()->failed()) {
      std::ostringstream value;
      value << future.result();
      return detail::with_result(std::move(text), value.str());
    }
  }
  return text;
}
template <class T>
std::string to_string(const Task<T>& task) {
  return to_string(static_cast<const Future<T>&>(task));
}

template <class T, class Items>
std::string to_string(const Queue<T, Items>& queue) {
  std::string_view kind = "Queue";
  if constexpr (std::same_as<Items, LifoItems<T>>) kind = "LifoQueue";
  if constexpr (std::same_as<Items, PriorityItems<T>>) kind = "PriorityQueue";
  return detail::queue_text(kind, queue, queue.qsize());
}

/// What the operator below prints.
template <class X>
concept TaskPrintable = is_future_v<X> || std::same_as<X, AnyFuture> || std::same_as<X, TaskCore> ||
    std::same_as<X, Lock> || std::same_as<X, Event> || std::same_as<X, Condition> ||
    std::derived_from<X, Semaphore> || std::same_as<X, Barrier> || std::same_as<X, TaskGroup> ||
    std::same_as<X, Timeout> || std::derived_from<X, QueueBase>;

template <TaskPrintable X>
std::ostream& operator<<(std::ostream& out, const X& object) {
  return out << to_string(object);
}

}  // namespace ferry
