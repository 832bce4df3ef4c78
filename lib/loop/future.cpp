#include "loop_state.h"

#include <ferry/future.h>

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
  const std::vector<Entry> callbacks = std::move(callbacks_);
  const Function<void()> hook = std::move(cancel_hook_);
}

bool FutureState::cancel(std::string_view message) {
  if (done()) return false;
  retain();
  status_ = Status::cancelled;
  cancel_message_ = message;
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

void FutureState::check_pending() const {
  if (done()) throw InvalidStateError("the future is done already");
}

void FutureState::check_value() {
  if (std::exception_ptr error = exception()) std::rethrow_exception(error);
}

FutureState::CallbackId FutureState::add_done_callback(Callback callback) {
  const CallbackId id = next_id_++;
  if (done()) {
    std::vector<Entry> entries;
    entries.push_back({id, std::move(callback)});
    schedule(std::move(entries));
  } else {
    callbacks_.push_back({id, std::move(callback)});
  }
  return id;
}

std::size_t FutureState::remove_done_callback(CallbackId id) {
  for (auto entry = callbacks_.begin(); entry != callbacks_.end(); ++entry) {
    if (entry->id != id) continue;
    const Callback callback = std::move(entry->callback);
    callbacks_.erase(entry);
    return 1;
  }
  return 0;
}

void FutureState::finish() {
  if (status_ == Status::pending) status_ = Status::finished;
  cancel_hook_.reset();
  schedule(std::exchange(callbacks_, {}));
}

/// One ready callback runs them all: they are neighbours in the queue anyway.
void FutureState::schedule(std::vector<Entry> entries) {
  if (entries.empty() || !loop_ || loop_->is_closed()) return;
  struct Reference {
    FutureState* state;
    explicit Reference(FutureState* s) noexcept : state(s) { state->retain(); }
    Reference(Reference&& other) noexcept : state(std::exchange(other.state, nullptr)) {}
    ~Reference() {
      if (state) state->release();
    }
  };
  loop_->call_soon([reference = Reference(this), entries = std::move(entries)]() mutable {
    for (auto entry = entries.begin(); entry != entries.end();) {
      // Gone before the next one runs, as a callback of its own would be.
      Callback callback = std::move(entry->callback);
      ++entry;
      try {
        reference.state->loop_->run_callback([&] { callback(*reference.state); });
      } catch (...) {  // LoopExit: the rest must not be forgotten
        entries.erase(entries.begin(), entry);
        reference.state->schedule(std::move(entries));
        throw;
      }
    }
  });
}

void FutureState::last_reference_gone() noexcept {
  if (status_ == Status::finished && exception_ && !retrieved_ && loop_) {
    ++references_;  // the handler may look at this
    try {
      ExceptionContext context;
      context.message = "Future exception was never retrieved";
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
