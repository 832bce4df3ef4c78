#pragma once

#include <ferry/kernel.h>

#include <cerrno>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace ferry::test {

/// A Kernel that passes everything on to another one, and lets a test say how the next socket calls
/// go: short counts, EAGAIN, errors. Readiness stays truthful: after a result that was made up, the
/// watch asks the kernel below afresh, so that nothing waits for an edge that never comes.
class ScriptedKernel final : public Kernel {
 public:
  explicit ScriptedKernel(std::unique_ptr<Kernel> inner) : inner_(std::move(inner)) {}

  /// The kernel below: what a test's own sockets should use, so that they are in no script.
  Kernel& inner() noexcept { return *inner_; }

  // -- sends, splice_out among them; for send_datagrams, what is said of bytes holds for places
  /// From now on only so many more bytes go out; then sends say EAGAIN and writability is not
  /// reported, as with a peer that does not read.
  void block_sends(std::size_t after = 0);
  /// So many bytes more may go out.
  void allow_sends(std::size_t bytes);
  /// No limit any more.
  void release_sends();
  /// The next sends take at most these many bytes, one number a call; a later one is not limited.
  void limit_next_sends(std::initializer_list<std::size_t> counts);
  /// The next send fails with this errno value.
  void fail_next_send(int error) { send_steps_.push_back({.error = error}); }
  /// Sizes of the sends that moved something, in order.
  const std::vector<std::size_t>& sent() const noexcept { return sent_; }
  /// send and send_pieces calls so far, the failed ones too.
  std::size_t send_calls() const noexcept { return send_calls_; }
  /// The most pieces that one send_pieces call was given.
  std::size_t most_pieces() const noexcept { return most_pieces_; }

  // -- the others; what is said of recv holds for splice_in
  void limit_next_recvs(std::initializer_list<std::size_t> counts);
  void fail_next_recv(int error) { recv_steps_.push_back({.error = error}); }
  std::size_t recv_calls() const noexcept { return recv_calls_; }
  /// Bytes that passed by splice, out of pipes.
  std::size_t spliced() const noexcept { return spliced_; }
  /// Only splices fail so from now on; 0: no more.
  void refuse_splice_in(int error) noexcept { splice_in_error_ = error; }
  void refuse_splice_out(int error) noexcept { splice_out_error_ = error; }
  /// Pipes cannot be opened, or not be made larger; 0: they can.
  void refuse_pipes(int error) noexcept { pipe_error_ = error; }
  void refuse_pipe_sizes(int error) noexcept { pipe_size_error_ = error; }
  /// Pipes opened so far, and attempts.
  std::size_t pipes_opened() const noexcept { return pipes_opened_; }
  std::size_t pipe_calls() const noexcept { return pipe_calls_; }
  void fail_next_accept(int error) { accept_errors_.push_back(error); }
  /// From now on the system does not know this socket option.
  void refuse_option(int level, int name) { refused_options_.emplace_back(level, name); }
  /// Arguments of the shutdown calls so far.
  const std::vector<int>& shutdowns() const noexcept { return shutdowns_; }

