#pragma once

#include <ferry/async_generator.h>
#include <ferry/coro.h>

#include <exception>
#include <optional>
#include <stdexcept>
#include <utility>

namespace ferry {

/// What `with` enters and leaves: `enter` gives what the body works with; `leave` is awaited
/// however the body ends, and told its exception, null if there is none. True from `leave` swallows
/// that exception (only where the body returns nothing).
template <class C>
concept AsyncContext = requires(C& context, std::exception_ptr failure) {
  context.enter();
  { context.leave(failure) } -> std::same_as<Coro<bool>>;
};

/// `co_await with(connection, body, arguments...)`: Python's `async with`, whose way out may await,
/// as no destructor can. `body(value, arguments...)` is a coroutine; its result is the result.
/// An exception out of `leave` comes in place of the body's.
template <AsyncContext C, class Body, class... Args>
auto with(C context, Body body, Args... args) {
  using Value = typename decltype(context.enter())::value_type;
  using Result = std::invoke_result_t<Body&, Value, Args...>;
  struct Run {
    static Result run(C inside, Body work, Args... arguments) {
      using T = typename Result::value_type;
      std::exception_ptr failure;
      if constexpr (std::is_void_v<T>) {
        Value value = co_await inside.enter();
        try {
          co_await work(std::forward<Value>(value), std::move(arguments)...);
        } catch (...) {
          failure = std::current_exception();
        }
        const bool swallow = co_await inside.leave(failure);
        if (failure && !swallow) std::rethrow_exception(failure);
      } else {
        std::optional<T> result;
        Value value = co_await inside.enter();
        try {
          result.emplace(co_await work(std::forward<Value>(value), std::move(arguments)...));
        } catch (...) {
          failure = std::current_exception();
        }
        static_cast<void>(co_await inside.leave(failure));
        if (failure) std::rethrow_exception(failure);
        co_return std::move(*result);
      }
    }
  };
  return Run::run(std::move(context), std::move(body), std::move(args)...);
}

/// A context out of a generator that yields once: before the yield is the way in, after it the way
/// out, and the body's exception is thrown at the yield. (contextlib.asynccontextmanager)
template <class T>
class GeneratorContext {
 public:
  explicit GeneratorContext(AsyncGenerator<T> generator) : generator_(std::move(generator)) {}

  Coro<T> enter() {
    std::optional<T> value = co_await generator_.next();
    if (!value) throw std::logic_error("async_context_manager: the generator did not yield");
    co_return std::move(*value);
  }
  Coro<bool> leave(std::exception_ptr failure) {
    std::optional<T> more;
    if (failure) {
      more = co_await generator_.next_with(failure);  // throws, unless the generator swallows it
    } else {
      more = co_await generator_.next();
    }
    if (more) throw std::logic_error("async_context_manager: the generator yielded twice");
    co_return failure != nullptr;
  }

 private:
  AsyncGenerator<T> generator_;
};
template <class T>
GeneratorContext<T> async_context_manager(AsyncGenerator<T> generator) {
  return GeneratorContext<T>(std::move(generator));
}

}  // namespace ferry
