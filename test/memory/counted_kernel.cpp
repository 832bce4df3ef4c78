#include "counted_kernel.h"

#include "counting_new.h"

#include <new>

namespace ferry::test {

namespace {

class CountedWatch final : public FdWatch, private FdWatch::Listener {
 public:
  explicit CountedWatch(FdWatch::Listener& listener) : listener_(listener) {}
  /// False if the kernel refuses.
  bool open(Kernel& kernel, int fd, std::error_code& error) {
    const AllocationsExempt guard;
    inner_ = kernel.watch(fd, *this, error);
    return inner_ != nullptr;
  }
  void arm(Direction direction, Arm how) override {
    if (direction == Direction::write && !write_) write_ = std::make_unique<int>();
    exempt([&] { inner_->arm(direction, how); });
  }
  void disarm(Direction direction) override {
    exempt([&] { inner_->disarm(direction); });
  }
  void close() noexcept override {
    const AllocationsExempt guard;
    delete this;
  }

 private:
  void on_readable(ReadEvent event) override {
    counted([&] { listener_.on_readable(event); });
  }
  void on_writable() override {
    counted([&] { listener_.on_writable(); });
  }

  FdWatch::Listener& listener_;
  FdWatchPtr inner_;
  std::unique_ptr<int> write_;  // as the kernel that ships makes what few need when it is needed
};

class CountedKernel final : public testing::ForwardingKernel, private ferry::Kernel::Client {
 public:
  using ForwardingKernel::ForwardingKernel;

  void attach(ferry::Kernel::Client& client) override {
    client_ = &client;
    exempt([&] { inner().attach(*this); });
  }
  void run() override {
    exempt([&] { inner().run(); });
  }
  void stop() override {
    exempt([&] { inner().stop(); });
  }
  void request_drain() override {
    exempt([&] { inner().request_drain(); });
  }
  FdWatchPtr watch(int fd, FdWatch::Listener& listener, std::error_code& error) override {
    std::unique_ptr<CountedWatch> watch(new (std::nothrow) CountedWatch(listener));
    if (watch) return watch->open(inner(), fd, error) ? FdWatchPtr(watch.release()) : nullptr;
    error = std::make_error_code(std::errc::not_enough_memory);
    return nullptr;
  }

  IoResult socket(int family, int type, int protocol) override {
    return exempt([&] { return inner().socket(family, type, protocol); });
  }
  IoResult bind(int fd, const Address& address) override {
    return exempt([&] { return inner().bind(fd, address); });
  }
  IoResult listen(int fd, int backlog) override {
    return exempt([&] { return inner().listen(fd, backlog); });
  }
  IoResult accept(int fd, Address& peer) override {
    return exempt([&] { return inner().accept(fd, peer); });
  }
  IoResult connect(int fd, const Address& address) override {
    return exempt([&] { return inner().connect(fd, address); });
  }
  IoResult recv(int fd, MutableBytes into) override {
    return exempt([&] { return inner().recv(fd, into); });
  }
  IoResult send(int fd, BytesView bytes) override {
    return exempt([&] { return inner().send(fd, bytes); });
  }
  IoResult send_pieces(int fd, std::span<const BytesView> pieces) override {
    return exempt([&] { return inner().send_pieces(fd, pieces); });
  }
  IoResult shutdown(int fd, int how) override {
    return exempt([&] { return inner().shutdown(fd, how); });
  }
  IoResult close(int fd) noexcept override {
    return exempt([&] { return inner().close(fd); });
  }
  IoResult local_address(int fd, Address& address) override {
    return exempt([&] { return inner().local_address(fd, address); });
  }
  IoResult peer_address(int fd, Address& address) override {
    return exempt([&] { return inner().peer_address(fd, address); });
  }
  IoResult set_option(int fd, int level, int name, int value) override {
    return exempt([&] { return inner().set_option(fd, level, name, value); });
  }
  IoResult get_option(int fd, int level, int name, int& value) override {
    return exempt([&] { return inner().get_option(fd, level, name, value); });
  }
  IoResult read(int fd, MutableBytes into) override {
    return exempt([&] { return inner().read(fd, into); });
  }
  IoResult write_pieces(int fd, std::span<const BytesView> pieces) override {
    return exempt([&] { return inner().write_pieces(fd, pieces); });
  }
  IoResult file_type(int fd) override {
    return exempt([&] { return inner().file_type(fd); });
  }
  IoResult pipe(int& read_end, int& write_end) override {
    return exempt([&] { return inner().pipe(read_end, write_end); });
  }
  IoResult set_pipe_size(int fd, std::size_t bytes) override {
    return exempt([&] { return inner().set_pipe_size(fd, bytes); });
  }
  IoResult splice_in(int socket, int pipe, std::size_t count) override {
    return exempt([&] { return inner().splice_in(socket, pipe, count); });
  }
  IoResult splice_out(int pipe, int socket, std::size_t count) override {
    return exempt([&] { return inner().splice_out(pipe, socket, count); });
  }
  IoResult send_file(int socket, int file, std::uint64_t offset, std::size_t count) override {
    return exempt([&] { return inner().send_file(socket, file, offset, count); });
  }
  IoResult recv_datagrams(int fd, std::span<IncomingDatagram> into) override {
    return exempt([&] { return inner().recv_datagrams(fd, into); });
  }
  IoResult send_datagrams(int fd, std::span<const OutgoingDatagram> datagrams) override {
    return exempt([&] { return inner().send_datagrams(fd, datagrams); });
  }

 private:
  void on_drain() override {
    counted([&] { client_->on_drain(); });
  }
  void on_timer() override {
    counted([&] { client_->on_timer(); });
  }
  void on_signal(int signal_number) override {
    counted([&] { client_->on_signal(signal_number); });
  }

  ferry::Kernel::Client* client_ = nullptr;
};

}  // namespace

std::unique_ptr<Kernel> make_counted_kernel(std::unique_ptr<Kernel> inner) {
  return std::make_unique<CountedKernel>(std::move(inner));
}

}  // namespace ferry::test
