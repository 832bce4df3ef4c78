#pragma once

// For programs that use standalone Asio beside ferry: the one header that includes it. Compile with
// the flags of `pkg-config --cflags ferry-asio` (in Meson: ferry_asio_dep), header-only or with
// ASIO_SEPARATE_COMPILATION: the library holds Asio's own code but that of asio::ssl. Asio must be
// the version that the library was built with; another one does not link.

#include <ferry/event_loop.h>
#include <ferry/frame_pool.h>
#include <ferry/task_core.h>

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>

#if !defined(ASIO_STANDALONE)
#error "ferry uses standalone Asio: compile with the flags of `pkg-config --cflags ferry-asio`"
#endif
#include <asio/async_result.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/error.hpp>
#include <asio/io_context.hpp>
#include <asio/version.hpp>

#include <ferry/asio_options.h>

#if defined(_GLIBCXX_HAVE_ALIGNED_ALLOC) && !defined(ASIO_HAS_STD_ALIGNED_ALLOC)
#error "Asio was included before any standard header and allocates otherwise than in the library"
#endif

namespace ferry {

namespace detail {

// The library has them for its own Asio alone: where they are missing, the program was compiled
// with another version of it, or with other options.
template <unsigned kVersion, unsigned kOptions>
asio::io_context& asio_context(Kernel& kernel);
template <unsigned kVersion, unsigned kOptions>
std::unique_ptr<Kernel> asio_kernel(asio::io_context& context);

}  // namespace detail

/// The io_context that the loop runs: Asio objects made on it live on the loop, and their handlers
/// are called by it. Use them on the loop's thread only; what is thrown out of a handler comes out
/// of `run_forever`. They go before the loop does. Throws std::logic_error if the loop's kernel is
/// not Asio's.
inline asio::io_context& io_context(EventLoop& loop) {
  return detail::asio_context<ASIO_VERSION, detail::kAsioOptions>(loop.kernel());
}

/// For a loop on an io_context that the application has: `EventLoop loop(make_asio_kernel(io))`.
/// `io` must outlive the loop. Then either runs both: the loop's `run_forever` and its kin, or
/// `io.run()`, `poll()` and so on, by one thread at a time; more loops than one may share `io`.
///
/// The loop counts as work for `io` while it has callbacks, timers, transports, servers, jobs or
/// signal handlers. Its `stop` stops `io`, which is to be restarted, as ever, before it runs
/// again; `close` may be called when no callback of the loop runs. A LoopExit comes out of
/// `io.run()`. While the application runs `io`, its own handlers are not callbacks of the loop:
/// there get_running_loop() throws, so name the loop (`create_task(loop, coro)`).
inline std::unique_ptr<Kernel> make_asio_kernel(asio::io_context& io) {
  return detail::asio_kernel<ASIO_VERSION, detail::kAsioOptions>(io);
}

/// Completion tokens with which any asynchronous operation of Asio can be awaited in a Coro:
///
///     std::size_t n = co_await socket.async_read_some(asio::buffer(bytes), use_coro);
///
/// The operation begins when it is awaited, by a task whose loop's kernel is Asio's (else
/// std::logic_error), and the task goes on on its own loop's thread, whatever executor the object
/// has. With `use_coro` an error is thrown as std::system_error (an exception_ptr as what it
/// holds), and the rest of the handler's arguments is the result: nothing, a value or a tuple. With
/// `use_coro_tuple` all of them come as a std::tuple, the error_code being the first.
///
/// Cancelling the task cancels the operation (cancellation_type::terminal), and when its handler
/// was called, so that no buffer is in use any more, CancelledError is thrown. If it succeeded all
/// the same, nothing is lost: the result is given, and CancelledError comes out of the next wait.
/// Operations that know no such cancellation (async_resolve, in Asio 1.22) are waited for. The
/// object must live until then; buffers may lie in the coroutine, also if the loop closes.
struct UseCoro {};
struct UseCoroTuple {};
inline constexpr UseCoro use_coro{};
inline constexpr UseCoroTuple use_coro_tuple{};

namespace detail {

/// The place where a coroutine waits for an operation.
class AsioWait : public Suspension {
 public:
  std::string_view what() const noexcept override { return "asio operation"; }

