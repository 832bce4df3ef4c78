#pragma once

#include <ferry/function.h>
#include <ferry/testing/forwarding_kernel.h>
#include <ferry/testing/seed.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ferry::testing {

class FaultKernel;

/// Which calls are to go wrong, and how.
struct Fault {
  /// The system call's name, a literal ("recv", "accept", "epoll_ctl"); empty: whichever can.
  std::string_view call{};
  /// An errno value, or an EAI_ of getaddrinfo. EAGAIN is harmless: the program is told when it may
  /// try again. 0: the call succeeds, but moves at most `count` bytes (or datagrams), at least one.
  int error = 0;
  std::size_t count = 1;
  int fd = -1;              ///< Only of this descriptor; -1: of any.
  std::uint64_t after = 0;  ///< So many calls that fit pass unharmed first,
  std::uint64_t times = std::numeric_limits<std::uint64_t>::max();  ///< then so many go wrong.
  /// Of "connect" of a TCP socket: it begins well (EINPROGRESS), and SO_ERROR has the error then.
  bool later = false;
};

/// Lasts as long as its fault does.
class [[nodiscard]] FaultGuard {
 public:
  FaultGuard(FaultGuard&& other) noexcept
      : kernel_(std::exchange(other.kernel_, nullptr)), number_(other.number_) {}
  FaultGuard& operator=(FaultGuard&&) = delete;
  ~FaultGuard();

 private:
  friend class FaultKernel;
  FaultGuard(FaultKernel& kernel, std::uint64_t number) noexcept
      : kernel_(&kernel), number_(number) {}
  FaultKernel* kernel_;  // must outlive it
  std::uint64_t number_;
};

/// Faults at random: of a thousand calls so many fail, and so many move less than they could; an
/// eighth of these nothing, now (EAGAIN), if the descriptor is watched. Half of the connects that
/// fail for the network's sake do so `later`.
struct FaultStorm {
  std::uint64_t seed = 1;
  unsigned errors = 0;
  unsigned short_counts = 0;
};

/// Something that was made to go wrong.
struct InjectedFault {
  std::uint64_t number;   ///< Of the call, as `calls` counts.
  std::string_view call;  ///< A literal.
  int fd;
  int error;  ///< 0: a short count.
  /// "recv #17 on 1003: ECONNRESET", for a log.
  std::string to_string() const;
};

/// A Kernel that makes the calls of another one go wrong, a simulated or the real one: single calls
/// by rule (`inject`), the n-th call whichever it is (`fail_call`), or some at random (`storm`).
/// What fails is not passed on. Readiness stays truthful: after a made-up EAGAIN or a short count
/// the program is told afresh. Calls that undo something (close, disarming) never fail. For the
/// loop's thread.
///
///     auto kernel = std::make_unique<FaultKernel>(make_sim_kernel());
///     FaultKernel& faults = *kernel;
///     EventLoop loop(std::move(kernel));
///     ...
///     auto guard = faults.inject({.call = "accept", .error = EMFILE, .times = 3});
class FaultKernel final : public ForwardingKernel {
 public:
  explicit FaultKernel(std::unique_ptr<Kernel> inner);
  ~FaultKernel() override;

  /// Throws std::invalid_argument for a call that never asks: one that `errors_of` does not know.
  FaultGuard inject(Fault fault);
  /// The call of that number, counted from 0 as `calls` does, goes wrong in the `variant`-th of its
  /// ways (modulo their number): each of its errors, at once or, of a connect, later; one byte
  /// moved instead of many; "not now".
  void fail_call(std::uint64_t number, std::size_t variant = 0);
  void storm(FaultStorm storm);
  /// No more faults of any kind.
  void heal();
  /// Called after each call that could have been made to fail, and each `close`, with what came of
  /// it, made up or not: the system call's name, the descriptor (-1 of "socket", whose result it
  /// is; of "pipe2", which is told of once for each end, that end) and the result. It must not
  /// throw, nor set another observer. Null: nobody.
  using Observer = Function<void(std::string_view call, int fd, const IoResult& result)>;
  void set_observer(Observer observer) { observer_ = std::move(observer); }

  /// Calls so far that could have been made to fail.
  std::uint64_t calls() const noexcept { return calls_; }
  /// What `fail_call` chose from; 0 until that call has come.
  std::size_t variants() const noexcept { return variants_; }
  const std::vector<InjectedFault>& injected() const noexcept { return injected_; }
  /// What a system call may fail with for no fault of the program's, and without any harm done:
  /// the most likely first. From its manual page, tcp(7), ip(7) and POSIX. Never EINTR: no
  /// descriptor of a loop blocks, so a signal interrupts none of its calls; and those that move
  /// bytes are repeated below this interface, if it did.
  static std::span<const int> errors_of(std::string_view call);
  /// What an error of that call means; of 0 a short count.
  static std::string text_of(std::string_view call, int error);

