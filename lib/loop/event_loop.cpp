#include "loop_state.h"

#include <ferry/event_loop.h>
#include <ferry/thread_loop.h>

#include <algorithm>
#include <cstdlib>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>

namespace ferry {

namespace {

/// Which loop this thread runs, and in which process it said so: a forked child runs none.
thread_local EventLoop* t_running = nullptr;
thread_local unsigned t_running_generation = 0;
/// The one of set_event_loop.
thread_local EventLoop* t_set = nullptr;

constexpr Duration kLongestWait = std::chrono::hours(24);

bool debug_from_environment() {
  const char* value = std::getenv("FERRY_DEBUG");
  return value && *value != '\0' && std::string_view(value) != "0";
}

}  // namespace

/// While it exists, this thread runs that loop; on a shared kernel perhaps inside a callback of
/// another one.
class EventLoop::Running {
 public:
  Running(EventLoop& loop, LoopState& s) noexcept
      : s_(s), outer_(t_running), outer_generation_(t_running_generation) {
    s_.running = true;
    s_.thread = std::this_thread::get_id();
    t_running = &loop;
    t_running_generation = fork_generation();
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running() {
    s_.running = false;
    s_.thread = {};
    t_running = outer_;
    t_running_generation = outer_generation_;
  }

 private:
  LoopState& s_;
  EventLoop* outer_;
  unsigned outer_generation_;
};

EventLoop* running_loop() noexcept {
  return t_running_generation == fork_generation() ? t_running : nullptr;
}

EventLoop& get_running_loop() {
  if (EventLoop* loop = running_loop()) return *loop;
  throw std::logic_error("no running event loop");
}

EventLoop& get_event_loop() {
  if (EventLoop* loop = running_loop()) return *loop;
  if (t_set) return *t_set;
  throw std::logic_error("no event loop runs in this thread, and none was set for it");
}

void set_event_loop(EventLoop* loop) noexcept {
  t_set = loop;
}

EventLoop::EventLoop(LoopOptions options) : EventLoop(make_asio_kernel(), options) {}

EventLoop::EventLoop(std::unique_ptr<Kernel> kernel, LoopOptions options)
    : kernel_(std::move(kernel)),
      state_(std::make_unique<LoopState>(*this)),
      attention_(&state_->mailbox->attention) {
  state_->fork_generation = fork_generation();
  state_->mailbox->kernel = kernel_.get();
  state_->shared = kernel_->shared();
  set_debug(options.debug.value_or(debug_from_environment()));
  kernel_->attach(*this);
}

EventLoop::~EventLoop() {
  if (state_->running && running_loop() == this) {
    fatal(state_.get(), "an EventLoop was destroyed from inside one of its own callbacks");
  }
  if (state_->running) fatal(state_.get(), "an EventLoop was destroyed while a thread runs it");
  close();
  while (FutureState* future = state_->futures) future->orphan();
  if (t_set == this) t_set = nullptr;
}

// -- running

void EventLoop::run_forever() {
  LoopState& s = *state_;
  check_usable("run_forever");
  if (s.running) throw std::logic_error("run_forever: this event loop is already running");
  if (running_loop()) {
    throw std::logic_error("run_forever: cannot run while another loop is running in this thread");
  }
  struct Leave {
    EventLoop& loop;
    ~Leave() {
      loop.state_->stopping = loop.state_->stop_issued = false;
      // Who runs a shared kernel next need not be this function.
      const bool left = !loop.ready_.empty() || loop.state_->mail_left();
      if (loop.state_->shared && left) loop.request_drain();
      take_back_timer(loop, *loop.state_);
    }
  } leave{*this};
  const Running running(*this, s);
  s.stop_issued = false;
  collect_mail();
  // A stop before the run: what is ready now is its one batch.
  if (s.stopping) s.batch_end = ready_.pushed();
  if (s.stopping || !ready_.empty() || s.overdue) request_drain();
  kernel_->run();
}

void EventLoop::run_until_done(Function<FutureState::CallbackId(FutureState::Callback)> subscribe,
                               FutureState& state) {
  check_usable("run_until_complete");
  if (state.loop() != this) {
    throw std::invalid_argument("run_until_complete: the future belongs to another event loop");
  }
  if (state_->running || running_loop()) {
    throw std::logic_error("run_until_complete: an event loop is already running in this thread");
  }
  const FutureState::CallbackId id = subscribe([this](FutureState&) { stop(); });
  struct Unsubscribe {
    FutureState& state;
    FutureState::CallbackId id;
    ~Unsubscribe() { state.remove_done_callback(id); }
  } unsubscribe{state, id};
  run_forever();
  if (!state.done()) {
    throw std::logic_error("run_until_complete: event loop stopped before the future completed");
  }
}

void EventLoop::stop() {
  LoopState& s = *state_;
  if (s.closed() || s.stopping) return;
  s.stopping = true;
  if (!s.running && !s.shared) return;
  // What is ready now is the last batch, unless a batch is under way.
  if (!s.draining) s.batch_end = ready_.pushed();
  request_drain();
}

bool EventLoop::is_running() const noexcept {
  return state_->running;
}
bool EventLoop::is_closed() const noexcept {
  return state_->closed();
}

void EventLoop::close() {
  LoopState& s = *state_;
  if (s.running) throw std::logic_error("close: the event loop is running");
  if (s.closing) return;
  s.closing = true;
  if (extension_) extension_->on_loop_close();
  while (LoopResource* resource = s.resources) {
    resource->leave_loop();
    resource->on_loop_close();
  }
  {
    std::vector<MailboxState::Letter> letters;
    ReservedLetter* reserved = nullptr;
    {
      const std::lock_guard lock(s.mailbox->mutex);
      s.mailbox->kernel = nullptr;
      s.mailbox->attention &= ~unsigned{MailboxState::mail};
      letters.swap(s.mailbox->letters);
      reserved = s.mailbox->take_reserved();
    }
    MailboxState::drop(reserved);
  }
  std::vector<MailboxState::Letter>().swap(s.mail);
  MailboxState::drop(std::exchange(s.reserved_mail, nullptr));
  s.descriptors.clear();
  s.pipes.clear();
  while (!s.signals.empty()) remove_signal_handler(s.signals.begin()->first);
  if (s.shared) kernel_->set_timer(TimePoint::max());
  ready_.clear();
  s.timers.clear();
  // Nothing will ever be called, and futures that wait for each other must not keep each other.
  // What the callbacks captured may be other futures: the one this is at is held meanwhile.
  FutureState* future = s.futures;
  if (future) future->retain();
  while (future) {
    {
      const FutureState::Callbacks callbacks = future->take_callbacks();
      const Function<void()> hook = std::exchange(future->cancel_hook_, nullptr);
    }
    if (std::exchange(future->overdue_, false)) future->release();
    FutureState* const next = future->next_;
    if (next) next->retain();
    future->release();
    future = next;
  }
  s.executors = {};
  s.resolver.reset();
  s.mailbox->attention |= MailboxState::closed;
  ready_.clear();
}

// -- callbacks and time

void EventLoop::attend() {
  check_usable("call_soon");
  collect_mail();
}

void EventLoop::request_drain() {
  if (drain_requested_ || !(state_->running || state_->shared)) return;
  drain_requested_ = true;
  kernel_->request_drain();
}

void EventLoop::call_soon_threadsafe(Function<void()> callback, SourceLocation where) {
  if (!callback) throw std::invalid_argument("call_soon_threadsafe: the callback is empty");
  if (!mailbox().post(std::move(callback), where)) {
    throw std::logic_error("call_soon_threadsafe: the event loop is closed");
  }
}

// Saturates, so that Duration::max() means "never" and not "long ago".
TimePoint EventLoop::after(Duration delay) const {
  const TimePoint now = time();
  return delay > TimePoint::max() - now ? TimePoint::max() : now + delay;
}

Function<void()>& EventLoop::prepare_timer(TimePoint when, SourceLocation where,
                                           TimerHandle& handle) {
  LoopState& s = *state_;
  if (s.mailbox->needs(MailboxState::closed | MailboxState::debug))
    check_usable("call_later/call_at");
  TimerNode& node = s.timers.add(when, where);
  arm_timer(when);
  handle = {*this, node, node.ticket, when};
  return node.callback;
}

TimePoint EventLoop::time() const {
  return kernel_->now();
}

/// Makes sure that the kernel's timer fires no later than `when`.
void EventLoop::arm_timer(TimePoint when) {
  LoopState& s = *state_;
  if (when >= s.timer_armed) return;
  const TimePoint at = std::min(when, kernel_->now() + kLongestWait);
  try {
    kernel_->set_timer(at);
    s.timer_armed = at;
  } catch (const std::bad_alloc&) {
    s.timer_armed = TimePoint::max();
    note_overdue();
  }
}

// -- what the kernel calls

void EventLoop::on_drain() {
  LoopState& s = *state_;
  struct Turn {
    EventLoop& loop;
    LoopState& s;
    explicit Turn(EventLoop& l) : loop(l), s(*l.state_) {
      loop.drain_requested_ = s.draining = true;
    }
    // Also when a LoopExit passes: the rest must not be forgotten.
    ~Turn() {
      loop.ready_.rewind();
      loop.drain_requested_ = s.draining = false;
      if (s.stop_issued) return;
      // What stays in `mail` was announced before: no wake is to come for it.
      if (!loop.ready_.empty() || s.stopping || s.overdue || s.mail_left()) loop.request_drain();
    }
  } turn(*this);

  try {
    collect_mail();
  } catch (const std::bad_alloc&) {
    // The rest of it in the next turn.
  }
  if (s.stop_issued) return;  // what came after the last batch waits for the next run
  ++s.turns;
  if (s.overdue) [[unlikely]]
    run_overdue();
  const bool timed = s.debug();
  for (std::size_t budget = kCallbacksPerTurn; budget > 0; --budget) {
    if (ready_.taken() >= s.batch_end) {
      if (s.stopping) {
        // Nobody tells a visitor when the run ends: what he leaves comes behind the stop.
        if (s.visiting) {
          s.stopping = false;
        } else {
          s.stop_issued = true;
        }
        kernel_->stop();
        return;
      }
      if (ready_.empty()) return;
      s.batch_end = ready_.pushed();
    }
    ready_.run_front([this, timed](ReadySlot& slot) {
      if (timed) [[unlikely]] {
        run_timed(slot.callback, slot.where);
      } else {
        run_callback(slot.callback, slot.where);
      }
    });
  }
}

void EventLoop::on_timer() {
  LoopState& s = *state_;
  struct Rearm {
    EventLoop& loop;
    LoopState& s;
    ~Rearm() {
      s.timer_armed = TimePoint::max();
      loop.arm_timer(s.timers.next());
    }
  } rearm{*this, s};

  s.timers.begin_batch(kernel_->now());
  for (std::size_t budget = kCallbacksPerTurn; budget > 0; --budget) {
    TimerNode* node = s.timers.take_due();
    if (!node) return;
    struct Fired {
      TimerQueue& timers;
      TimerNode& node;
      ~Fired() { timers.fired(node); }
    } fired{s.timers, *node};
    if (node->callback) run_timed(node->callback, node->where);
  }
}

void EventLoop::on_signal(int signal_number) {
  const auto found = state_->signals.find(signal_number);
  if (found == state_->signals.end()) return;
  // Through the ready queue, and looked up again there: it may be replaced or removed until then.
  try {
    call_soon([this, signal_number] { run_signal_handler(signal_number); });
  } catch (const std::bad_alloc&) {
    state_->overdue_signals |= std::uint64_t{1} << (signal_number - 1);
    note_overdue();
  }
}

void EventLoop::run_signal_handler(int signal_number) {
  const auto handler = state_->signals.find(signal_number);
  if (handler == state_->signals.end()) return;
  const auto callback = handler->second;
  (*callback)();
}

void EventLoop::call_inside(void (*f)(void*), void* argument) {
  LoopState& s = *state_;
  if (s.running) {
    if (s.thread == std::this_thread::get_id()) return f(argument);
    fatal(state_.get(), "two threads run the io_context of an EventLoop");
  }
  struct Visit {
    EventLoop& loop;
    LoopState& s;
    Visit(EventLoop& l, LoopState& state) noexcept : loop(l), s(state) { s.visiting = true; }
    ~Visit() {
      s.visiting = false;
      take_back_timer(loop, s);
    }
  } visit(*this, s);
  const Running running(*this, s);
  f(argument);
}

// -- descriptors and signals

void EventLoop::add_reader(int fd, Function<void()> callback) {
  check_descriptor("add_reader", fd);
  state_->descriptors.add(fd, Direction::read, std::move(callback));
}

void EventLoop::add_writer(int fd, Function<void()> callback) {
  check_descriptor("add_writer", fd);
  state_->descriptors.add(fd, Direction::write, std::move(callback));
}

bool EventLoop::remove_reader(int fd) {
  if (state_->closed()) return false;
  check_descriptor("remove_reader", fd);
  return state_->descriptors.remove(fd, Direction::read);
}

bool EventLoop::remove_writer(int fd) {
  if (state_->closed()) return false;
  check_descriptor("remove_writer", fd);
  return state_->descriptors.remove(fd, Direction::write);
}

PipePool& EventLoop::pipe_pool() noexcept {
  return state_->pipes;
}

void EventLoop::check_descriptor(const char* what, int fd) const {
  check_usable(what);
  const auto index = static_cast<std::size_t>(fd);
  if (fd >= 0 && index < state_->claimed.size() && state_->claimed[index]) {
    throw std::logic_error(std::string(what) + ": descriptor " + std::to_string(fd) +
                           " is used by a transport or a server");
  }
}

void EventLoop::claim_descriptor(int fd) {
  const auto index = static_cast<std::size_t>(fd);
  if (index >= state_->claimed.size()) state_->claimed.resize(index + 1);
  state_->claimed[index] = true;
}

void EventLoop::release_descriptor(int fd) noexcept {
  const auto index = static_cast<std::size_t>(fd);
  if (index < state_->claimed.size()) state_->claimed[index] = false;
}

// Not zeroed: pages that no read reaches are never touched.
void EventLoop::allocate_receive_buffer() {
  receive_buffer_.reset(new std::byte[kReceiveBufferSize]);
}

void EventLoop::allocate_datagram_buffer() {
  datagram_buffer_.reset(new std::byte[kDatagramBufferSize]);
}

LoopStats EventLoop::stats() const {
  const LoopState& s = *state_;
  LoopStats stats;
  stats.ready = ready_.size();
  stats.timers = s.timers.size();
  stats.watches = s.descriptors.size();
  stats.transports = s.resource_counts[static_cast<std::size_t>(LoopResource::Kind::transport)];
  stats.servers = s.resource_counts[static_cast<std::size_t>(LoopResource::Kind::server)];
  stats.jobs = s.resource_counts[static_cast<std::size_t>(LoopResource::Kind::job)];
  stats.operations = s.resource_counts[static_cast<std::size_t>(LoopResource::Kind::operation)];
  stats.futures = s.future_count;
  stats.signal_handlers = s.signals.size();
  stats.tasks = extension_ ? extension_->task_count() : 0;
  stats.turns = s.turns;
  stats.callbacks = ready_.taken();
  stats.fired = s.timers.fired_count();
  return stats;
}

}  // namespace ferry
