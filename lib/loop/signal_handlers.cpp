#include "loop_state.h"

#include <csignal>
#include <stdexcept>

namespace ferry {

void EventLoop::add_signal_handler(int signal_number, Function<void()> callback) {
  check_usable("add_signal_handler");
  if (signal_number < 1 || signal_number >= NSIG) {
    throw std::invalid_argument("add_signal_handler: " + std::to_string(signal_number) +
                                " is not a signal number");
  }
  if (signal_number == SIGKILL || signal_number == SIGSTOP) {
    throw std::logic_error("add_signal_handler: signal " + std::to_string(signal_number) +
                           " cannot be caught");
  }
  if (!callback) throw std::invalid_argument("add_signal_handler: the callback is empty");
  auto handling = std::make_shared<Function<void()>>(std::move(callback));
  auto& handler = state_->signals[signal_number];
  if (!handler) {
    try {
      if (const std::error_code error = kernel_->watch_signal(signal_number)) {
        throw std::system_error(error, "add_signal_handler");
      }
    } catch (...) {
      state_->signals.erase(signal_number);
      throw;
    }
  }
  handler = std::move(handling);
}

bool EventLoop::remove_signal_handler(int signal_number) {
  const auto found = state_->signals.find(signal_number);
  if (found == state_->signals.end()) return false;
  const auto handler = std::move(found->second);
  state_->signals.erase(found);
  kernel_->unwatch_signal(signal_number);
  return true;
}

}  // namespace ferry
