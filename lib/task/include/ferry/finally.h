#pragma once

#include <ferry/coro.h>

#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace ferry {

/// `co_await finally(work(), clean_up())`: Python's try and finally, for a clean-up that awaits, as
/// no destructor and no catch block can. `clean_up` runs when `work` has ended, however that was,
/// by a cancellation too; then the result of `work` is the result, or its exception comes out. An
/// exception out of `clean_up` comes in place of that. If the loop closes meanwhile both are
/// destroyed where they wait. For a resource that is entered and left see `with`.
template <class T>
Coro<T> finally(Coro<T> work, Coro<> clean_up) {
  std::exception_ptr failure;
  if constexpr (std::is_void_v<T>) {
    try {
      co_await std::move(work);
    } catch (...) {
      failure = std::current_exception();
    }
    co_await std::move(clean_up);
    if (failure) std::rethrow_exception(failure);
  } else {
    std::optional<T> result;
    try {
      result.emplace(co_await std::move(work));
    } catch (...) {
      failure = std::current_exception();
    }
    co_await std::move(clean_up);
    if (failure) std::rethrow_exception(failure);
    co_return std::move(*result);
  }
}

}  // namespace ferry
