#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

namespace ferry {

class TaskCore;
struct ContextState;
template <class T>
class ContextVar;

/// A counted pointer to a context; null is an empty one that nobody has written to yet. For the
/// library: use Context.
class ContextRef {
 public:
  ContextRef() noexcept = default;
  ContextRef(const ContextRef& other) noexcept : state_(other.state_) {
    if (state_) retain();
  }
  ContextRef(ContextRef&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  ContextRef& operator=(ContextRef other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~ContextRef() {
    if (state_) release();
  }

  /// What a new task begins with: a copy of the current one, null if nothing is set in that.
  static ContextRef inherited();
  /// Makes it a context of its own if it is null.
  ContextState& made();
  ContextState* get() const noexcept { return state_; }
  explicit operator bool() const noexcept { return state_ != nullptr; }
  friend bool operator==(const ContextRef&, const ContextRef&) noexcept = default;

 private:
  explicit ContextRef(ContextState* state) noexcept : state_(state) {}
  void retain() const noexcept;
  void release() const noexcept;

  ContextState* state_ = nullptr;
};

/// As long as it lives, `context` is the current one of this thread; not across a co_await.
class EnteredContext {
 public:
  explicit EnteredContext(ContextRef context) noexcept;
  EnteredContext(const EnteredContext&) = delete;
  EnteredContext& operator=(const EnteredContext&) = delete;
  ~EnteredContext();

 private:
  friend ContextRef* current_context_slot() noexcept;
  ContextRef context_;
  const TaskCore* task_;  // inside of whose step it was entered
  EnteredContext* outer_;
};

/// What a change of a ContextVar leaves: where it was made, and what was there before.
struct ContextChange {
  ContextRef where;
  std::shared_ptr<const void> before;  // null: nothing
};

// For ContextVar. `variable` is its number.
ContextRef* current_context_slot() noexcept;
std::shared_ptr<const void> find_in_context(const ContextState* context, std::uint64_t variable);
std::shared_ptr<const void> find_in_current_context(std::uint64_t variable);
ContextChange set_in_current_context(std::uint64_t variable, std::shared_ptr<const void> value);
/// Throws std::invalid_argument in another context than that of the change.
void undo_in_current_context(std::uint64_t variable, const ContextChange& change);
std::uint64_t next_context_variable() noexcept;

/// The values of ContextVars, as one set. Each task has its own, which begins as a copy of its
/// creator's, so that what a task sets is seen by it and by what it calls and creates from
/// then on, and by nobody else. Copies of a Context are handles to the same. A task and a handle
/// are all that has one: until something is set, it costs a null pointer a task.
///
/// Plain callbacks (call_soon, done-callbacks, protocols) do not take the context along by
/// themselves, as asyncio's do: hand over `in_context(callback)` where they should. Outside of
/// tasks each thread has a context of its own.
/// https://docs.python.org/3/library/contextvars.html
class Context {
 public:
  /// A new one, nothing set.
  Context() { ref_.made(); }
  /// For the library.
  explicit Context(ContextRef ref) noexcept : ref_(std::move(ref)) {}

  /// A new one with the same values. Cheap, however many they are.
  Context copy() const;
  /// Calls `f` with this one as the current context. `f` is no coroutine: a task takes
  /// its context by TaskOptions::context.
  template <std::invocable F>
  decltype(auto) run(F&& f) const {
    const EnteredContext entered(ref_);
    return std::forward<F>(f)();
  }
  /// The value that is set here; its default is not asked for.
  template <class T>
  std::optional<T> get(const ContextVar<T>& variable) const {
    const auto value = find_in_context(ref_.get(), variable.number());
    if (!value) return std::nullopt;
    return *static_cast<const T*>(value.get());
  }
  /// How many variables are set.
  std::size_t size() const noexcept;
  const ContextRef& ref() const noexcept { return ref_; }
  /// The very same one.
  friend bool operator==(const Context&, const Context&) noexcept = default;

 private:
  ContextRef ref_;  // not null
};

/// A copy of the current context.
Context copy_context();

/// What `ContextVar::set` gives back, to undo it by `reset`, once.
template <class T>
class ContextToken {
 public:
  ContextToken(ContextToken&& other) noexcept
      : variable_(std::exchange(other.variable_, 0)), change_(std::move(other.change_)) {}
  ContextToken& operator=(ContextToken&& other) noexcept {
    variable_ = std::exchange(other.variable_, 0);
    change_ = std::move(other.change_);
    return *this;
  }
  /// The value that was replaced; none if the variable was not set.
  std::optional<T> old_value() const {
    if (!change_.before) return std::nullopt;
    return *static_cast<const T*>(change_.before.get());
  }

 private:
  friend class ContextVar<T>;
  ContextToken(std::uint64_t variable, ContextChange change) noexcept
      : variable_(variable), change_(std::move(change)) {}

  std::uint64_t variable_;  // 0: used
  ContextChange change_;
};

/// A variable of which each task has its own value: who is logged in, which request this is.
/// Usually one at namespace scope. Values are copied out; make T a std::shared_ptr if that is
/// much. A value may be used in another thread (to_thread), but as const only.
template <class T>
class ContextVar {
 public:
  explicit ContextVar(std::string name) : name_(std::move(name)) {}
  ContextVar(std::string name, T default_value)
      : name_(std::move(name)), default_(std::move(default_value)) {}
  ContextVar(const ContextVar&) = delete;
  ContextVar& operator=(const ContextVar&) = delete;

  const std::string& name() const noexcept { return name_; }
  /// The value in the current context, else the default. Throws std::out_of_range if there is
  /// neither.
  T get() const {
    if (const auto value = find_in_current_context(number_)) {
      return *static_cast<const T*>(value.get());
    }
    if (!default_) throw std::out_of_range("ContextVar::get: " + name_ + " is not set");
    return *default_;
  }
  /// As `get`, with another default.
  T get(T default_value) const {
    const auto value = find_in_current_context(number_);
    return value ? *static_cast<const T*>(value.get()) : std::move(default_value);
  }
  ContextToken<T> set(T value) const {
    return ContextToken<T>(
        number_, set_in_current_context(number_, std::make_shared<const T>(std::move(value))));
  }
  /// What it was before the `set` that gave the token. Throws std::logic_error if that is used,
  /// std::invalid_argument if it is another variable's, or another context's.
  void reset(ContextToken<T>&& token) const {
    if (token.variable_ == 0) throw std::logic_error("ContextVar::reset: the token is used");
    if (token.variable_ != number_) {
      throw std::invalid_argument("ContextVar::reset: the token is another variable's");
    }
    undo_in_current_context(number_, token.change_);
    token.variable_ = 0;
  }
  /// Never given twice in a process: another variable at the same place is another one.
  std::uint64_t number() const noexcept { return number_; }

 private:
  std::string name_;
  std::optional<T> default_;
  std::uint64_t number_ = next_context_variable();
};

/// A callable that runs in a context, wherever it is called.
template <class F>
class InContext {
 public:
  InContext(Context context, F f) : context_(std::move(context)), f_(std::move(f)) {}
  template <class... Args>
  requires std::invocable<F&, Args...>
  decltype(auto) operator()(Args&&... args) {
    const EnteredContext entered(context_.ref());
    return f_(std::forward<Args>(args)...);
  }

 private:
  Context context_;
  F f_;
};

/// `f` with a copy of the current context, as asyncio captures it for every callback:
/// `loop.call_soon(in_context(f))`, `future.add_done_callback(in_context(f))`.
template <class F>
InContext<F> in_context(F f) {
  return {copy_context(), std::move(f)};
}
/// `f` in that very context (asyncio's `context=`).
template <class F>
InContext<F> in_context(Context context, F f) {
  return {std::move(context), std::move(f)};
}

}  // namespace ferry
