#include "sock_operation.h"

#include <ferry/sock.h>

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <memory>

namespace ferry {

namespace {

constexpr std::size_t kChunk = 64 * 1024;
/// At a time, so that a fast peer does not keep the loop here.
constexpr std::uint64_t kTurn = 4 * 1024 * 1024;

/// The state of one sock_sendfile.
class FileSender {
 public:
  FileSender(Kernel& kernel, int file, std::uint64_t offset, std::optional<std::uint64_t> count,
             bool fallback)
      : kernel_(kernel),
        file_(file),
        offset_(offset),
        left_(count.value_or(std::numeric_limits<std::uint64_t>::max())),
        fallback_(fallback) {}

  /// True if the future is done now.
  bool attempt(int fd, Future<std::uint64_t>& result) {
    for (const std::uint64_t begun = sent_; left_ > 0;) {
      if (sent_ - begun >= kTurn) return false;
      const IoResult r = native_ ? send_natively(fd) : send_chunk(fd);
      if (native_ && refused(r)) {
        if (!fallback_) return end(result, {-1, EOPNOTSUPP});
        native_ = false;
        continue;
      }
      if (r.would_block()) return false;
      if (!r.ok()) return end(result, r);
      if (r.value == 0) break;  // the end of the file
      sent_ += r.count();
      left_ -= r.count();
    }
    return end(result, {});
  }

 private:
  bool refused(const IoResult& r) const noexcept {
    return sent_ == 0 && (r.error == EINVAL || r.error == ENOSYS || r.error == EOPNOTSUPP);
  }

  IoResult send_natively(int fd) {
    const auto count = static_cast<std::size_t>(std::min(left_, kTurn));
    return kernel_.send_file(fd, file_, offset_ + sent_, count);
  }

  /// What was read and not taken is read again.
  IoResult send_chunk(int fd) {
    if (!chunk_) chunk_ = std::make_unique<std::byte[]>(kChunk);
    const MutableBytes chunk(chunk_.get(),
                             static_cast<std::size_t>(std::min<std::uint64_t>(left_, kChunk)));
    const IoResult r = kernel_.read_at(file_, offset_ + sent_, chunk);
    if (!r.ok() || r.value == 0) return r;
    return kernel_.send(fd, BytesView(chunk.first(r.count())));
  }

  bool end(Future<std::uint64_t>& result, IoResult r) {
    const IoResult sought = kernel_.seek(file_, offset_ + sent_);
    if (r.ok()) r = sought;
    if (r.ok()) {
      result.set_result(sent_);
    } else {
      set_io_error(result, r.code(), "sendfile");
    }
    return true;
  }

  Kernel& kernel_;
  int file_;
  std::uint64_t offset_;
  std::uint64_t left_;
  std::uint64_t sent_ = 0;
  bool fallback_;
  bool native_ = true;
  std::unique_ptr<std::byte[]> chunk_;
};

}  // namespace

Future<std::uint64_t> sock_sendfile(EventLoop& loop, int fd, int file, std::uint64_t offset,
                                    std::optional<std::uint64_t> count, bool fallback) {
  if (count && *count == 0) throw std::invalid_argument("sock_sendfile: the count is zero");
  if (offset > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    throw std::invalid_argument("sock_sendfile: the offset is too large");
  }
  int type = 0;
  if (loop.kernel().get_option(fd, SOL_SOCKET, SO_TYPE, type).ok() && type != SOCK_STREAM) {
    throw std::invalid_argument("sock_sendfile: the socket is no stream socket");
  }
  return SockOperation<std::uint64_t>::begin(
      loop, fd, Direction::write,
      [sender = std::make_unique<FileSender>(loop.kernel(), file, offset, count, fallback)](
          int s, Future<std::uint64_t>& result) { return sender->attempt(s, result); });
}

}  // namespace ferry
