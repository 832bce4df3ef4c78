#pragma once

#include <ferry/function.h>
#include <ferry/testing/forwarding_kernel.h>

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
class ScriptedKernel final : public testing::ForwardingKernel {
 public:
  using ForwardingKernel::ForwardingKernel;

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
  /// Called when one is refused, before the caller hears of it.
  Function<void()> on_splice_out_refused;
  /// Pipes cannot be opened, or not be made larger; 0: they can.
  void refuse_pipes(int error) noexcept { pipe_error_ = error; }
  void refuse_pipe_sizes(int error) noexcept { pipe_size_error_ = error; }
  /// Pipes opened so far, and attempts.
  std::size_t pipes_opened() const noexcept { return pipes_opened_; }
  std::size_t pipe_calls() const noexcept { return pipe_calls_; }
  void fail_next_accept(int error) { accept_errors_.push_back(error); }
  void fail_next_shutdown(int error) { shutdown_error_ = error; }
  /// From now on the system does not know this socket option.
  void refuse_option(int level, int name) { refused_options_.emplace_back(level, name); }
  /// Arguments of the shutdown calls so far.
  const std::vector<int>& shutdowns() const noexcept { return shutdowns_; }

  /// False: sendfile says that it is not for these.
  bool native_sendfile = true;

  FdWatchPtr watch(int fd, FdWatch::Listener& listener, std::error_code& error) override;
  IoResult accept(int fd, Address& peer) override;
  IoResult recv(int fd, MutableBytes into) override;
  IoResult send(int fd, BytesView bytes) override;
  IoResult send_pieces(int fd, std::span<const BytesView> pieces) override;
  IoResult shutdown(int fd, int how) override;
  IoResult set_option(int fd, int level, int name, int value) override;
  IoResult get_option(int fd, int level, int name, int& value) override;
  IoResult send_file(int fd, int file, std::uint64_t offset, std::size_t count) override {
    if (!native_sendfile) return {-1, EINVAL};
    return inner().send_file(fd, file, offset, count);
  }
  IoResult pipe(int& read_end, int& write_end) override;
  IoResult set_pipe_size(int fd, std::size_t bytes) override {
    return pipe_size_error_ ? IoResult{-1, pipe_size_error_} : inner().set_pipe_size(fd, bytes);
  }
  IoResult splice_in(int socket, int pipe, std::size_t count) override;
  IoResult splice_out(int pipe, int socket, std::size_t count) override;
  IoResult recv_datagrams(int fd, std::span<IncomingDatagram> into) override;
  IoResult send_datagrams(int fd, std::span<const OutgoingDatagram> datagrams) override;

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
  int shutdown_error_ = 0;
  int splice_in_error_ = 0;
  int splice_out_error_ = 0;
  int pipe_error_ = 0;
  int pipe_size_error_ = 0;
};

}  // namespace ferry::test
