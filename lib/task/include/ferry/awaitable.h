#pragma once

#include <ferry/coro.h>
#include <ferry/future.h>
#include <ferry/suspension.h>

#include <concepts>
#include <type_traits>
#include <utility>

namespace ferry {

template <class T>
class Task;

/// True for Future<T> and Task<T>. (asyncio.isfuture)
template <class T>
inline constexpr bool is_future_v = false;
template <class T>
inline constexpr bool is_future_v<Future<T>> = true;
template <class T>
inline constexpr bool is_future_v<Task<T>> = true;

namespace detail {

template <class A>
decltype(auto) awaiter_of(A&& awaitable) {
  if constexpr (requires { awaitable.await_ready(); }) {
    return static_cast<A&&>(awaitable);
  } else if constexpr (requires { static_cast<A&&>(awaitable).operator co_await(); }) {
    return static_cast<A&&>(awaitable).operator co_await();
  } else if constexpr (requires { operator co_await(static_cast<A&&>(awaitable)); }) {
    return operator co_await(static_cast<A&&>(awaitable));
  }
}
template <class A>
using AwaiterOf = std::remove_cvref_t<decltype(awaiter_of(std::declval<A>()))>;

template <class A>
struct AwaitTraits {
  using Result = std::remove_cvref_t<decltype(std::declval<AwaiterOf<A>&>().await_resume())>;
};
template <class T>
struct AwaitTraits<Future<T>> {
  using Result = T;
};
template <class T>
struct AwaitTraits<Task<T>> {
  using Result = T;
};
template <class T>
struct AwaitTraits<Coro<T>> {
  using Result = T;
};

}  // namespace detail

/// What functions return that are neither coroutines nor give futures, but can be awaited, once:
/// `lock.acquire()`, `queue.get()`, `reader.readline()`, `sleep(1s)`. Not yet awaited it may be
/// moved; what it refers to, the lock or queue, must live until it has been awaited.
template <class A>
concept AwaitableObject = std::move_constructible<A> && !is_coro_v<A> && !is_future_v<A> &&
                          TaskAwaiter<detail::AwaiterOf<A>>;

/// Anything that gather, wait_for and their kin take: a Coro, a Task, a Future, or another object
/// that can be awaited. (inspect.isawaitable)
template <class A>
concept Awaitable = is_coro_v<A> || is_future_v<A> || AwaitableObject<A>;

/// The type of `co_await` of an `A`, as a value.
template <class A>
using AwaitResult = typename detail::AwaitTraits<std::remove_cvref_t<A>>::Result;

namespace detail {

/// How to await what was handed over: a future, which others may hold and look at later, by
/// reference, so that its value is copied; moved if that cannot be, and whatever is no future.
template <class A>
decltype(auto) shared(A& awaitable) noexcept {
  if constexpr (is_future_v<A> && std::copy_constructible<AwaitResult<A>>) {
    return std::as_const(awaitable);
  } else {
    return std::move(awaitable);
  }
}

}  // namespace detail

/// A coroutine that awaits `awaitable`, for what takes coroutines only. A Coro as it is.
template <AwaitableObject A>
Coro<AwaitResult<A>> as_coro(A awaitable, SourceLocation where = SourceLocation::current()) {
  co_return co_await AwaitedAt<A>{awaitable, where};
}
template <class T>
Coro<T> as_coro(Coro<T> coro, SourceLocation = SourceLocation::current()) {
  return coro;
}
template <class T>
Coro<T> as_coro(Future<T> future, SourceLocation where = SourceLocation::current()) {
  // By reference where the value can be copied: others may look at it, too.
  constexpr bool kShared = std::is_void_v<T> || std::copy_constructible<T>;
  using Awaited = std::conditional_t<kShared, const Future<T>, Future<T>>;
  co_return co_await AwaitedAt<Awaited>{future, where};
}

}  // namespace ferry
