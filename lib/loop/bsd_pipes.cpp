// The calls of Kernel on what is no socket: pipes, terminals, other devices, files.

#include "bsd_sockets.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace ferry {

namespace {

// Since Linux 6.18; not yet in the system's headers.
constexpr int kNoSignal = 0x100;  // RWF_NOSIGNAL

/// While one exists, a write to a pipe that nobody reads raises no SIGPIPE (of this thread's own).
class NoSigpipe {
 public:
  NoSigpipe() noexcept {
    sigset_t pending;
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  NoSigpipe(const NoSigpipe&) = delete;
  NoSigpipe& operator=(const NoSigpipe&) = delete;
  ~NoSigpipe() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

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
  bool was_pending_;
};

ssize_t send_file_quietly(int fd, int file, off_t from, std::size_t count) noexcept {
  const NoSigpipe guard;
  const ssize_t sent = ::sendfile(fd, file, &from, count);
  if (sent < 0 && errno == EPIPE) guard.take();
  return sent;
}

ssize_t write_quietly(int fd, const iovec* pieces, int count) noexcept {
  const NoSigpipe guard;
  const ssize_t written = ::writev(fd, pieces, count);
  if (written < 0 && errno == EPIPE) guard.take();
  return written;
}

}  // namespace

IoResult BsdSockets::read(int fd, MutableBytes into) {
  for (;;) {
    const ssize_t got = ::read(fd, into.data(), into.size());
    if (got >= 0) return {got, 0};
    if (errno != EINTR) return {-1, errno};
  }
}

IoResult BsdSockets::write_pieces(int fd, std::span<const BytesView> pieces) {
  iovec vectors[kMaxPieces];
  const std::size_t count = std::min(pieces.size(), kMaxPieces);
  for (std::size_t i = 0; i < count; ++i) {
    vectors[i] = {const_cast<std::byte*>(pieces[i].data()), pieces[i].size()};
  }
  for (;;) {
    const int number = static_cast<int>(count);
    ssize_t written = -1;
    if (quiet_writes_) {
      written = ::pwritev2(fd, vectors, number, -1, kNoSignal);
      if (written < 0 && (errno == EOPNOTSUPP || errno == EINVAL || errno == ENOSYS)) {
        quiet_writes_ = false;  // an older system: for good
      }
    }
    if (!quiet_writes_) written = write_quietly(fd, vectors, number);
    if (written >= 0) return {written, 0};
    if (errno != EINTR) return {-1, errno};
  }
}

IoResult BsdSockets::file_type(int fd) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return {-1, errno};
  return {static_cast<std::ptrdiff_t>(status.st_mode & S_IFMT), 0};
}

IoResult BsdSockets::is_blocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0) return {-1, errno};
  return {(flags & O_NONBLOCK) == 0 ? 1 : 0, 0};
}

IoResult BsdSockets::duplicate(int fd) {
  const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return {-1, errno};
  return {copy, 0};
}

IoResult BsdSockets::send_file(int fd, int file, std::uint64_t offset, std::size_t count) {
  for (;;) {
    const ssize_t sent = send_file_quietly(fd, file, static_cast<off_t>(offset), count);
    if (sent >= 0) return {sent, 0};
    if (errno != EINTR) return {-1, errno};
  }
}

IoResult BsdSockets::read_at(int file, std::uint64_t offset, MutableBytes into) {
  return read_file(file, offset, into);
}

IoResult read_file(int file, std::uint64_t offset, MutableBytes into) noexcept {
  for (;;) {
    const ssize_t got = ::pread(file, into.data(), into.size(), static_cast<off_t>(offset));
    if (got >= 0) return {got, 0};
    if (errno != EINTR) return {-1, errno};
  }
}

IoResult BsdSockets::seek(int file, std::uint64_t offset) {
  if (::lseek(file, static_cast<off_t>(offset), SEEK_SET) < 0) return {-1, errno};
  return {};
}

IoResult BsdSockets::pipe(int& read_end, int& write_end) {
  int ends[2];
  if (::pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return {-1, errno};
  read_end = ends[0];
  write_end = ends[1];
  return {};
}

}  // namespace ferry
