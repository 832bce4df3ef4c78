#pragma once

#include <ferry/frame_pool.h>
#include <ferry/source_location.h>

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace ferry {

template <class T>
class Coro;
template <class T>
class CoroAwaiter;
class Suspension;

/// What a coroutine of ferry can wait with: an awaiter that derives from Suspension, so that the
/// task knows what it waits for; or one made of such, which says so by `using TaskAwaiter = void`
/// and passes await_suspend on. Any other would suspend a coroutine that nobody resumes as the
/// step of a task, and does not compile.
template <class A>
concept TaskAwaiter = std::is_base_of_v<Suspension, A> || requires {
  typename A::TaskAwaiter;
};

/// For the library: an await that is to count as standing at another place.
template <class A>
struct AwaitedAt {
  A& awaitable;
  SourceLocation where;
};

/// An awaiter by reference: g++ 12 would move one that await_transform hands through.
template <class Awaiter>
class AwaiterRef {
 public:
  explicit AwaiterRef(Awaiter& awaiter) noexcept : awaiter_(awaiter) {}
  bool await_ready() { return awaiter_.await_ready(); }
  template <class Promise>
  auto await_suspend(std::coroutine_handle<Promise> coroutine) {
    return awaiter_.await_suspend(coroutine);
  }
  decltype(auto) await_resume() { return awaiter_.await_resume(); }

 private:
  Awaiter& awaiter_;  // lives in the expression of the co_await
};

/// What the promises of all coroutines of a task have in common: who awaits them, and where they
/// wait themselves.
class CoroPromiseBase {
 public:
  std::suspend_always initial_suspend() const noexcept { return {}; }

  /// The end: back to who awaits.
  struct FinalAwaiter {
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> ended) const noexcept {
      ended.promise().ended_ = true;
      return ended.promise().rest();
    }
    void await_resume() const noexcept {}
  };
  FinalAwaiter final_suspend() const noexcept { return {}; }
  void unhandled_exception() noexcept { exception_ = std::current_exception(); }

  template <class T>
  CoroAwaiter<T> await_transform(Coro<T>&& coro,
                                 SourceLocation where = SourceLocation::current()) noexcept {
    where_ = where;
    return CoroAwaiter<T>(std::move(coro));
  }
  template <class A>
  auto await_transform(A&& awaitable, SourceLocation where = SourceLocation::current()) {
    where_ = where;
    if constexpr (requires { awaitable.await_ready(); }) {
      check_awaiter<A>();
      return AwaiterRef<std::remove_reference_t<A>>(awaitable);
    } else if constexpr (requires { static_cast<A&&>(awaitable).operator co_await(); }) {
      check_awaiter<decltype(static_cast<A&&>(awaitable).operator co_await())>();
      return static_cast<A&&>(awaitable).operator co_await();
    } else if constexpr (requires { operator co_await(static_cast<A&&>(awaitable)); }) {
      check_awaiter<decltype(operator co_await(static_cast<A&&>(awaitable)))>();
      return operator co_await(static_cast<A&&>(awaitable));
    } else {
      static_assert(TaskAwaiter<std::remove_cvref_t<A>>,
                    "this cannot be awaited; a Coro can, once: `co_await std::move(coro)`");
    }
  }
  template <class A>
  auto await_transform(AwaitedAt<A>&& at) {
    return await_transform(std::move(at.awaitable), at.where);
  }

  static void* operator new(std::size_t size) { return FramePool::allocate(size); }
  static void operator delete(void* frame, std::size_t size) noexcept {
    FramePool::deallocate(frame, size);
  }

  /// Where it awaits what it awaits now. For call graphs.
  const SourceLocation& where() const noexcept { return where_; }
  /// The coroutine it awaits now; null if it waits for something else.
  const CoroPromiseBase* awaits() const noexcept { return awaits_; }
  bool ended() const noexcept { return ended_; }
  std::exception_ptr take_exception() noexcept { return std::exchange(exception_, nullptr); }

  /// Runs `callee`, which this one awaits, until it rests. False if it has done so before this
  /// returns; else it resumes `caller` when it does.
  template <class Promise>
  bool call(std::coroutine_handle<Promise> callee, std::coroutine_handle<> caller) {
    CoroPromiseBase& promise = callee.promise();
    awaits_ = &promise;
    promise.awaited_by_ = caller;
    promise.rested_ = false;
    promise.inside_call_ = true;
    callee.resume();
    promise.inside_call_ = false;
    return !promise.rested_;
  }
  /// What was awaited by `call` is over.
  void returned() noexcept { awaits_ = nullptr; }

 protected:
  /// Comes to rest: who goes on? Whoever awaits us; unless it has called us just now and is still
  /// on the stack, where it goes on by itself: a loop of awaits that never wait must not nest.
  std::coroutine_handle<> rest() noexcept {
    rested_ = true;
    if (inside_call_ || !awaited_by_) return std::noop_coroutine();
    return awaited_by_;
  }
  void rethrow() {
    if (exception_) [[unlikely]]
      std::rethrow_exception(std::exchange(exception_, nullptr));
  }

 private:
  template <class A>
  static constexpr void check_awaiter() noexcept {
    static_assert(TaskAwaiter<std::remove_cvref_t<A>>,
                  "co_await of a foreign awaiter in a ferry coroutine: nothing would resume the "
                  "task. Derive it from ferry::Suspension, or have it complete a ferry::Future");
  }

  std::coroutine_handle<> awaited_by_;
  std::exception_ptr exception_;
  const CoroPromiseBase* awaits_ = nullptr;
  SourceLocation where_;
  bool inside_call_ = false;
  bool rested_ = false;
  bool ended_ = false;
};

