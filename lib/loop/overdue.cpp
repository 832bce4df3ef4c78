// What must be called although the ready queue has no memory for it.

#include "loop_state.h"

#include <cstdint>
#include <utility>

namespace ferry {

void EventLoop::exit_soon(LoopExit exit) noexcept {
  try {
    call_soon([exit] { throw LoopExit(exit); });
  } catch (...) {
    state_->overdue_exit = exit;
    note_overdue();
  }
}

void EventLoop::note_overdue() noexcept {
  state_->overdue = true;
  request_drain();
}

/// Calls what could not be put into the ready queue; not more of each kind than a turn runs, for
/// while there is no memory each may bring about the next.
void EventLoop::run_overdue() {
  LoopState& s = *state_;
  struct Again {
    LoopState& s;
    bool done = false;
    explicit Again(LoopState& state) : s(state) { s.overdue = false; }
    ~Again() {
      if (!done) s.overdue = true;  // a LoopExit passes
    }
  } again(s);
  for (int number = 1; s.overdue_signals != 0; ++number) {
    const std::uint64_t bit = std::uint64_t{1} << (number - 1);
    if (!(s.overdue_signals & bit)) continue;
    s.overdue_signals &= ~bit;
    run_callback([&] { run_signal_handler(number); });
  }
  arm_timer(s.timers.next());
  // Each call may change the lists: so from the beginning, after each.
  const auto first_overdue = [](auto* each) {
    while (each && !each->overdue_) each = each->next_;
    return each;
  };
  LoopResource* resource = nullptr;
  for (std::size_t budget = kCallbacksPerTurn; (resource = first_overdue(s.resources)) != nullptr;
       --budget) {
    if (budget == 0) {
      note_overdue();
      break;
    }
    resource->overdue_ = false;
    resource->on_overdue();
  }
  FutureState* future = nullptr;
  for (std::size_t budget = kCallbacksPerTurn; (future = first_overdue(s.futures)) != nullptr;
       --budget) {
    if (budget == 0) {
      note_overdue();
      break;
    }
    future->overdue_ = false;
    struct Release {  // what was held for this
      FutureState& state;
      ~Release() { state.release(); }
    } release{*future};
    future->run_callbacks();
  }
  if (extension_) extension_->on_overdue();
  again.done = true;
  if (const auto exit = std::exchange(s.overdue_exit, {})) throw LoopExit(*exit);
}

}  // namespace ferry