  // -- Kernel: what can fail
  FdWatchPtr watch(int fd, FdWatch::Listener& listener, std::error_code& error) override;
  IoResult socket(int family, int type, int protocol) override;
  IoResult bind(int fd, const Address& address) override;
  IoResult listen(int fd, int backlog) override;
  IoResult accept(int fd, Address& peer) override;
  IoResult connect(int fd, const Address& address) override;
  IoResult recv(int fd, MutableBytes into) override;
  IoResult send(int fd, BytesView bytes) override;
  IoResult send_pieces(int fd, std::span<const BytesView> pieces) override;
  IoResult shutdown(int fd, int how) override;
  IoResult close(int fd) noexcept override;
  IoResult local_address(int fd, Address& address) override;
  IoResult peer_address(int fd, Address& address) override;
  IoResult set_option(int fd, int level, int name, int value) override;
  IoResult get_option(int fd, int level, int name, int& value) override;
  IoResult read(int fd, MutableBytes into) override;
  IoResult write_pieces(int fd, std::span<const BytesView> pieces) override;
  IoResult pipe(int& read_end, int& write_end) override;
  IoResult set_pipe_size(int fd, std::size_t bytes) override;
  IoResult splice_in(int socket, int pipe, std::size_t count) override;
  IoResult splice_out(int pipe, int socket, std::size_t count) override;
  IoResult duplicate(int fd) override;
  IoResult recv_datagrams(int fd, std::span<IncomingDatagram> into) override;
  IoResult send_datagrams(int fd, std::span<const OutgoingDatagram> datagrams) override;
  IoResult set_membership(int fd, const Address& group, unsigned interface, bool join) override;
  IoResult send_file(int fd, int file, std::uint64_t offset, std::size_t count) override;
  IoResult read_at(int file, std::uint64_t offset, MutableBytes into) override;
  IoResult spawn(const SpawnRequest& request, int& pid) override;
  IoResult signal_process(int process, int number) override;
  IoResult send_descriptors(int fd, BytesView bytes, std::span<const int> descriptors) override;
  IoResult recv_descriptors(int fd, MutableBytes into, std::vector<Fd>& descriptors) override;
  IoResult peer_credentials(int fd, PeerCredentials& credentials) override;
  IoResult find_socket_file(const Address& path, FileId& file) override;
  IoResult remove_file(const Address& path) override;
  /// Of a loop that has no resolver of its own: "getaddrinfo" and "getnameinfo" fail with the codes
  /// of resolver_category() (EAI_AGAIN, ...). They are judged, and told to the observer, when they
  /// are asked.
  std::shared_ptr<Resolver> make_resolver() override;

 private:
  friend class FaultGuard;
  class Watch;
  class Names;
  struct Rule {
    Fault fault;
    std::uint64_t number;
    std::uint64_t seen = 0;
  };
  /// What is to happen to one call.
  struct Verdict {
    int error = 0;
    std::size_t most = std::numeric_limits<std::size_t>::max();
    bool later = false;
    bool harmed() const noexcept { return error != 0; }
    bool cut() const noexcept { return most != std::numeric_limits<std::size_t>::max(); }
  };

  /// Every call that can fail asks here first. `units`: what it would move; 0 if it moves nothing.
  Verdict judge(std::string_view call, int fd, std::size_t units = 0);
  std::vector<Verdict> ways(std::string_view call, int fd, std::size_t units) const;
  Verdict note(std::string_view call, int fd, Verdict verdict);
  template <class Call>
  IoResult plain(std::string_view name, int fd, Call call);
  IoResult write_some(std::string_view name, int fd, std::span<const BytesView> pieces,
                      IoResult (Kernel::*write)(int, std::span<const BytesView>));
  bool watched(int fd) const;
  void made_up(int fd, Direction direction);
  IoResult told(std::string_view call, int fd, IoResult result) {
    if (observer_) [[unlikely]]
      observer_(call, fd, result);
    return result;
  }

  std::list<Rule> rules_;
  std::uint64_t next_rule_ = 0;
  std::optional<std::uint64_t> doomed_;
  std::size_t variant_ = 0;
  std::size_t variants_ = 0;
  std::optional<FaultStorm> storm_;
  Seed seed_{0};
  std::uint64_t calls_ = 0;
  std::vector<InjectedFault> injected_;
  std::vector<Watch*> watches_;
  /// Of connects, by descriptor; one socket's is one, and told once.
  std::map<int, std::shared_ptr<int>> late_errors_;
  Observer observer_;
};

}  // namespace ferry::testing
