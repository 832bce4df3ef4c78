#pragma once

#include <ferry/event_loop.h>
#include <ferry/process_value.h>

#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

namespace ferry {

/// A worker process ended before it had answered: the call it had been given is lost. It may or may
/// not have had its effects.
class BrokenWorkerError : public std::runtime_error {
 public:
  explicit BrokenWorkerError(const std::string& what, int status = 0)
      : std::runtime_error(what), status_(status) {}
  /// Its exit code, or the number of the signal that killed it, negated. 0 also if not known.
  int status() const noexcept { return status_; }

 private:
  int status_;
};

/// What a function threw in a worker process: `what` is the exception's own, for one that is no
/// std::exception its type.
class RemoteError : public std::runtime_error {
 public:
  RemoteError(const std::string& what, std::string type)
      : std::runtime_error(what), type_(std::move(type)) {}
  /// The exception's type, as the language spells it: "std::out_of_range".
  const std::string& type() const noexcept { return type_; }

 private:
  std::string type_;
};

/// One call of a ProcessPool, from `run` until its future is done.
class ProcessCallBase : public LoopResource {
 public:
  /// Runs in the worker: reads arguments, calls `function`, writes its result.
  using Stub = void (*)(void (*function)(), ValueReader& arguments, ValueWriter& result);

  explicit ProcessCallBase(EventLoop& loop) : LoopResource(loop, Kind::job) {}

  /// Exactly one of these, and nothing after it: the answer has come, there will be none, or the
  /// pool ends.
  virtual void answer(BytesView result) = 0;
  virtual void fail(std::exception_ptr error) = 0;
  virtual void cancel(std::string_view message) = 0;

 private:
  friend class ProcessPool;
  std::string request_;  // until it has begun to be sent
};

/// Workers that are processes, for functions that compute long or may crash. Each runs one call at
/// a time; one that dies fails the call it runs and nothing else, and is replaced. Like
/// Python's ProcessPoolExecutor.
///
/// The constructor forks a small server, which forks the workers and their replacements: they are
/// copies of the program as it is at that moment. So make the pool early: before the
/// program has threads (a copy of a lock that a thread holds is locked for ever; the constructor
/// refuses), and after whatever the functions read has been set up. What a function changes stays
/// in its worker.
///
/// Workers have standard input from /dev/null, output and error from the program, and no other
/// descriptor of it. They ignore SIGINT, which a terminal sends to the whole group: whether calls
/// under way are to end is for the program to say. Its other signal handlers are not theirs, but
/// those of faults (SIGSEGV and its kin). They end when the pool does, and when the program and its
/// forked children have died, however that happens. To such a child (fork(2) without exec) the pool
/// is of no use.
///
/// One thread and one loop at a time: calls of another loop are refused while any are under way.
/// https://docs.python.org/3/library/concurrent.futures.html#processpoolexecutor
class ProcessPool {
 public:
  struct Options {
    std::size_t workers = 0;      ///< 0: cores; at most kMaxWorkers.
    std::size_t queued = 10'000;  ///< Calls that may wait for a worker.
    /// Bytes of arguments, and of a result. What an exception says is cut where it is longer.
    std::size_t message_limit = 64U << 20U;
    /// Do not refuse if the program has threads. What the functions call must then need no
    /// lock that one of them may hold just now; the allocator is safe.
    bool allow_threads = false;
  };
  static constexpr std::size_t kMaxWorkers = 512;

  ProcessPool() : ProcessPool(Options{}) {}
  /// Throws std::logic_error if the program has more than one thread, std::invalid_argument for too
  /// many workers, std::system_error if there is no process to be had.
  explicit ProcessPool(Options options);
  ProcessPool(const ProcessPool&) = delete;
  ProcessPool& operator=(const ProcessPool&) = delete;
  /// Kills the workers and waits until they are gone, which is soon. The futures of calls that are
  /// not done are cancelled. To let them end await `shutdown` first: a destructor cannot run the
  /// loop.
  ~ProcessPool();

