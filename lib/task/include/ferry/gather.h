#pragma once

#include <ferry/any_future.h>

#include <exception>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace ferry {

/// What became of an awaitable: a value or an exception, which may be a CancelledError.
template <class T>
class Outcome {
 public:
  using Value = std::conditional_t<std::is_void_v<T>, Nothing, T>;

  explicit Outcome(Value value) : value_(std::move(value)) {}
  explicit Outcome(std::exception_ptr exception) noexcept : exception_(std::move(exception)) {}

  bool has_value() const noexcept { return value_.has_value(); }
  explicit operator bool() const noexcept { return has_value(); }
  /// Throws the exception if that is what there is.
  Value& value() {
    if (exception_) std::rethrow_exception(exception_);
    return *value_;
  }
  const Value& value() const {
    if (exception_) std::rethrow_exception(exception_);
    return *value_;
  }
  /// Null if there is a value.
  const std::exception_ptr& exception() const noexcept { return exception_; }

 private:
  std::optional<Value> value_;
  std::exception_ptr exception_;
};

/// For gather: failures are results like others.
struct ReturnExceptions {};
inline constexpr ReturnExceptions return_exceptions{};

/// The future of a gathering: waits for its children, whatever they are.
class GatherCore : public DependentFuture {
 public:
  void all_awaited(std::vector<FutureState*>& futures) const override;
  std::string_view what() const noexcept override { return "gather"; }

 protected:
  GatherCore(FutureState& future, bool collect_failures) noexcept
      : future_(future), collect_failures_(collect_failures) {}
  virtual ~GatherCore() = default;

  /// Throws std::invalid_argument for futures of different loops.
  void watch(std::vector<AnyFuture> children);
  bool cancel_children(std::string_view message);
  /// All are done: give the values.
  virtual void collect() = 0;

  std::vector<AnyFuture> children_;  // each once, until all are done

 private:
  void child_done(FutureState& child);
  void finish();

  FutureState& future_;  // the same object
  std::size_t pending_ = 0;
  bool collect_failures_;
  bool cancel_requested_ = false;
};

/// `Results` is a tuple or a vector, `Futures` a tuple or a vector of what they come from.
template <class Results, class Futures, class Collect>
class GatherCell final : public FutureCell<Results>, public GatherCore {
 public:
  GatherCell(EventLoop& loop, Futures futures, bool collect_failures, Collect collect)
      : FutureCell<Results>(loop),
        GatherCore(static_cast<FutureState&>(*this), collect_failures),
        futures_(std::move(futures)),
        collect_(std::move(collect)) {}

  void begin(std::vector<AnyFuture> children) { this->watch(std::move(children)); }
  bool cancel(std::string_view message) override {
    return !this->done() && this->cancel_children(message);
  }

 private:
  void collect() override {
    Futures futures = std::move(futures_);
    try {
      this->set_value(collect_(futures));
    } catch (...) {  // a copy of a value
      this->set_exception(std::current_exception());
    }
  }

  Futures futures_;
  Collect collect_;
};

