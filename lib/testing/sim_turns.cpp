#include "sim_turns.h"

#include "sim_watch.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>

namespace ferry::testing {

/// What a call is in the log. Drains are not in it: other threads may have asked for them.
enum Noted : std::uint64_t { kReadable = 1, kWritable, kTimer };

void sim_fatal(const char* what, int fd) {
  std::fprintf(stderr, "ferry::testing::SimKernel: %s (descriptor %d)\n", what, fd);
  std::abort();
}

SimTurns::~SimTurns() {
  for (SimWatch* watch : listed_) watch->let_go();
  for (const Event& event : queue_) {
    if (event.watch) event.watch->let_go();
  }
}

void SimTurns::advance(Duration time) {
  now_ += std::max(time, Duration::zero());
}

Duration SimTurns::draw(Duration least, Duration most) {
  if (most <= least) return least;
  const auto span = static_cast<std::size_t>((most - least).count());
  return least + Duration(static_cast<Duration::rep>(lots_.choose(span + 1)));
}

void SimTurns::push(Event event) {
  if (event.watch) event.watch->hold();
  queue_.push_back(event);
  ++queued_;
}

void SimTurns::list(SimWatch& watch) {
  if (watch.listed) return;
  watch.listed = true;
  watch.hold();
  listed_.push_back(&watch);
}

void SimTurns::request_drain() {
  if (!std::exchange(drain_queued_, true)) push({.kind = Kind::drain});
}

void SimTurns::stop() {
  if (!stop_at_) stop_at_ = queued_;
}

void SimTurns::run() {
  if (running_) sim_fatal("run was called inside run", -1);
  // However it is left, by LoopExit too, a stop of this run is none of the next one.
  struct Running {
    SimTurns& turns;
    explicit Running(SimTurns& t) : turns(t) { turns.running_ = true; }
    ~Running() {
      turns.running_ = false;
      turns.stop_at_.reset();
    }
  } running(*this);
  bool stopped_before = stop_at_.has_value();
  for (;;) {
    if (hook_) hook_();
    look(queue_.empty() && !stop_at_);
    // A run that was stopped before it began is one turn that does not wait: with its events.
    if (std::exchange(stopped_before, false)) stop_at_ = queued_;
    const std::uint64_t turn_end = queued_;
    while (delivered_ < turn_end && !stop_reached()) deliver_next();
    if (stop_reached()) return;
  }
}

void SimTurns::look(bool may_wait) {
  ++turn_count_;
  now_ += turn_cost_;
  const std::uint64_t before = queued_;
  bool asked = false;
  for (;;) {
    if (settle_) next_arrival_ = settle_();
    queue_ready();
    // What settled may have stopped the run.
    if (queued_ != before || !may_wait || stop_at_) return;
    wait_or_jump(asked);
  }
}

void SimTurns::queue_ready() {
  if (chooser_) return queue_by_choice();
  // Only what is listed now: an edge that a listener causes belongs to the next turn.
  for (std::size_t n = listed_.size(); n > 0; --n) {
    SimWatch& watch = *listed_.front();
    listed_.pop_front();
    watch.listed = false;
    // Asio's order: what can be written is reported first.
    if (watch.take_edge(Direction::write)) push({.kind = Kind::writable, .watch = &watch});
    if (watch.take_edge(Direction::read)) {
      push({.kind = Kind::readable, .drain = watch.drain_pending(), .watch = &watch});
    }
    watch.let_go();
  }
  if (timer_ && now_ >= *timer_ && !std::exchange(timer_queued_, true)) {
    push({.kind = Kind::timer});
  }
  queue_signals();
  take_wake();
}

void SimTurns::queue_signals() {
  std::vector<int> signals;
  {
    const std::lock_guard lock(outside_->mutex);
    signals.swap(outside_->signals);
  }
  for (const int number : signals) push({.kind = Kind::signal, .signal_number = number});
}

void SimTurns::take_wake() {
  bool woken = false;
  {
    const std::lock_guard lock(outside_->mutex);
    woken = std::exchange(outside_->woken, false);
  }
  if (woken) request_drain();
}

void SimTurns::wait_or_jump(bool& asked) {
  const auto something = [this] { return outside_->any(); };
  if (next_arrival_ <= now_) return;  // it comes piece by piece, each in a look of its own
  // An arrival waits for nobody: it is no time limit that busy threads could miss.
  const bool arrival = next_arrival_ != TimePoint::max() && (!timer_ || next_arrival_ < *timer_);
  if (!timer_ && !arrival && stuck_ && !asked && !outside_->pending()) {
    asked = true;
    if (!stuck_()) stop();
    return;
  }
  const Duration patience = patience_ && timer_ && !arrival ? patience_() : Duration::zero();
  {
    std::unique_lock lock(outside_->mutex);
    if (!timer_ && !arrival) return outside_->changed.wait(lock, something);
    // Not to wait at all would be a system call, too.
    if (patience > Duration::zero() ? outside_->changed.wait_for(lock, patience, something)
                                    : something()) {
      return;
    }
  }
  now_ = std::max(now_, arrival ? next_arrival_ : *timer_);
  ++jump_count_;
}

void SimTurns::deliver_next() {
  const Event event = queue_.front();
  queue_.pop_front();
  ++delivered_;
  switch (event.kind) {
    case Kind::readable:
    case Kind::writable: {
      const bool read = event.kind == Kind::readable;
      SimWatch& watch = *event.watch;
      const bool wanted = watch.take_call(read ? Direction::read : Direction::write);
      FdWatch::Listener& listener = watch.listener();
      if (wanted) note(read ? kReadable : kWritable, static_cast<std::uint64_t>(watch.fd()));
      watch.let_go();
      if (!wanted) return;
      if (read) {
        listener.on_readable({.drain = event.drain});
      } else {
        listener.on_writable();
      }
      return;
    }
    case Kind::timer:
      timer_queued_ = false;
      // It may have been set anew since it came due.
      if (!timer_ || now_ < *timer_) return;
      timer_.reset();
      note(kTimer);
      return client_->on_timer();
    case Kind::signal: {
      {
        const std::lock_guard lock(outside_->mutex);
        if (!outside_->watched_signals.contains(event.signal_number)) return;
      }
      return client_->on_signal(event.signal_number);
    }
    case Kind::drain:
      drain_queued_ = false;
      return client_->on_drain();
  }
}

void SimTurns::wake() noexcept {
  const std::lock_guard lock(outside_->mutex);
  outside_->woken = true;
  outside_->changed.notify_one();
}

void SimTurns::after_fork_in_child() {
  // Another thread of the parent's may have held the lock: its copy here would never be released.
  auto fresh = std::make_unique<Outside>();
  fresh->watched_signals = outside_->watched_signals;
  static_cast<void>(outside_.release());
  outside_ = std::move(fresh);
}

bool SimTurns::raise_signal(int signal_number) {
  const std::lock_guard lock(outside_->mutex);
  if (!outside_->watched_signals.contains(signal_number)) return false;
  outside_->signals.push_back(signal_number);
  outside_->changed.notify_one();
  return true;
}

std::error_code SimTurns::watch_signal(int signal_number) {
  if (signal_number < 1 || signal_number >= NSIG || signal_number == SIGKILL ||
      signal_number == SIGSTOP) {
    return {EINVAL, std::system_category()};
  }
  const std::lock_guard lock(outside_->mutex);
  outside_->watched_signals.insert(signal_number);
  return {};
}

std::error_code SimTurns::unwatch_signal(int signal_number) {
  const std::lock_guard lock(outside_->mutex);
  outside_->watched_signals.erase(signal_number);
  return {};
}

}  // namespace ferry::testing
