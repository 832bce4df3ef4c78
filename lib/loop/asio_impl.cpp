// Asio, compiled once. A standard header comes first: Asio's configuration looks for macros of the
// standard library's before it includes any of it, and must find here what it finds in the other
// files, or one allocates with aligned_alloc what the other one deletes.
#include <cstddef>

#include <asio/impl/src.hpp>
#include <asio/version.hpp>

#include <fcntl.h>
#include <unistd.h>

namespace ferry {

/// In a forked child: puts a pipe of its own in the place of the one through which Asio's signal
/// handler talks to the loops, or a signal to the child would run the parent's handlers. Asio's
/// notify_fork does the same, but must be told before the fork, with every loop standing still.
/// Async-signal-safe. The state has no public name; it is the same in Asio 1.12 to 1.38.
void renew_signal_pipe() noexcept {
#if ASIO_VERSION >= 101200 && ASIO_VERSION < 103900
  const asio::detail::signal_state* state = asio::detail::get_signal_state();
  int ends[2];
  if (state->read_descriptor_ < 0 || ::pipe(ends) != 0) return;
  const int old[2] = {state->read_descriptor_, state->write_descriptor_};
  for (int i = 0; i < 2; ++i) {
    ::fcntl(ends[i], F_SETFL, O_NONBLOCK);
    ::dup2(ends[i], old[i]);
    ::fcntl(old[i], F_SETFD, FD_CLOEXEC);
    ::close(ends[i]);
  }
#endif
}

/// For who closes what a forked child has inherited: those two are to stay. -1: there are none.
void signal_pipe(int (&ends)[2]) noexcept {
  ends[0] = ends[1] = -1;
#if ASIO_VERSION >= 101200 && ASIO_VERSION < 103900
  const asio::detail::signal_state* state = asio::detail::get_signal_state();
  ends[0] = state->read_descriptor_;
  ends[1] = state->write_descriptor_;
#endif
}

}  // namespace ferry
