#include "child_waiters.h"

#include "worker_thread.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <system_error>
#include <utility>

namespace ferry {

ChildWaiters::~ChildWaiters() {
  for (auto& [handle, waiter] : waiters_) waiter.thread.join();
}

IoResult ChildWaiters::watch(int pid) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return {-1, errno};
  Fd handle(ends[0]);
  auto told = std::make_unique<Fd>(ends[1]);
  try {
    Waiter& waiter = waiters_[handle.get()];
    waiter.pid = pid;
    waiter.thread = start_worker_thread("ferry-child", [pid, told = std::move(told)]() mutable {
      siginfo_t info{};
      while (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT) != 0 &&
             errno == EINTR) {
      }
      told.reset();
    });
  } catch (const std::system_error& error) {
    waiters_.erase(handle.get());
    return {-1, error.code().value()};
  }
  return {handle.release(), 0};
}

IoResult ChildWaiters::reap(int handle, bool wait, int& status) {
  Waiter& waiter = waiters_.at(handle);
  if (waiter.reaped) return {-1, ECHILD};
  const IoResult r = reap_child(P_PID, waiter.pid, wait, status);
  waiter.reaped = !r.would_block();
  return r;
}

IoResult ChildWaiters::signal(int handle, int number) {
  const Waiter& waiter = waiters_.at(handle);
  // Nobody else can have got its number as long as it has not been reaped.
  siginfo_t info{};
  if (waiter.reaped ||
      ::waitid(P_PID, static_cast<id_t>(waiter.pid), &info, WEXITED | WNOWAIT | WNOHANG) != 0) {
    return {-1, ESRCH};
  }
  if (::kill(waiter.pid, number) != 0) return {-1, errno};
  return {};
}

void ChildWaiters::forget(int handle) noexcept {
  const auto found = waiters_.find(handle);
  if (found == waiters_.end()) return;
  found->second.thread.join();
  waiters_.erase(found);
}

IoResult reap_child(int type, int number, bool wait, int& status) noexcept {
  siginfo_t info{};
  const int flags = WEXITED | (wait ? 0 : WNOHANG);
  while (::waitid(static_cast<idtype_t>(type), static_cast<id_t>(number), &info, flags) != 0) {
    if (errno != EINTR) return {-1, errno};
  }
  if (info.si_pid == 0) return {-1, EAGAIN};
  status = info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
  return {};
}

}  // namespace ferry
