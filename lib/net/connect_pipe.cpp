#include "connect_pipe.h"

#include "listen_socket.h"
#include "opening.h"

#include <ferry/pipe.h>

#include <sys/stat.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace ferry {
namespace {

class PipeOpening final : public Opening<Connection<>> {
 public:
  PipeOpening(EventLoop& loop, ProtocolFactory factory, Socket fd, StreamEnds ends)
      : Opening(loop), factory_(std::move(factory)), fd_(std::move(fd)), ends_(ends) {}

 private:
  void start() override {
    attempt([this] { establish(); });
  }

  void establish() {
    const IoResult adopted = loop().kernel().adopt(fd_.get());
    if (!adopted.ok()) throw IoError({adopted.code(), "fcntl", {}});
    pair_.protocol = factory_();
    if (!pair_.protocol) throw std::logic_error("the protocol factory gave no protocol");
    if (!under_way()) return;  // cancelled by the factory
    StreamStart start;
    start.socket = std::move(fd_);
    start.protocol = pair_.protocol;
    start.ends = ends_;
    start.made = when_made();
    pair_.transport = StreamTransport::start(loop(), std::move(start));
  }

  void let_go() override { fd_.reset(); }

  ProtocolFactory factory_;
  Socket fd_;
  StreamEnds ends_;
};

Future<Connection<>> connect_pipe(EventLoop& loop, ProtocolFactory factory, int fd, bool reads) {
  if (!factory) throw std::invalid_argument("connect_pipe: the protocol factory is empty");
  const StreamEnds ends = pipe_ends(loop.kernel(), fd, reads);
  return std::make_shared<PipeOpening>(loop, std::move(factory), Socket(loop.kernel(), fd), ends)
      ->begin();
}

}  // namespace

StreamEnds pipe_ends(Kernel& kernel, int fd, bool reads) {
  const IoResult type = kernel.file_type(fd);
  const bool is_socket = type.ok() && type.value == S_IFSOCK;
  const bool is_device = type.ok() && type.value == S_IFCHR;
  if (!is_socket && !is_device && !(type.ok() && type.value == S_IFIFO)) {
    throw std::invalid_argument("descriptor " + std::to_string(fd) +
                                " is no pipe, socket or character device");
  }
  if (is_socket) check_stream_type(kernel, fd);
  return {.socket = is_socket, .reads = reads, .writes = !reads, .short_reads = is_device};
}

Future<Connection<>> connect_read_pipe(EventLoop& loop, ProtocolFactory factory, int fd) {
  return connect_pipe(loop, std::move(factory), fd, true);
}

Future<Connection<>> connect_write_pipe(EventLoop& loop, ProtocolFactory factory, int fd) {
  return connect_pipe(loop, std::move(factory), fd, false);
}

}  // namespace ferry
