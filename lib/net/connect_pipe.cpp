#include "connect_pipe.h"

#include "listen_socket.h"

#include <ferry/pipe.h>

#include <sys/stat.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace ferry {
namespace {

/// From the call until the future is done. Owns itself that long.
class PipeOperation final : public std::enable_shared_from_this<PipeOperation>,
                            private LoopResource {
 public:
  PipeOperation(EventLoop& loop, ProtocolFactory factory, Socket fd, StreamEnds ends)
      : LoopResource(loop, Kind::operation),
        factory_(std::move(factory)),
        fd_(std::move(fd)),
        ends_(ends),
        result_(loop) {}

  Future<Connection<>> begin() {
    const std::weak_ptr<PipeOperation> weak = weak_from_this();
    self_ = shared_from_this();
    result_.set_cancel_hook([weak] {
      if (const auto operation = weak.lock()) operation->give_up();
    });
    // Not from inside the caller's call: the factory and failures come from the loop.
    loop().call_soon([weak] {
      if (const auto operation = weak.lock()) operation->establish();
    });
    return result_;
  }

 private:
  void establish() {
    if (!self_) return;
    const auto alive = shared_from_this();
    try {
      const IoResult adopted = loop().kernel().adopt(fd_.get());
      if (!adopted.ok()) throw IoError({adopted.code(), "fcntl", {}});
      protocol_ = factory_();
      if (!protocol_) throw std::logic_error("the protocol factory gave no protocol");
      if (!self_) return;  // cancelled by the factory
      StreamStart start;
      start.socket = std::move(fd_);
      start.protocol = protocol_;
      start.ends = ends_;
      start.made = [weak = weak_from_this()] {
        if (const auto operation = weak.lock()) operation->made();
      };
      transport_ = StreamTransport::start(loop(), std::move(start));
    } catch (const LoopExit&) {
      fail(std::current_exception());
      throw;
    } catch (...) {
      fail(std::current_exception());
    }
  }

  void made() {
    if (!self_) return;
    const auto alive = shared_from_this();
    release();
    result_.try_set_result(Connection<>{std::move(transport_), std::move(protocol_)});
  }

  void fail(std::exception_ptr error) {
    const auto alive = shared_from_this();
    release();
    if (!result_.done()) result_.set_exception(std::move(error));
  }

  void give_up() {
    if (!self_) return;
    const auto alive = shared_from_this();
    release();
    if (transport_) std::exchange(transport_, nullptr)->abort();
  }

  void on_loop_close() override { release(); }

  void release() {
    leave_loop();
    fd_.reset();
    self_.reset();
  }

  ProtocolFactory factory_;
  Socket fd_;
  StreamEnds ends_;
  Future<Connection<>> result_;
  std::shared_ptr<PipeOperation> self_;  // until done
  std::shared_ptr<Protocol> protocol_;
  std::shared_ptr<Transport> transport_;
};

Future<Connection<>> connect_pipe(EventLoop& loop, ProtocolFactory factory, int fd, bool reads) {
  if (!factory) throw std::invalid_argument("connect_pipe: the protocol factory is empty");
  const StreamEnds ends = pipe_ends(loop.kernel(), fd, reads);
  return std::make_shared<PipeOperation>(loop, std::move(factory), Socket(loop.kernel(), fd), ends)
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