  /// Runs `function(args...)` in a worker. Arguments and result are sent as their ProcessValue;
  /// the arguments are converted to the parameters' types first, at once. Calls begin in order.
  ///
  /// The future gets the result; RemoteError for what the function threw (and if its result is
  /// larger than the limit), BrokenWorkerError if the worker died, std::system_error if no worker
  /// can be forked. Cancelling it, or closing the loop, keeps the call from beginning; one that
  /// runs goes on to its end, its result dropped.
  ///
  /// `function` must have been there when the pool was made: not of a library opened since.
  /// Throws std::logic_error after `shutdown` and for a second loop, std::length_error if too many
  /// calls wait or the arguments are too large, BrokenWorkerError if the fork server is
  /// gone, std::system_error if the loop's kernel has no processes (a simulation's).
  template <class R, class... P, class... Args>
  requires(sizeof...(P) == sizeof...(Args)) Future<std::decay_t<R>> run(EventLoop& loop,
                                                                        R (*function)(P...),
                                                                        Args&&... args);
  /// The same for a lambda without captures.
  template <class F, class... Args>
  requires(std::is_class_v<F>&& requires(F f) { +f; }) auto run(EventLoop& loop, F f,
                                                                Args&&... args) {
    return run(loop, +f, std::forward<Args>(args)...);
  }

  /// Takes no more calls. Done when those it has have run to their end, also if their futures were
  /// cancelled, and the workers are gone; with `cancel_futures` calls that have not begun are
  /// cancelled. Dropping or cancelling the future changes nothing about that. May be called again,
  /// also to cancel after all. Throws std::logic_error while calls of another loop are under way,
  /// std::system_error if the loop's kernel has no processes; then the pool goes on as it was.
  Future<void> shutdown(EventLoop& loop, bool cancel_futures = false);

  /// How many workers there are, or are being made.
  std::size_t workers() const noexcept;

 private:
  struct State;
  friend struct State;
  template <class R>
  friend class ProcessCall;

  /// The beginning of a request, to which arguments are appended.
  static ValueWriter begin_request(ProcessCallBase::Stub stub, void (*function)());
  void submit(std::shared_ptr<ProcessCallBase> call, ValueWriter request);
  /// Nobody wants its result any more.
  static void drop(State& state, ProcessCallBase& call) noexcept;
  static std::string& request_of(ProcessCallBase& call) noexcept { return call.request_; }

  std::unique_ptr<State> state_;
};

/// As what a parameter of type P arrives in the worker: views as what they look at.
template <class P>
struct ProcessParameter {
  using type = std::decay_t<P>;
};
template <class C, class Traits>
struct ProcessParameter<std::basic_string_view<C, Traits>> {
  using type = std::basic_string<C, Traits>;
};
template <class T>
struct ProcessParameter<std::span<const T>> {
  using type = std::vector<T>;
};
template <>
struct ProcessParameter<BytesView> {
  using type = std::vector<std::byte>;
};
template <class P>
using ProcessParameterT = typename ProcessParameter<std::remove_cvref_t<P>>::type;

template <class P, class Arg>
void write_parameter(ValueWriter& out, Arg&& arg) {
  using Stored = ProcessParameterT<P>;
  if constexpr (std::is_same_v<std::decay_t<Arg>, Stored>) {
    write_value<Stored>(out, arg);
  } else if constexpr (std::is_same_v<std::decay_t<P>, Stored>) {
    const auto value = static_cast<Stored>(std::forward<Arg>(arg));
    write_value(out, value);
  } else {
    const std::remove_cvref_t<P> view = arg;
    write_value(out, Stored(view.begin(), view.end()));
  }
}

template <class P>
decltype(auto) pass_parameter(ProcessParameterT<P>& stored) {
  if constexpr (std::is_same_v<std::decay_t<P>, ProcessParameterT<P>>) {
    return static_cast<P&&>(stored);
  } else {
    return std::remove_cvref_t<P>(stored);
  }
}

template <class R, class... P>
void run_process_call(void (*function)(), ValueReader& arguments, ValueWriter& result) {
  const auto target = reinterpret_cast<R (*)(P...)>(function);
  std::tuple<ProcessParameterT<P>...> values{read_value<ProcessParameterT<P>>(arguments)...};
  const auto call = [target](ProcessParameterT<P>&... value) -> R {
    return target(pass_parameter<P>(value)...);
  };
  if constexpr (std::is_void_v<R>) {
    std::apply(call, values);
  } else {
    const std::decay_t<R>& value = std::apply(call, values);
    write_value(result, value);
  }
  static_cast<void>(result);
}

template <class R>
class ProcessCall final : public ProcessCallBase {
 public:
  explicit ProcessCall(EventLoop& loop) : ProcessCallBase(loop), future_(loop) {}
  ~ProcessCall() override { future_.set_cancel_hook({}); }  // it names this