template <class T>
class CoroPromise final : public CoroPromiseBase {
 public:
  Coro<T> get_return_object() noexcept;
  template <class U>
  requires std::constructible_from<T, U&&>
  void return_value(U&& value) { value_.emplace(std::forward<U>(value)); }
  T take() {
    rethrow();
    return std::move(*value_);
  }

 private:
  std::optional<T> value_;
};

template <class T>
class CoroPromise<T&> final : public CoroPromiseBase {
 public:
  Coro<T&> get_return_object() noexcept;
  void return_value(T& value) noexcept { value_ = &value; }
  T& take() {
    rethrow();
    return *value_;
  }

 private:
  T* value_ = nullptr;
};

template <>
class CoroPromise<void> final : public CoroPromiseBase {
 public:
  Coro<void> get_return_object() noexcept;
  void return_void() const noexcept {}
  void take() { rethrow(); }
};

/// What a coroutine function returns: the call has not begun; `co_await` runs it in place, in the
/// task of the caller, without the loop; `create_task` runs it beside. Once only. Dropped without
/// either, its body never runs, and its arguments are destroyed. Its frame comes from a pool of the
/// thread. It may be awaited by coroutines of ferry only: Coro and AsyncGenerator.
template <class T = void>
class [[nodiscard]] Coro {
 public:
  using promise_type = CoroPromise<T>;
  using value_type = T;
  using Handle = std::coroutine_handle<promise_type>;

  Coro() noexcept = default;
  Coro(Coro&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Coro& operator=(Coro&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Coro() {
    if (handle_) handle_.destroy();
  }
  bool valid() const noexcept { return static_cast<bool>(handle_); }
  /// For the library: the frame, still owned by this.
  Handle handle() const noexcept { return handle_; }

 private:
  friend promise_type;
  explicit Coro(Handle handle) noexcept : handle_(handle) {}

  Handle handle_;
};

template <class T>
Coro<T> CoroPromise<T>::get_return_object() noexcept {
  return Coro<T>(Coro<T>::Handle::from_promise(*this));
}
template <class T>
Coro<T&> CoroPromise<T&>::get_return_object() noexcept {
  return Coro<T&>(Coro<T&>::Handle::from_promise(*this));
}
inline Coro<void> CoroPromise<void>::get_return_object() noexcept {
  return Coro<void>(Coro<void>::Handle::from_promise(*this));
}

/// `co_await` of a Coro inside another: a call.
template <class T>
class CoroAwaiter {
 public:
  using TaskAwaiter = void;

  explicit CoroAwaiter(Coro<T> callee) noexcept : callee_(std::move(callee)) {}

  bool await_ready() const noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) {
    caller_ = &caller.promise();
    return caller_->call(callee_.handle(), caller);
  }
  T await_resume() {
    caller_->returned();
    return callee_.handle().promise().take();
  }

 private:
  Coro<T> callee_;
  CoroPromiseBase* caller_ = nullptr;
};

/// True for Coro<T>. (asyncio.iscoroutine)
template <class T>
inline constexpr bool is_coro_v = false;
template <class T>
inline constexpr bool is_coro_v<Coro<T>> = true;
/// True for what gives a Coro when it is called with `Args`. (asyncio.iscoroutinefunction)
template <class F, class... Args>
inline constexpr bool is_coroutine_function_v = false;
template <class F, class... Args>
requires std::invocable<F, Args...>
inline constexpr bool is_coroutine_function_v<F, Args...> =
    is_coro_v<std::invoke_result_t<F, Args...>>;

}  // namespace ferry
