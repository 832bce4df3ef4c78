#pragma once

#include "executor_state.h"
#include "fd_callbacks.h"
#include "mailbox_state.h"
#include "timer_queue.h"

#include <ferry/event_loop.h>
#include <ferry/pipe_pool.h>

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

namespace ferry {

/// Callbacks run before I/O and timers get their turn (a prime, as tokio's: it beats no pattern).
inline constexpr std::size_t kCallbacksPerTurn = 61;

/// Everything an EventLoop keeps.
struct LoopState {
  TimerQueue timers;
  TimePoint timer_armed = TimePoint::max();  // what the kernel's timer is set to
  std::uint64_t batch_end = 0;  // the last callback of the batch under way, as the queue counts

  bool running = false;
  bool shared = false;    // Kernel::shared
  bool visiting = false;  // running, but not by run_forever
  bool closing = false;
  bool stopping = false;
  bool draining = false;     // a batch is under way, one of its callbacks on the stack
  bool stop_issued = false;  // the kernel has been told
  bool overdue = false;      // see EventLoop::note_overdue
  std::thread::id thread;    // the one that runs the loop
  unsigned fork_generation = 0;

  std::shared_ptr<MailboxState> mailbox = std::make_shared<MailboxState>();
  std::vector<MailboxState::Letter> mail;   // taken out of it, and not in the ready queue yet
  ReservedLetter* reserved_mail = nullptr;  // as well
  FdCallbacks descriptors;
  PipePool pipes;
  std::vector<bool> claimed;  // by descriptor: a transport's
  std::map<int, std::shared_ptr<Function<void()>>> signals;
  std::optional<LoopExit> overdue_exit;  // for which there was no memory
  std::uint64_t overdue_signals = 0;     // a bit each: for their callbacks there was no memory
  ExecutorState executors;
  std::shared_ptr<Resolver> resolver;

  LoopResource* resources = nullptr;
  FutureState* futures = nullptr;
  std::size_t resource_counts[4] = {};
  std::size_t future_count = 0;
  std::uint64_t turns = 0;

  // Shared, so that a handler may replace itself while it runs.
  std::shared_ptr<ExceptionHandler> exception_handler;
  LogSink log_sink;
  Duration slow_callback = std::chrono::milliseconds(100);
  bool slow_reported = false;  // of the callback that runs

  explicit LoopState(EventLoop& loop) : descriptors(loop), pipes(loop.kernel()) {}

  bool mail_left() const noexcept { return !mail.empty() || reserved_mail; }
  bool closed() const noexcept { return mailbox->needs(MailboxState::closed); }
  bool debug() const noexcept { return mailbox->needs(MailboxState::debug); }
};

/// Whoever runs a shared kernel would wait for its timer: it is taken back when no timer is left.
inline void take_back_timer(EventLoop& loop, LoopState& s) {
  // In this order: the timers are at hand, the rest is another cache line.
  if (s.timers.size() > 0 || !s.shared || s.timer_armed == TimePoint::max()) return;
  s.timer_armed = TimePoint::max();
  loop.kernel().set_timer(TimePoint::max());
}

/// The same after a timer was cancelled; when the loop runs, its run or the visit sees to it.
inline void timer_cancelled(EventLoop& loop, LoopState& s) {
  if (s.timers.size() == 0 && !s.running) take_back_timer(loop, s);
}

/// "This cannot go on": one line to the log sink and to standard error, then abort.
[[noreturn]] void fatal(LoopState* state, std::string_view message) noexcept;

/// Counts fork(2)s in this process's ancestry, to tell a child from its parent.
unsigned fork_generation() noexcept;

}  // namespace ferry