 protected:
  /// What the waiting coroutine and the handler share: either may be gone first.
  struct Shared {
    asio::cancellation_signal cancellation;
    AsioWait* wait = nullptr;  // until the coroutine is gone, or goes on
  };

  AsioWait() = default;
  ~AsioWait() {
    if (!shared_) return;
    shared_->wait = nullptr;
    // The coroutine and the buffers in it are destroyed. A loop's own io_context never runs again.
    if (!over_ && on_shared_context_) {
      shared_->cancellation.emit(asio::cancellation_type::terminal);
    }
  }

  /// The operation is over, its handler called or dropped. On the thread of the loop.
  void ended(bool called) {
    over_ = true;
    if (inside_ || !task()) return;  // it has not begun to wait, or the loop is closed
    // Called by the loop, and in no task's step: go on right here.
    if (called && running_loop() == &task()->loop() && !TaskCore::current()) {
      resume_now();
    } else {
      wake();
    }
  }

  /// Calls `begin`, which begins the operation.
  template <class F>
  void begin(std::coroutine_handle<> coroutine, F&& operation) {
    inside_ = true;  // a handler might be called at once
    std::forward<F>(operation)();
    inside_ = false;
    suspend(coroutine);
    on_shared_context_ = task()->loop().kernel().shared();
    if (over_) wake();
  }

  std::shared_ptr<Shared> shared_;

 private:
  bool cancel(std::string_view message) override {
    if (over_) return false;
    cancelled_with(message);
    inside_ = true;
    shared_->cancellation.emit(asio::cancellation_type::terminal);
    inside_ = false;
    if (over_) wake();
    return true;
  }

  bool inside_ = false;  // Asio is called
  bool over_ = false;
  bool on_shared_context_ = false;
};

/// Memory of the thread's pool of frames.
template <class T>
struct FrameAllocator {
  using value_type = T;
  FrameAllocator() = default;
  template <class U>
  FrameAllocator(const FrameAllocator<U>&) noexcept {}
  T* allocate(std::size_t n) { return static_cast<T*>(FramePool::allocate(n * sizeof(T))); }
  void deallocate(T* p, std::size_t n) noexcept { FramePool::deallocate(p, n * sizeof(T)); }
  friend bool operator==(FrameAllocator, FrameAllocator) noexcept { return true; }
};

template <class First>
inline constexpr bool is_asio_failure = false;
template <>
inline constexpr bool is_asio_failure<asio::error_code> = true;
template <>
inline constexpr bool is_asio_failure<std::exception_ptr> = true;

/// `arguments` of a handler as what `co_await` gives. `skip` is 1 if a failure is the first.
template <std::size_t kSkip, class... Args>
auto asio_result(std::tuple<Args...>&& arguments) {
  using All = std::tuple<Args...>;
  if constexpr (sizeof...(Args) == kSkip + 1) {
    return std::tuple_element_t<kSkip, All>(std::get<kSkip>(std::move(arguments)));
  } else if constexpr (sizeof...(Args) > kSkip + 1) {
    return [&arguments]<std::size_t... I>(std::index_sequence<I...>) {
      return std::tuple<std::tuple_element_t<I + kSkip, All>...>(
          std::get<I + kSkip>(std::move(arguments))...);
    }
    (std::make_index_sequence<sizeof...(Args) - kSkip>());
  }
}

/// `co_await` of an operation whose handler takes `Args`.
template <class Token, class Initiation, class InitArgs, class... Args>
class AsioAwaiter final : public AsioWait {
 public:
  AsioAwaiter(Initiation&& initiation, InitArgs&& arguments)
      : initiation_(std::move(initiation)), arguments_(std::move(arguments)) {}

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> coroutine) {
    TaskCore* const task = TaskCore::current();
    if (!task) throw std::logic_error("co_await outside of a task");
    asio::io_context& context = io_context(task->loop());
    auto state = std::allocate_shared<State>(FrameAllocator<State>());
    state->wait = this;
    state_ = state.get();
    shared_ = state;
    begin(coroutine, [&] {
      std::apply(
          [&](auto&&... arguments) {
            std::move(initiation_)(Handler(std::move(state), context), std::move(arguments)...);
          },
          std::move(arguments_));
    });
  }
  auto await_resume() {
    std::optional<std::tuple<Args...>>& arguments = state_->arguments;
    if (!arguments) {
      resumed();
      throw std::system_error(asio::error::operation_aborted, "the operation was given up");
    }
    if (failed(*arguments)) {
      resumed();
    } else {
      resumed_with_result();
    }
    if constexpr (std::is_same_v<Token, UseCoroTuple>) {
      return std::tuple<Args...>(std::move(*arguments));
    } else {
      if constexpr (kHasFailure) throw_failure(std::get<0>(*arguments));
      return asio_result < kHasFailure ? 1 : 0 > (std::move(*arguments));
    }
  }