  void attach(Client& client) override { inner_->attach(client); }
  TimePoint now() override { return inner_->now(); }
  std::chrono::system_clock::time_point wall_clock() override { return inner_->wall_clock(); }
  void run() override { inner_->run(); }
  void stop() override { inner_->stop(); }
  void request_drain() override { inner_->request_drain(); }
  void wake() noexcept override { inner_->wake(); }
  void set_timer(TimePoint when) override { inner_->set_timer(when); }
  void after_fork_in_child() override { inner_->after_fork_in_child(); }
  FdWatchPtr watch(int fd, FdWatch::Listener& listener, std::error_code& error) override;
  std::error_code watch_signal(int number) override { return inner_->watch_signal(number); }
  std::error_code unwatch_signal(int number) override { return inner_->unwatch_signal(number); }
  IoResult socket(int family, int type, int protocol) override;
  IoResult bind(int fd, const Address& address) override { return inner_->bind(fd, address); }
  IoResult listen(int fd, int backlog) override { return inner_->listen(fd, backlog); }
  IoResult accept(int fd, Address& peer) override;
  IoResult connect(int fd, const Address& address) override { return inner_->connect(fd, address); }
  IoResult recv(int fd, MutableBytes into) override;
  IoResult send(int fd, BytesView bytes) override;
  IoResult send_pieces(int fd, std::span<const BytesView> pieces) override;
  IoResult shutdown(int fd, int how) override;
  IoResult close(int fd) noexcept override { return inner_->close(fd); }
  IoResult local_address(int fd, Address& address) override;
  IoResult peer_address(int fd, Address& address) override;
  IoResult set_option(int fd, int level, int name, int value) override;
  IoResult get_option(int fd, int level, int name, int& value) override;
  IoResult adopt(int fd) override { return inner_->adopt(fd); }
  IoResult read(int fd, MutableBytes into) override { return inner_->read(fd, into); }
  IoResult write_pieces(int fd, std::span<const BytesView> pieces) override {
    return inner_->write_pieces(fd, pieces);
  }
  IoResult is_blocking(int fd) override { return inner_->is_blocking(fd); }
  IoResult duplicate(int fd) override { return inner_->duplicate(fd); }
  /// False: sendfile says that it is not for these.
  bool native_sendfile = true;
  IoResult send_file(int fd, int file, std::uint64_t offset, std::size_t count) override {
    if (!native_sendfile) return {-1, EINVAL};
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
  IoResult file_type(int fd) override { return inner_->file_type(fd); }
  IoResult pipe(int& read_end, int& write_end) override;
  IoResult set_pipe_size(int fd, std::size_t bytes) override {
    return pipe_size_error_ ? IoResult{-1, pipe_size_error_} : inner_->set_pipe_size(fd, bytes);
  }
  IoResult splice_in(int socket, int pipe, std::size_t count) override;
  IoResult splice_out(int pipe, int socket, std::size_t count) override;
  IoResult recv_datagrams(int fd, std::span<IncomingDatagram> into) override;
  IoResult send_datagrams(int fd, std::span<const OutgoingDatagram> datagrams) override;
  IoResult send_descriptors(int fd, BytesView bytes, std::span<const int> descriptors) override {
    return inner_->send_descriptors(fd, bytes, descriptors);
  }
  IoResult recv_descriptors(int fd, MutableBytes into, std::vector<Fd>& descriptors) override {
    return inner_->recv_descriptors(fd, into, descriptors);
  }
  IoResult peer_credentials(int fd, PeerCredentials& credentials) override {
    return inner_->peer_credentials(fd, credentials);
  }
  PeerCredentials own_credentials() override { return inner_->own_credentials(); }
  IoResult set_membership(int fd, const Address& group, unsigned interface, bool join) override {
    return inner_->set_membership(fd, group, interface, join);
  }

 private:
  class Watch;
  struct Step {
    std::optional<std::size_t> limit = {};
    int error = 0;
  };

  bool refuses_option(int level, int name) const;
  IoResult scripted_send(int fd, std::span<const BytesView> pieces, bool gathered);
  void made_up(int fd, Direction direction);
  bool writes_held() const noexcept { return allowance_ && *allowance_ == 0; }
  void retry_writes();

  std::unique_ptr<Kernel> inner_;
  std::vector<Watch*> watches_;
  std::optional<std::size_t> allowance_;
  std::deque<Step> send_steps_;
  std::deque<Step> recv_steps_;
  std::deque<int> accept_errors_;
  std::vector<std::size_t> sent_;
  std::vector<int> shutdowns_;
  std::vector<std::pair<int, int>> refused_options_;
  std::size_t send_calls_ = 0;
  std::size_t most_pieces_ = 0;
  std::size_t recv_calls_ = 0;
  std::size_t spliced_ = 0;
  std::size_t pipes_opened_ = 0;
  std::size_t pipe_calls_ = 0;
  int splice_in_error_ = 0;
  int splice_out_error_ = 0;
  int pipe_error_ = 0;
  int pipe_size_error_ = 0;
};

}  // namespace ferry::test
