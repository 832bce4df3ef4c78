#include "loop_state.h"

#include <ferry/future.h>

#include <new>

namespace ferry {

FutureState::FutureState(EventLoop& loop) : loop_(&loop) {
  LoopState& s = *loop.state_;
  next_ = s.futures;
  if (next_) next_->link_ = &next_;
  link_ = &s.futures;
  s.futures = this;
  ++s.future_count;
}

FutureState::~FutureState() {
  if (!link_) return;
  *link_ = next_;
  if (next_) next_->link_ = link_;
  --loop_->state_->future_count;
}

void FutureState::orphan() noexcept {
  *link_ = next_;
  if (next_) next_->link_ = link_;
  link_ = nullptr;
  next_ = nullptr;
  loop_ = nullptr;
  // Last, and from copies: what they captured may hold the last reference to this.
  const Callbacks callbacks = take_callbacks();
  const Function<void()> hook = std::move(cancel_hook_);
}

bool FutureState::cancel(std::string_view message) {
  if (done()) return false;
  retain();
  status_ = Status::cancelled;
  try {
    cancel_message_ = message;
  } catch (const std::bad_alloc&) {
    // Cancelled without a word.
  }
  Function<void()> hook = std::move(cancel_hook_);
  finish();
  if (hook) hook();
  release();
  return true;
}

void FutureState::set_exception(std::exception_ptr exception) {
  check_pending();
  if (!exception) throw std::invalid_argument("set_exception: there is no exception");
  exception_ = std::move(exception);
  finish();
}

std::exception_ptr FutureState::exception() {
  if (status_ == Status::pending) throw InvalidStateError("the future has no result yet");
  if (status_ == Status::cancelled) throw CancelledError(cancel_message_);
  retrieved_ = true;
  return exception_;
}

std::exception_ptr FutureState::failure() {
  if (status_ == Status::cancelled) return std::make_exception_ptr(CancelledError(cancel_message_));
  retrieved_ = true;
  return exception_;
}

void FutureState::throw_done() {
  throw InvalidStateError("the future is done already");
}

void FutureState::throw_no_value() {
  std::rethrow_exception(exception());
}

FutureState::CallbackId FutureState::add_done_callback(Callback callback) {
  const CallbackId id = next_id_++;
  if (done()) {
    std::vector<Entry> entries;
    entries.push_back({id, std::move(callback)});
    schedule(std::move(entries));
  } else if (!callbacks_.first.callback) {
    callbacks_.first.id = id;
    callbacks_.first.callback = std::move(callback);
  } else {
    callbacks_.more.push_back({id, std::move(callback)});
  }
  return id;
}

std::size_t FutureState::remove_done_callback(CallbackId id) {
  if (done()) return 0;  // they are on their way
  std::vector<Entry>& more = callbacks_.more;
  if (callbacks_.first.callback && callbacks_.first.id == id) {
    const Callback callback = std::move(callbacks_.first.callback);
    if (!more.empty()) {
      callbacks_.first = std::move(more.front());
      more.erase(more.begin());
    }
    return 1;
  }
  for (auto entry = more.begin(); entry != more.end(); ++entry) {
    if (entry->id != id) continue;
    const Callback callback = std::move(entry->callback);
    more.erase(entry);
    return 1;
  }
  return 0;
}

FutureState::Callbacks FutureState::take_callbacks() noexcept {
  return std::exchange(callbacks_, {});
}

void FutureState::finish() {
  if (status_ == Status::pending) status_ = Status::finished;
  cancel_hook_.reset();
  if (callbacks_.first.callback) schedule_callbacks();
}

/// Keeps the state while a call is on its way.
class FutureState::Reference {
 public:
  explicit Reference(FutureState* state) noexcept : state_(state) { state_->retain(); }
  Reference(Reference&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  ~Reference() {
    if (state_) state_->release();
  }
  FutureState* operator->() const noexcept { return state_; }

 private:
  FutureState* state_;
};

/// One ready callback runs them all: they are neighbours in the queue anyway.
void FutureState::schedule_callbacks() {
  if (!loop_ || loop_->is_closed()) {
    const Callbacks dropped = take_callbacks();
    return;
  }
  try {
    loop_->call_soon([self = Reference(this)] { self->run_callbacks(); });
  } catch (const std::bad_alloc&) {
    // It is done: whoever waits for it must hear of that.
    retain();
    overdue_ = true;
    loop_->note_overdue();
  }
}

void FutureState::run_callbacks() {
  std::vector<Entry> more = std::move(callbacks_.more);
  try {
    // Gone before the next one runs, as a callback of its own would be.
    Callback first = std::move(callbacks_.first.callback);
    loop_->run_callback([&] { first(*this); });
  } catch (...) {  // LoopExit: the rest must not be forgotten
    schedule_again(std::move(more));
    throw;
  }
  if (!more.empty()) run_entries(std::move(more));
}

void FutureState::run_entries(std::vector<Entry> entries) {
  for (auto entry = entries.begin(); entry != entries.end();) {
    Callback callback = std::move(entry->callback);
    ++entry;
    try {
      loop_->run_callback([&] { callback(*this); });
    } catch (...) {
      entries.erase(entries.begin(), entry);
      schedule_again(std::move(entries));
      throw;
    }
  }
}

/// Those that were taken and not called yet; callbacks_ is empty.
void FutureState::schedule_again(std::vector<Entry> entries) noexcept {
  if (entries.empty()) return;
  callbacks_.first = std::move(entries.front());
  entries.erase(entries.begin());
  callbacks_.more = std::move(entries);
  schedule_callbacks();
}

/// As schedule_callbacks, for those that never were among callbacks_.
void FutureState::schedule(std::vector<Entry> entries) {
  if (entries.empty() || !loop_ || loop_->is_closed()) return;
  loop_->call_soon([self = Reference(this), entries = std::move(entries)]() mutable {
    self->run_entries(std::move(entries));
  });
}

void FutureState::last_reference_gone() noexcept {
  if (status_ == Status::finished && exception_ && !retrieved_ && loop_) {
    ++references_;  // the handler may look at this
    try {
      ExceptionContext context;
      context.message =
          report_text([] { return std::string("Future exception was never retrieved"); });
      context.exception = exception_;
      context.future = this;
      loop_->call_exception_handler(context);
    } catch (...) {
      // A LoopExit from the handler has nowhere to go out of a destructor.
    }
  }
  delete this;
}

}  // namespace ferry