  Future<R> begin(ProcessPool::State& pool) {
    future_.set_cancel_hook([this, &pool] { end(pool); });
    pool_ = &pool;
    return future_;
  }
  void answer(BytesView result) override {
    const Future<R> future = over();
    if (future.done()) return;  // whoever has it has completed it himself
    try {
      if constexpr (std::is_void_v<R>) {
        static_cast<void>(result);
        future.set_result();
      } else {
        ValueReader in(result);
        future.try_set_result(read_value<R>(in));
      }
    } catch (...) {  // reading it threw
      if (!future.done()) future.set_exception(std::current_exception());
    }
  }
  void fail(std::exception_ptr error) override {
    const Future<R> future = over();
    if (!future.done()) future.set_exception(std::move(error));
  }
  void cancel(std::string_view message) override { over().cancel(message); }

 private:
  void on_loop_close() override { end(*pool_); }
  Future<R> over() {
    leave_loop();
    future_.set_cancel_hook({});
    return future_;
  }
  /// May destroy this.
  void end(ProcessPool::State& pool) noexcept {
    leave_loop();
    ProcessPool::drop(pool, *this);
  }

  Future<R> future_;
  ProcessPool::State* pool_ = nullptr;
};

template <class R, class... P, class... Args>
requires(sizeof...(P) == sizeof...(Args)) Future<std::decay_t<R>> ProcessPool::run(
    EventLoop& loop, R (*function)(P...), Args&&... args) {
  static_assert((std::is_convertible_v<Args, P> && ...), "an argument of another type");
  static_assert(
      (!(std::is_lvalue_reference_v<P> && !std::is_const_v<std::remove_reference_t<P>>)&&...),
      "what a function does to an argument stays in the worker: take it by value");
  static_assert((ProcessPortable<ProcessParameterT<P>> && ...),
                "an argument cannot be sent: specialise ferry::ProcessValue");
  using Result = std::decay_t<R>;
  if constexpr (!std::is_void_v<R>) {
    static_assert(ProcessPortable<Result>,
                  "the result cannot be sent: specialise ferry::ProcessValue");
  }
  if (!function) throw std::invalid_argument("ProcessPool::run: no function");
  ValueWriter request =
      begin_request(&run_process_call<R, P...>, reinterpret_cast<void (*)()>(function));
  (write_parameter<P>(request, std::forward<Args>(args)), ...);
  const auto call = std::make_shared<ProcessCall<Result>>(loop);
  Future<Result> future = call->begin(*state_);
  submit(call, std::move(request));
  return future;
}

template <class R, class... P, class... Args>
Future<std::decay_t<R>> EventLoop::run_in_executor(ProcessPool& pool, R (*function)(P...),
                                                   Args&&... args) {
  return pool.run(*this, function, std::forward<Args>(args)...);
}

}  // namespace ferry
