#pragma once

#include <ferry/kernel.h>

#include <memory>
#include <utility>

namespace ferry::testing {

/// A Kernel that passes every call on to another one: the base of those that change a few.
class ForwardingKernel : public Kernel {
 public:
  explicit ForwardingKernel(std::unique_ptr<Kernel> inner) noexcept : inner_(std::move(inner)) {}

  /// The kernel below: for a test's own sockets, so that nothing is done to them.
  Kernel& inner() const noexcept { return *inner_; }

  void attach(Client& client) override { inner_->attach(client); }
  TimePoint now() override { return inner_->now(); }
  std::chrono::system_clock::time_point wall_clock() override { return inner_->wall_clock(); }
  void run() override { inner_->run(); }
  void stop() override { inner_->stop(); }
  void request_drain() override { inner_->request_drain(); }
  void wake() noexcept override { inner_->wake(); }
  void set_timer(TimePoint when) override { inner_->set_timer(when); }
  void after_fork_in_child() override { inner_->after_fork_in_child(); }

  bool shared() const noexcept override { return inner_->shared(); }
  void work_started() override { inner_->work_started(); }
  void work_finished() noexcept override { inner_->work_finished(); }

  FdWatchPtr watch(int fd, FdWatch::Listener& listener, std::error_code& error) override {
    return inner_->watch(fd, listener, error);
  }
  std::error_code watch_signal(int number) override { return inner_->watch_signal(number); }
  std::error_code unwatch_signal(int number) override { return inner_->unwatch_signal(number); }

  IoResult socket(int family, int type, int protocol) override {
    return inner_->socket(family, type, protocol);
  }
  IoResult bind(int fd, const Address& address) override { return inner_->bind(fd, address); }
  IoResult listen(int fd, int backlog) override { return inner_->listen(fd, backlog); }
  IoResult accept(int fd, Address& peer) override { return inner_->accept(fd, peer); }
  IoResult connect(int fd, const Address& address) override { return inner_->connect(fd, address); }
  IoResult recv(int fd, MutableBytes into) override { return inner_->recv(fd, into); }
  IoResult send(int fd, BytesView bytes) override { return inner_->send(fd, bytes); }
  IoResult send_pieces(int fd, std::span<const BytesView> pieces) override {
    return inner_->send_pieces(fd, pieces);
  }
  IoResult shutdown(int fd, int how) override { return inner_->shutdown(fd, how); }
  IoResult close(int fd) noexcept override { return inner_->close(fd); }
  IoResult local_address(int fd, Address& address) override {
    return inner_->local_address(fd, address);
  }
  IoResult peer_address(int fd, Address& address) override {
    return inner_->peer_address(fd, address);
  }
  IoResult set_option(int fd, int level, int name, int value) override {
    return inner_->set_option(fd, level, name, value);
  }
  IoResult get_option(int fd, int level, int name, int& value) override {
    return inner_->get_option(fd, level, name, value);
  }
  IoResult adopt(int fd) override { return inner_->adopt(fd); }

  IoResult read(int fd, MutableBytes into) override { return inner_->read(fd, into); }
  IoResult write_pieces(int fd, std::span<const BytesView> pieces) override {
    return inner_->write_pieces(fd, pieces);
  }
  IoResult file_type(int fd) override { return inner_->file_type(fd); }
  IoResult pipe(int& read_end, int& write_end) override {
    return inner_->pipe(read_end, write_end);
  }
  IoResult set_pipe_size(int fd, std::size_t bytes) override {
    return inner_->set_pipe_size(fd, bytes);
  }
  IoResult splice_in(int socket, int pipe, std::size_t count) override {
    return inner_->splice_in(socket, pipe, count);
  }
  IoResult splice_out(int pipe, int socket, std::size_t count) override {
    return inner_->splice_out(pipe, socket, count);
  }
  IoResult is_blocking(int fd) override { return inner_->is_blocking(fd); }
  IoResult duplicate(int fd) override { return inner_->duplicate(fd); }

  IoResult send_file(int fd, int file, std::uint64_t offset, std::size_t count) override {
    return inner_->send_file(fd, file, offset, count);
  }
  IoResult read_at(int file, std::uint64_t offset, MutableBytes into) override {
    return inner_->read_at(file, offset, into);
  }
  IoResult seek(int file, std::uint64_t offset) override { return inner_->seek(file, offset); }

  IoResult spawn(const SpawnRequest& request, int& pid) override {
    return inner_->spawn(request, pid);
  }
  IoResult reap(int process, bool wait, int& status) override {
    return inner_->reap(process, wait, status);
  }
  IoResult signal_process(int process, int number) override {
    return inner_->signal_process(process, number);
  }
  IoResult set_blocking(int fd) override { return inner_->set_blocking(fd); }

  IoResult recv_datagrams(int fd, std::span<IncomingDatagram> into) override {
    return inner_->recv_datagrams(fd, into);
  }
  IoResult send_datagrams(int fd, std::span<const OutgoingDatagram> datagrams) override {
    return inner_->send_datagrams(fd, datagrams);
  }
  IoResult set_membership(int fd, const Address& group, unsigned interface, bool join) override {
    return inner_->set_membership(fd, group, interface, join);
  }

  std::shared_ptr<Executor> make_executor() override { return inner_->make_executor(); }
  std::shared_ptr<Resolver> make_resolver() override { return inner_->make_resolver(); }

  IoResult send_descriptors(int fd, BytesView bytes, std::span<const int> descriptors) override {
    return inner_->send_descriptors(fd, bytes, descriptors);
  }
  IoResult recv_descriptors(int fd, MutableBytes into, std::vector<Fd>& descriptors) override {
    return inner_->recv_descriptors(fd, into, descriptors);
  }
  IoResult peer_credentials(int fd, PeerCredentials& credentials) override {
    return inner_->peer_credentials(fd, credentials);
  }
  IoResult find_socket_file(const Address& path, FileId& file) override {
    return inner_->find_socket_file(path, file);
  }
  IoResult remove_file(const Address& path) override { return inner_->remove_file(path); }
  PeerCredentials own_credentials() override { return inner_->own_credentials(); }

 private:
  std::unique_ptr<Kernel> inner_;
};

}  // namespace ferry::testing
