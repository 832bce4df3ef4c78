#include <ferry/stall_watch.h>

#include "task_list.h"

#include <ferry/log.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>

namespace ferry {

/// What the watch's thread, the loop's and the owner have in common.
struct StallWatch::State {
  State(Mailbox box, Duration most, Function<void(std::string_view)> to,
        std::shared_ptr<RunningStep> running)
      : mailbox(std::move(box)), limit(most), sink(std::move(to)), step(std::move(running)) {}

  /// Answered when it is read, or dropped because the loop closes.
  struct Letter {
    std::shared_ptr<State> state;
    explicit Letter(std::shared_ptr<State> of) noexcept : state(std::move(of)) {}
    Letter(const Letter&) = delete;
    Letter& operator=(const Letter&) = delete;
    ~Letter() {
      const std::lock_guard lock(state->mutex);
      state->answered = true;
      state->changed.notify_all();
    }
  };

  void watch(const std::shared_ptr<State>& self);
  std::string report() const;

  Mailbox mailbox;
  Duration limit;
  Function<void(std::string_view)> sink;
  std::shared_ptr<RunningStep> step;
  std::mutex mutex;
  std::condition_variable changed;
  bool answered = false;
  bool ended = false;
};

std::string StallWatch::State::report() const {
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(limit).count();
  std::string text = "the loop has not come round for ";
  text += std::to_string(milliseconds);
  text += " ms";
  const std::lock_guard lock(step->mutex);
  if (!step->text.empty()) text.append(": ").append(step->text);
  return text;
}

void StallWatch::State::watch(const std::shared_ptr<State>& self) {
  std::unique_lock lock(mutex);
  while (!ended) {
    answered = false;
    lock.unlock();
    const bool posted = mailbox.post([letter = std::make_unique<Letter>(self)] {});
    lock.lock();
    if (!posted) return;  // the loop is closed
    const auto over = [this] { return answered || ended; };
    if (!changed.wait_for(lock, limit, over)) {
      lock.unlock();
      sink(report());
      lock.lock();
      changed.wait(lock, over);
      if (ended) return;
      lock.unlock();
      sink("the loop goes on");
      lock.lock();
    }
    changed.wait_for(lock, limit / 2, [this] { return ended; });
  }
}

StallWatch::StallWatch(EventLoop& loop, Duration limit, Function<void(std::string_view)> sink)
    : thread_({.threads = 1, .name = "stall-watch"}) {
  if (limit <= Duration::zero()) throw std::invalid_argument("StallWatch: no time at all");
  if (!sink) {
    sink = [log = stderr_log_sink()](std::string_view line) mutable {
      log(LogLevel::warning, line);
    };
  }
  state_ = std::make_shared<State>(loop.mailbox(), limit, std::move(sink),
                                   TaskList::of(loop).running_step());
  thread_.submit([state = state_] { state->watch(state); });
}

StallWatch::~StallWatch() {
  const std::lock_guard lock(state_->mutex);
  state_->ended = true;
  state_->changed.notify_all();
}

}  // namespace ferry
