#pragma once

#include <ferry/coro.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

namespace ferry {

template <class T>
class AsyncGenerator;

/// The promise of an AsyncGenerator: as a Coro's, but it comes to rest at each co_yield too.
template <class T>
class GeneratorPromise final : public CoroPromiseBase {
 public:
  AsyncGenerator<T> get_return_object() noexcept;
  void return_void() const noexcept {}

  class Yield {
   public:
    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(
        std::coroutine_handle<GeneratorPromise> yielding) const noexcept {
      return yielding.promise().rest_at_yield();
    }
    /// Where the generator goes on: with the exception that was thrown in, if there is one.
    void await_resume() const {
      if (promise_.thrown_in_) std::rethrow_exception(std::exchange(promise_.thrown_in_, nullptr));
    }

   private:
    friend class GeneratorPromise;
    explicit Yield(GeneratorPromise& promise) noexcept : promise_(promise) {}
    GeneratorPromise& promise_;
  };
  template <class U>
  requires std::constructible_from<T, U&&> Yield yield_value(U&& value) {
    value_.emplace(std::forward<U>(value));
    return Yield(*this);
  }

  /// One call at a time.
  void ask() {
    if (asked_) throw std::logic_error("AsyncGenerator::next: it is being awaited already");
    asked_ = true;
  }
  std::optional<T> take() {
    asked_ = false;
    rethrow();
    return std::exchange(value_, std::nullopt);
  }
  std::coroutine_handle<> rest_at_yield() noexcept { return this->rest(); }
  void throw_in(std::exception_ptr exception) noexcept { thrown_in_ = std::move(exception); }

 private:
  std::optional<T> value_;
  std::exception_ptr thrown_in_;
  bool asked_ = false;
};

/// A coroutine that gives many values, one each time it is asked: it may await and `co_yield`.
/// `while (auto value = co_await generator.next())`. Dropped half way it is destroyed where it
/// rests, with all that its destructors do; nothing of it is left to the loop, as asyncio's
/// generators are, because a destructor cannot await.
template <class T>
class [[nodiscard]] AsyncGenerator {
 public:
  using promise_type = GeneratorPromise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  AsyncGenerator() noexcept = default;
  AsyncGenerator(AsyncGenerator&& other) noexcept
      : handle_(std::exchange(other.handle_, nullptr)) {}
  AsyncGenerator& operator=(AsyncGenerator&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~AsyncGenerator() {
    if (handle_) handle_.destroy();
  }

  class [[nodiscard]] Next {
   public:
    using TaskAwaiter = void;

    explicit Next(Handle generator) noexcept : generator_(generator) {}
    bool await_ready() const noexcept { return !generator_ || generator_.promise().ended(); }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> caller) {
      generator_.promise().ask();
      caller_ = &caller.promise();
      return caller_->call(generator_, caller);
    }
    std::optional<T> await_resume() {
      if (caller_) caller_->returned();
      if (!generator_) return std::nullopt;
      return generator_.promise().take();
    }

   private:
    Handle generator_;  // the AsyncGenerator's
    CoroPromiseBase* caller_ = nullptr;
  };

  /// The next value; none at the end, and after it. Throws what the generator throws, once; and
  /// std::logic_error while another call is being awaited.
  Next next() noexcept { return Next(handle_); }
  /// The same, but co_yield throws `exception` in the generator. It must have been begun.
  Next next_with(std::exception_ptr exception) noexcept {
    if (handle_) handle_.promise().throw_in(std::move(exception));
    return next();
  }

 private:
  friend promise_type;
  explicit AsyncGenerator(Handle handle) noexcept : handle_(handle) {}

  Handle handle_;
};

template <class T>
AsyncGenerator<T> GeneratorPromise<T>::get_return_object() noexcept {
  return AsyncGenerator<T>(AsyncGenerator<T>::Handle::from_promise(*this));
}

}  // namespace ferry
