#pragma once

#include <signal.h>

#include <cerrno>

namespace ferry {

/// While one exists, a write that nobody reads raises no SIGPIPE of this thread's own: for the
/// calls that have no flag to say so.
class NoSigpipe {
 public:
  NoSigpipe() noexcept {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
    was_blocked_ = sigismember(&before_, SIGPIPE) == 1;
    if (!was_blocked_) return;  // then none can have been pending
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
  }
  NoSigpipe(const NoSigpipe&) = delete;
  NoSigpipe& operator=(const NoSigpipe&) = delete;
  ~NoSigpipe() {
    if (!was_blocked_) pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

  /// The write has failed with EPIPE: takes the signal that came with it.
  void take() const noexcept {
    const int error = errno;
    const timespec at_once{};
    if (!was_pending_) sigtimedwait(&pipe_, nullptr, &at_once);
    errno = error;
  }

 private:
  sigset_t pipe_;
  sigset_t before_;
  bool was_blocked_ = false;
  bool was_pending_ = false;
};

}  // namespace ferry
