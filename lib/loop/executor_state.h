#pragma once

#include <ferry/executor.h>

#include <memory>
#include <utility>

namespace ferry {

/// A loop's default executor, which is detached when the loop lets go of it.
struct ExecutorState {
  std::shared_ptr<Executor> executor;  // null until the first job
  bool made_by_loop = false;           // not given by set_default_executor
  bool shut_down = false;              // for good

  ExecutorState() = default;
  ExecutorState(const ExecutorState&) = delete;
  ExecutorState& operator=(ExecutorState&& other) noexcept {
    std::swap(executor, other.executor);
    std::swap(made_by_loop, other.made_by_loop);
    std::swap(shut_down, other.shut_down);
    return *this;
  }
  ~ExecutorState() {
    if (executor) executor->detach();
  }
};

}  // namespace ferry