namespace detail {

template <class A>
using ValueOf = AwaitResult<A>;

/// A copy: others may hold the future too, and look at it later.
template <class T>
typename Outcome<T>::Value stored_value(const Future<T>& future) {
  if constexpr (std::is_void_v<T>) {
    future.result();
    return {};
  } else if constexpr (std::is_copy_constructible_v<T>) {
    return future.result();
  } else {
    return std::move(future.result());
  }
}
template <class T>
Outcome<T> outcome(const Future<T>& future) {
  if (std::exception_ptr failure = future.state()->failure()) return Outcome<T>(std::move(failure));
  return Outcome<T>(stored_value(future));
}

template <class Results, class Futures, class Collect>
Future<Results> start_gather(EventLoop& loop, Futures futures, std::vector<AnyFuture> children,
                             bool collect_failures, Collect collect) {
  auto* const cell = new GatherCell<Results, Futures, Collect>(
      loop, std::move(futures), collect_failures, std::move(collect));
  const Future<Results> future(cell);
  cell->begin(std::move(children));
  return future;
}

template <class... T>
EventLoop& loop_of(const std::tuple<Future<T>...>& futures) {
  if constexpr (sizeof...(T) == 0) {
    return get_running_loop();
  } else {
    return std::get<0>(futures).get_loop();
  }
}

template <bool kReturnExceptions, class... T>
auto gather_tuple(std::tuple<Future<T>...> futures) {
  using Futures = std::tuple<Future<T>...>;
  using Results = std::conditional_t<kReturnExceptions, std::tuple<Outcome<T>...>,
                                     std::tuple<typename Outcome<T>::Value...>>;
  EventLoop& loop = loop_of(futures);
  std::vector<AnyFuture> children;
  std::apply([&](const auto&... each) { (children.push_back(each), ...); }, futures);
  return start_gather<Results>(loop, std::move(futures), std::move(children), kReturnExceptions,
                               [](Futures& done) {
                                 return std::apply(
                                     [](const auto&... each) {
                                       if constexpr (kReturnExceptions) {
                                         return Results(outcome(each)...);
                                       } else {
                                         return Results(stored_value(each)...);
                                       }
                                     },
                                     done);
                               });
}

template <bool kReturnExceptions, class T>
auto gather_vector(std::vector<Future<T>> futures) {
  using Futures = std::vector<Future<T>>;
  using Results =
      std::vector<std::conditional_t<kReturnExceptions, Outcome<T>, typename Outcome<T>::Value>>;
  EventLoop& loop = futures.empty() ? get_running_loop() : futures.front().get_loop();
  std::vector<AnyFuture> children(futures.begin(), futures.end());
  return start_gather<Results>(loop, std::move(futures), std::move(children), kReturnExceptions,
                               [](Futures& done) {
                                 Results results;
                                 results.reserve(done.size());
                                 for (const Future<T>& each : done) {
                                   if constexpr (kReturnExceptions) {
                                     results.push_back(outcome(each));
                                   } else {
                                     results.push_back(stored_value(each));
                                   }
                                 }
                                 return results;
                               });
}

template <class A>
std::vector<Future<ValueOf<A>>> as_futures(std::vector<A> awaitables) {
  std::vector<Future<ValueOf<A>>> futures;
  futures.reserve(awaitables.size());
  for (A& each : awaitables) futures.push_back(ensure_future(std::move(each)));
  return futures;
}

}  // namespace detail

/// Runs all at once: futures as they are, what else can be awaited as a new task. Done with all
/// their values, in the order of the arguments (Nothing for void). The first that fails ends it
/// with its exception, and the others run on. Cancelling it cancels all, and it ends with
/// CancelledError when they have all ended. A future given twice runs once. Values are copied out
/// of futures, or moved if they cannot be copied.
/// https://docs.python.org/3/library/asyncio-task.html#asyncio.gather
template <Awaitable... A>
auto gather(A... awaitables) {
  // Braces: from left to right, as the tasks are to start.
  return detail::gather_tuple<false>(
      std::tuple<Future<detail::ValueOf<A>>...>{ensure_future(std::move(awaitables))...});
}
/// The same, but failures are results; never fails itself, unless it is cancelled.
template <Awaitable... A>
auto gather(ReturnExceptions, A... awaitables) {
  return detail::gather_tuple<true>(
      std::tuple<Future<detail::ValueOf<A>>...>{ensure_future(std::move(awaitables))...});
}
/// Of any number of one type: a vector.
template <Awaitable A>
auto gather(std::vector<A> awaitables) {
  return detail::gather_vector<false>(detail::as_futures(std::move(awaitables)));
}
template <Awaitable A>
auto gather(ReturnExceptions, std::vector<A> awaitables) {
  return detail::gather_vector<true>(detail::as_futures(std::move(awaitables)));
}

}  // namespace ferry
