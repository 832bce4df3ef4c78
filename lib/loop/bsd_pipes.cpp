// The calls of Kernel on what is no socket: pipes, terminals, other devices, files.

#include "bsd_sockets.h"
#include "no_sigpipe.h"

#include <fcntl.h>
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
constexpr unsigned kSplice = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;

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
  return duplicate_file(fd);
}

IoResult duplicate_file(int fd) noexcept {
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

IoResult BsdSockets::splice_in(int socket, int pipe, std::size_t count) {
  for (;;) {
    const ssize_t moved = ::splice(socket, nullptr, pipe, nullptr, count, kSplice);
    if (moved >= 0) return {moved, 0};
    if (errno != EINTR) return {-1, errno};
  }
}

IoResult BsdSockets::splice_out(int pipe, int socket, std::size_t count) {
  const NoSigpipe guard;
  for (;;) {
    const ssize_t moved = ::splice(pipe, nullptr, socket, nullptr, count, kSplice);
    if (moved >= 0) return {moved, 0};
    if (errno == EPIPE) guard.take();
    if (errno != EINTR) return {-1, errno};
  }
}

IoResult BsdSockets::set_pipe_size(int fd, std::size_t bytes) {
  const int size = ::fcntl(fd, F_SETPIPE_SZ, static_cast<int>(bytes));
  if (size < 0) return {-1, errno};
  return {size, 0};
}

IoResult BsdSockets::seek(int file, std::uint64_t offset) {
  return seek_file(file, offset);
}

IoResult seek_file(int file, std::uint64_t offset) noexcept {
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
