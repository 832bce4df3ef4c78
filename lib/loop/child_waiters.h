#pragma once

#include <ferry/fd.h>
#include <ferry/kernel.h>

#include <map>
#include <thread>

namespace ferry {

/// Stands in for pidfds where the system has none (Linux before 5.4) or refuses them (seccomp
/// filters of containers): a thread for each child waits for its end, and leaves it to be reaped.
/// The thread holds one end of a pipe, and the other end is the child's handle: it becomes readable
/// when the thread is through.
class ChildWaiters {
 public:
  ChildWaiters() = default;
  ChildWaiters(const ChildWaiters&) = delete;
  ChildWaiters& operator=(const ChildWaiters&) = delete;
  ~ChildWaiters();

  bool empty() const noexcept { return waiters_.empty(); }
  bool has(int handle) const noexcept { return waiters_.count(handle) > 0; }
  /// The handle, or an error if there is no thread or no pipe to be had.
  IoResult watch(int pid);
  // As the functions of Kernel; `has(handle)`.
  IoResult reap(int handle, bool wait, int& status);
  IoResult signal(int handle, int number);
  /// Before the handle is closed: the child has been reaped.
  void forget(int handle) noexcept;

 private:
  struct Waiter {
    int pid = -1;
    bool reaped = false;
    std::thread thread{};
  };
  std::map<int, Waiter> waiters_;  // by handle
};

constexpr int kPidfd = 3;  // P_PIDFD, which older headers of the system do not have

/// A pidfd of a child that can be waited for and signalled; -1 if the system has or gives none.
int open_pidfd(int child) noexcept;

/// waitid(2) for a child that has ended, without a word about those that have not (EAGAIN).
/// `number` is what `type` (P_PID, P_PIDFD) says.
IoResult reap_child(int type, int number, bool wait, int& status) noexcept;

}  // namespace ferry
