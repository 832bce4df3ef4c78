#include <ferry/fd.h>

#include <cerrno>

#include <unistd.h>

namespace ferry {

void Fd::reset(int fd) noexcept {
  const int old = std::exchange(fd_, fd);
  if (old < 0 || old == fd) return;
  // Descriptors are often closed between a failed call and the reading of its errno. EINTR is not
  // repeated: Linux has closed the descriptor by then (close(2)).
  const int error = errno;
  ::close(old);
  errno = error;
}

}  // namespace ferry
