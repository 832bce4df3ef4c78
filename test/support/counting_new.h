#pragma once

#include <cstddef>
#include <string>
#include <utility>

// For a program that is linked with counting_new.cpp, which replaces the operators new and delete
// for the whole program. Everything here concerns the calling thread, if nothing else is said.

/// How often this thread has asked for memory by `new`, in whatever form.
std::size_t allocations() noexcept;
/// How many blocks it has got and not given back; less what others gave it and it freed.
std::ptrdiff_t live_allocations() noexcept;
/// The bytes of those, and the most since the last `reset_peak_bytes`.
std::ptrdiff_t live_bytes() noexcept;
std::ptrdiff_t peak_bytes() noexcept;
void reset_peak_bytes() noexcept;
/// Of all threads together, those that have ended included: what one gets another may free.
std::ptrdiff_t live_allocations_of_all() noexcept;

/// Makes an allocation fail: the n-th that counts from now on, 0 being the next; and those behind
/// it until so many `times` one has failed. It throws std::bad_alloc, or gives a null pointer where
/// that is asked for. Replaces what was ordered before.
void fail_allocation(std::size_t n, std::size_t times = 1) noexcept;
/// The same, once, of the allocations of all threads, counted together in the order they come;
/// those of a child process (fork) never fail.
void fail_allocation_of_any_thread(std::size_t n) noexcept;
/// None fails any more. `allocation_failed` and its kin keep what they know.
void fail_no_allocation() noexcept;
/// Whether the allocation that was ordered to fail has come and failed.
bool allocation_failed() noexcept;
/// Where that was, the first time: a line a call, for addr2line(1) or a reader. Empty where it is
/// not known.
std::string failed_allocation_stack();

/// While one exists, allocations do not count for `fail_allocation`, or do: what belongs to the
/// test is exempt, and what it calls is not.
class AllocationsExempt {
 public:
  explicit AllocationsExempt(bool exempt = true) noexcept;
  AllocationsExempt(const AllocationsExempt&) = delete;
  AllocationsExempt& operator=(const AllocationsExempt&) = delete;
  ~AllocationsExempt();

 private:
  bool before_;
};

/// Runs `f` with the allocations in it not counted.
template <class F>
decltype(auto) exempt(F&& f) {
  const AllocationsExempt guard;
  return std::forward<F>(f)();
}
/// Inside of that: runs `f` with the allocations in it counted again.
template <class F>
decltype(auto) counted(F&& f) {
  const AllocationsExempt guard(false);
  return std::forward<F>(f)();
}
/// Runs `f` while this thread's next `times` allocations fail.
template <class F>
void without_memory(F&& f, std::size_t times = 1000) {
  struct Again {
    ~Again() { fail_no_allocation(); }
  } again;
  fail_allocation(0, times);
  std::forward<F>(f)();
}
