#pragma once

#include <ferry/error.h>
#include <ferry/function.h>

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace ferry {

class EventLoop;

/// What all futures are made of, whatever their value: a state that changes once, and callbacks.
/// Counted by the Future handles that point at it; for the loop's thread only.
class FutureState {
 public:
  enum class Status : std::uint8_t { pending, cancelled, finished };
  using Callback = Function<void(FutureState&)>;
  using CallbackId = std::uint64_t;

  explicit FutureState(EventLoop& loop);
  FutureState(const FutureState&) = delete;
  FutureState& operator=(const FutureState&) = delete;
  virtual ~FutureState();

  Status status() const noexcept { return status_; }
  bool done() const noexcept { return status_ != Status::pending; }
  /// Null once the loop is gone.
  EventLoop* loop() const noexcept { return loop_; }

  /// Virtual for futures that are more than a result: a task, a gathering of others.
  virtual bool cancel(std::string_view message);
  void set_exception(std::exception_ptr exception);
  std::exception_ptr exception();
  /// The same as a question: null while pending and if there is a value; a CancelledError if
  /// cancelled. The exception counts as retrieved.
  std::exception_ptr failure();
  /// Done by an exception. Does not count as retrieving it.
  bool failed() const noexcept { return exception_ != nullptr; }
  CallbackId add_done_callback(Callback callback);
  std::size_t remove_done_callback(CallbackId id);
  void set_cancel_hook(Function<void()> hook) { cancel_hook_ = std::move(hook); }

  void retain() noexcept { ++references_; }
  void release() noexcept {
    if (--references_ == 0) last_reference_gone();
  }

 protected:
  /// Throws InvalidStateError unless pending.
  void check_pending() const {
    if (done()) [[unlikely]]
      throw_done();
  }
  /// What `Future::result` throws where there is no value.
  [[noreturn]] void throw_no_value();
  void finish();

 private:
  friend class EventLoop;
  struct Entry {
    CallbackId id = 0;
    Callback callback;
  };
  /// Most futures have one: it takes no allocation.
  struct Callbacks {
    Entry first;  // empty only if `more` is
    std::vector<Entry> more;
  };
  class Reference;

  [[noreturn]] static void throw_done();
  void schedule_callbacks();
  void run_callbacks();
  void run_entries(std::vector<Entry> entries);
  void schedule(std::vector<Entry> entries);
  void schedule_again(std::vector<Entry> entries) noexcept;
  Callbacks take_callbacks() noexcept;
  void last_reference_gone() noexcept;
  /// The loop is gone: nothing will ever be called.
  void orphan() noexcept;

  EventLoop* loop_;
  // The loop's list of live futures, so that none can call into a loop that is gone.
  FutureState* next_ = nullptr;
  FutureState** link_ = nullptr;
  std::uint32_t references_ = 0;
  Status status_ = Status::pending;
  bool retrieved_ = false;
  bool overdue_ = false;  // there was no memory to schedule callbacks_; this holds a reference
  CallbackId next_id_ = 1;
  Callbacks callbacks_;  // until they have been called
  Function<void()> cancel_hook_;
  std::exception_ptr exception_;
  std::string cancel_message_;
};

/// The value of a Future<void>.
struct Nothing {};

template <class T>
class FutureCell : public FutureState {
 public:
  using Value = std::conditional_t<std::is_void_v<T>, Nothing, T>;
  using FutureState::FutureState;

  template <class... Args>
  void set_value(Args&&... args) {
    check_pending();
    value_.emplace(std::forward<Args>(args)...);
    finish();
  }
  Value& value() {
    if (!value_) [[unlikely]]
      throw_no_value();
    return *value_;
  }

 private:
  std::optional<Value> value_;
};

/// A result that is not there yet, like asyncio.Future: pending, then cancelled or finished, once.
/// A Future is a handle; copies share one state. It belongs to one loop and one thread. If the loop
/// goes first, a pending future stays pending for ever and its callbacks are dropped.
/// https://docs.python.org/3/library/asyncio-future.html
template <class T>
class [[nodiscard]] Future {
 public:
  using CallbackId = FutureState::CallbackId;

  /// No future at all; only assignment and `valid` make sense.
  Future() noexcept = default;
  /// A pending one; the same as `loop.create_future<T>()`.
  explicit Future(EventLoop& loop) : Future(new FutureCell<T>(loop)) {}
  /// For the layers above: another handle to `state`; null makes no future.
  explicit Future(FutureCell<T>* state) noexcept : state_(state) {
    if (state_) state_->retain();
  }
  Future(const Future& other) noexcept : Future(other.state_) {}
  Future(Future&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  Future& operator=(Future other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~Future() {
    if (state_) state_->release();
  }

  bool valid() const noexcept { return state_ != nullptr; }
  bool done() const noexcept { return state_->done(); }
  bool cancelled() const noexcept { return state_->status() == FutureState::Status::cancelled; }

  /// The value. Throws InvalidStateError if pending, CancelledError if cancelled, or the exception
  /// it was given (each time it is asked).
  decltype(auto) result() const {
    if constexpr (std::is_void_v<T>) {
      static_cast<void>(state_->value());
    } else {
      return static_cast<T&>(state_->value());
    }
  }
  /// The exception, or null if there is a value. Throws as `result` if pending or cancelled.
  std::exception_ptr exception() const { return state_->exception(); }

  /// Make it finished. Throw InvalidStateError if it is done already.
  template <class... Args>
  void set_result(Args&&... args) const {
    state_->set_value(std::forward<Args>(args)...);
  }
  void set_exception(std::exception_ptr exception) const {
    state_->set_exception(std::move(exception));
  }
  template <class E>
  requires(!std::is_same_v<std::decay_t<E>, std::exception_ptr>) void set_exception(
      E&& exception) const {
    state_->set_exception(std::make_exception_ptr(std::forward<E>(exception)));
  }
  /// As set_result, but quietly nothing if it is done: for callbacks that may come second.
  template <class... Args>
  bool try_set_result(Args&&... args) const {
    if (done()) return false;
    set_result(std::forward<Args>(args)...);
    return true;
  }

  /// Makes it cancelled, and tells whoever works on the result to stop. False if it is done
  /// already.
  bool cancel(std::string_view message = {}) const { return state_->cancel(message); }

  /// `callback` is called by the loop, never from inside the call that completes the future; in
  /// order of registration; with a Future<T> if it takes one. If the future is done already
  /// the call is scheduled at once.
  template <class F>
  CallbackId add_done_callback(F callback) const {
    return state_->add_done_callback([callback = std::move(callback)](FutureState& state) mutable {
      if constexpr (std::is_invocable_v<F&, Future>) {
        callback(Future(static_cast<FutureCell<T>*>(&state)));
      } else {
        static_cast<void>(state);
        callback();
      }
    });
  }
  /// The number removed: 1, or 0 if it was never there or is scheduled already.
  std::size_t remove_done_callback(CallbackId id) const { return state_->remove_done_callback(id); }

  /// For whoever produces the result: called inside `cancel`, at most once.
  void set_cancel_hook(Function<void()> hook) const { state_->set_cancel_hook(std::move(hook)); }

  /// Throws std::logic_error once the loop is gone.
  EventLoop& get_loop() const {
    if (EventLoop* loop = state_->loop()) return *loop;
    throw std::logic_error("the future's event loop is gone");
  }

  /// For the layers above: what the handle points at.
  FutureCell<T>* state() const noexcept { return state_; }

  friend bool operator==(const Future& a, const Future& b) noexcept { return a.state_ == b.state_; }

 private:
  friend class EventLoop;

  FutureCell<T>* state_ = nullptr;
};

}  // namespace ferry