 private:
  struct State : Shared {
    std::optional<std::tuple<Args...>> arguments;

    void ended(bool called) {
      if (wait) static_cast<AsioAwaiter*>(wait)->AsioWait::ended(called);
    }
  };

  /// What Asio calls. On the loop's own executor, so that it is called on the loop's thread.
  class Handler {
   public:
    using executor_type = asio::io_context::executor_type;
    using cancellation_slot_type = asio::cancellation_slot;

    Handler(std::shared_ptr<State> state, asio::io_context& context) noexcept
        : state_(std::move(state)), context_(&context) {}
    Handler(Handler&&) noexcept = default;
    /// Dropped without a call: nobody else would wake the task. On the loop's thread, too.
    ~Handler() {
      if (state_) state_->ended(false);
    }
    executor_type get_executor() const noexcept { return context_->get_executor(); }
    cancellation_slot_type get_cancellation_slot() const noexcept {
      return state_->cancellation.slot();
    }
    template <class... A>
    void operator()(A&&... arguments) {
      const std::shared_ptr<State> state = std::move(state_);
      if (!state->wait) return;
      state->arguments.emplace(std::forward<A>(arguments)...);
      state->ended(true);
    }

   private:
    std::shared_ptr<State> state_;
    asio::io_context* context_;
  };

  static constexpr bool kHasFailure = [] {
    if constexpr (sizeof...(Args) > 0) {
      return is_asio_failure<std::tuple_element_t<0, std::tuple<Args...>>>;
    }
    return false;
  }();

  static bool failed([[maybe_unused]] const std::tuple<Args...>& arguments) noexcept {
    if constexpr (kHasFailure) return static_cast<bool>(std::get<0>(arguments));
    return false;
  }
  static void throw_failure(const asio::error_code& error) {
    if (error) throw std::system_error(error);
  }
  static void throw_failure(const std::exception_ptr& failure) {
    if (failure) std::rethrow_exception(failure);
  }

  Initiation initiation_;
  InitArgs arguments_;
  State* state_ = nullptr;  // shared_, by its type
};

/// What an initiating function returns for our tokens: the operation, not begun.
template <class Token, class Initiation, class InitArgs, class... Args>
class [[nodiscard]] AsioOperation {
 public:
  template <class... A>
  explicit AsioOperation(Initiation initiation, A&&... arguments)
      : initiation_(std::move(initiation)), arguments_(std::forward<A>(arguments)...) {}

  friend AsioAwaiter<Token, Initiation, InitArgs, Args...> operator co_await(AsioOperation&& self) {
    return {std::move(self.initiation_), std::move(self.arguments_)};
  }

 private:
  Initiation initiation_;
  InitArgs arguments_;
};

template <class Token, class... Args>
struct AsioInitiate {
  template <class Initiation, class... InitArgs>
  static auto initiate(Initiation&& initiation, Token, InitArgs&&... arguments) {
    return AsioOperation<Token, std::decay_t<Initiation>, std::tuple<std::decay_t<InitArgs>...>,
                         std::decay_t<Args>...>(std::forward<Initiation>(initiation),
                                                std::forward<InitArgs>(arguments)...);
  }
};

}  // namespace detail

}  // namespace ferry

template <class R, class... Args>
class asio::async_result<ferry::UseCoro, R(Args...)>
    : public ferry::detail::AsioInitiate<ferry::UseCoro, Args...> {};
template <class R, class... Args>
class asio::async_result<ferry::UseCoroTuple, R(Args...)>
    : public ferry::detail::AsioInitiate<ferry::UseCoroTuple, Args...> {};
