#pragma once

#include <ferry/event_loop.h>
#include <ferry/executor.h>

#include <memory>
#include <string_view>

namespace ferry {

/// Tells, while it lasts, that a loop has not come round for `limit`: somebody blocks it. A thread
/// of its own sends the loop a word now and then and waits for the answer; so a loop that does not
/// run, or whose process was stopped, is reported as well. One report a stall, and one when it is
/// over.
///
///     EventLoop loop({.debug = true});
///     StallWatch watch(loop, 2s);
///
/// In debug mode the report names the task that is at work and where its step began: "the loop has
/// not come round for 2 s: task 'Task-7' from server.cpp:31 (serve)". What a callback does too
/// slowly without stalling is EventLoop::set_slow_callback_duration's.
class StallWatch {
 public:
  /// `sink` is called on the watch's thread; without one, stderr_log_sink is. Throws
  /// std::invalid_argument unless `limit` is positive, std::system_error without a thread.
  StallWatch(EventLoop& loop, Duration limit, Function<void(std::string_view)> sink = nullptr);
  StallWatch(const StallWatch&) = delete;
  StallWatch& operator=(const StallWatch&) = delete;
  /// Ends the watch; may come after the loop's end.
  ~StallWatch();

 private:
  struct State;
  std::shared_ptr<State> state_;
  ThreadPool thread_;
};

}  // namespace ferry
