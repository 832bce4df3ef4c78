#pragma once

#include <ferry/address.h>
#include <ferry/bytes.h>
#include <ferry/fd.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <system_error>
#include <vector>

namespace ferry {

class Executor;
class Resolver;

using Duration = std::chrono::nanoseconds;
/// Monotonic time, as std::chrono::steady_clock counts it; in a simulation, virtual.
using TimePoint = std::chrono::steady_clock::time_point;

/// What a socket call gives back: a count (of bytes; or a descriptor), or an errno value.
struct IoResult {
  std::ptrdiff_t value = 0;  ///< >= 0 if the call succeeded, else -1.
  int error = 0;             ///< 0 if it succeeded, else errno.

  bool ok() const noexcept { return error == 0; }
  std::size_t count() const noexcept { return static_cast<std::size_t>(value); }
  int fd() const noexcept { return static_cast<int>(value); }
  /// EAGAIN: nothing can be done until the descriptor is ready.
  bool would_block() const noexcept;
  std::error_code code() const noexcept { return {error, std::system_category()}; }
};

/// What is known of a datagram beside its bytes.
struct DatagramInfo {
  /// Who sent it, or who is to get it. Empty or unnamed for a unix socket without a name.
  Address peer{};
  /// Which of this machine's addresses it came to, or shall come from; empty: not known, any.
  Address local{};
  /// The IPv4 TOS or IPv6 traffic class byte: DSCP in the upper six bits (RFC 2474), ECN in the
  /// lower two (RFC 3168); -1: not known, the socket's own.
  int tos = -1;
};

/// A place for a datagram to be received, and what the kernel put there.
struct IncomingDatagram {
  MutableBytes buffer{};  ///< Where its bytes go.
  /// Bytes and peer are all that is wanted. To be set for unix sockets, whose peers could otherwise
  /// put descriptors into this process (SCM_RIGHTS, unix(7)).
  bool plain = false;
  std::size_t size = 0;  ///< How many bytes came.
  /// Not 0: `size` bytes are several datagrams from one peer, each of so many bytes, the last one
  /// perhaps of fewer (UDP_GRO, see udp(7)).
  std::size_t segment = 0;
  bool truncated = false;  ///< The datagram was larger than `buffer`.
  DatagramInfo info{};
};

/// A datagram to be sent. Everything that is pointed at belongs to the caller of send_datagrams.
struct OutgoingDatagram {
  BytesView bytes{};
  /// Not 0: several datagrams of so many bytes each, the last one perhaps of fewer (UDP_SEGMENT).
  std::size_t segment = 0;
  const Address* to = nullptr;    ///< Null: the peer it is connected to.
  const Address* from = nullptr;  ///< As DatagramInfo::local; null: any.
  int tos = -1;                   ///< As DatagramInfo::tos.
};

/// What a child process is started with.
struct SpawnRequest {
  static constexpr int kInherit = -1;   ///< The parent's own.
  static constexpr int kNull = -2;      ///< /dev/null
  static constexpr int kAsOutput = -3;  ///< Whatever the child's descriptor 1 is.

  std::string program{};                 ///< A path; a name without a slash is looked for in PATH.
  std::vector<std::string> arguments{};  ///< With the program's name first.
  const std::vector<std::string>* environment = nullptr;  ///< "NAME=value"; null: the parent's.
  std::string directory{};                                ///< Empty: the parent's.
  int streams[3] = {kInherit, kInherit, kInherit};        ///< Descriptors, or as above.
  std::vector<int> passed{};  ///< Beside 0 to 2, what stays open in the child.
  bool new_session = false;   ///< setsid(2)
  int process_group = -1;     ///< setpgid(2); 0: a new one; -1: the parent's
};

/// The process at the other end of a unix socket, when it connected or listened.
struct PeerCredentials {
  int pid = 0;
  unsigned uid = 0;
  unsigned gid = 0;
};

/// Which file it is, whatever its name.
struct FileId {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  friend bool operator==(const FileId&, const FileId&) = default;
};

enum class Direction { read, write };

/// The readiness of one descriptor, on behalf of one listener.
///
/// Arming asks for one call of the listener. With `after_would_block` the caller has just seen that
/// nothing is left to do (the system call said EAGAIN, or moved fewer bytes than it was offered and
/// `ReadEvent::drain` was not set): the call comes when that changes, and arming costs no system
/// call where the kernel reports edges. With `if_ready` the call also comes if the
/// descriptor is ready already.
class FdWatch {
 public:
  struct ReadEvent {
    /// More than plain data is pending (the peer's FIN, a reset, urgent data): a short read does
    /// not mean that everything was read. Read until EAGAIN, EOF or an error.
    bool drain = false;
  };

  /// Both are called from the loop, never from inside `arm`.
  class Listener {
   public:
    virtual void on_readable(ReadEvent event) = 0;
    virtual void on_writable() = 0;

   protected:
    ~Listener() = default;
  };

  enum class Arm { after_would_block, if_ready };

  virtual void arm(Direction direction, Arm how) = 0;
  /// Forgets an armed direction: no call until it is armed again.
  virtual void disarm(Direction direction) = 0;
  /// Ends the watch and frees it: no call of the listener after this. The descriptor stays open and
  /// must not be closed before.
  virtual void close() noexcept = 0;

 protected:
  ~FdWatch() = default;
};

struct CloseWatch {
  void operator()(FdWatch* watch) const noexcept { watch->close(); }
};
using FdWatchPtr = std::unique_ptr<FdWatch, CloseWatch>;

/// Everything the library asks of the operating system's network: the clock, waiting, readiness,
/// and the socket calls, one function a system call. AsioKernel is what ships; SimKernel
/// (ferry/testing/sim_kernel.h) is a simulated world for tests. Nothing outside a Kernel calls
/// a socket function or reads a clock. All functions are for the loop's thread but `wake`.
class Kernel {
 public:
  /// The loop, as its kernel sees it. None of these may throw but what EventLoop lets pass
  /// (LoopExit), which leaves `run`.
  class Client {
   public:
    /// The answer to `request_drain` and `wake`.
    virtual void on_drain() = 0;
    /// The time set by `set_timer` has come.
    virtual void on_timer() = 0;
    /// A watched signal was delivered.
    virtual void on_signal(int signal_number) = 0;
    /// A kernel that is `shared` calls everything, of this interface or of a Listener, through
    /// here, as `f(argument)`: somebody else may be running it.
    virtual void call_inside(void (*f)(void*), void* argument) { f(argument); }

   protected:
    ~Client() = default;
  };

  virtual ~Kernel() = default;
  /// Called once, by the loop that owns this kernel, before anything else.
  virtual void attach(Client& client) = 0;

  // -- time and turns
  virtual TimePoint now() = 0;
  /// The time of day (UTC), which may jump. By default `now`, counted from 1970: a simulation's.
  virtual std::chrono::system_clock::time_point wall_clock();
  /// Delivers events to the client and the watches' listeners until `stop`. `on_drain` requested
  /// before is delivered, also if `stop` was called while not running.
  virtual void run() = 0;
  /// Makes `run` return after the events that are already harvested.
  virtual void stop() = 0;
  /// One `on_drain`, soon, behind the events that wait for delivery now. Requests do not add up.
  virtual void request_drain() = 0;
  /// The same from any thread, also while `run` sleeps.
  virtual void wake() noexcept = 0;
  /// One `on_timer` at `when`, replacing the time set before. Never early.
  virtual void set_timer(TimePoint when) = 0;
  /// To be called in the child after fork(2), before anything else.
  virtual void after_fork_in_child() = 0;

  // -- living on what others run as well
  /// True if the application may run the kernel's events itself, beside its own. Then requests
  /// count for whoever runs them next; `stop` stops him; and `set_timer` of TimePoint::max()
  /// takes the timer back.
  virtual bool shared() const noexcept { return false; }
  /// Something began that whoever runs the kernel is to wait for, or ended.
  virtual void work_started() {}
  virtual void work_finished() noexcept {}

  // -- readiness and signals
  /// Starts watching an open, non-blocking descriptor. The listener must outlive the watch.
  /// Null and `error` set if the kernel refuses (ENOSPC, ENOMEM; EPERM: not pollable), also if this
  /// process has no memory for it.
  virtual FdWatchPtr watch(int fd, FdWatch::Listener& listener, std::error_code& error) = 0;
  virtual std::error_code watch_signal(int signal_number) = 0;
  virtual std::error_code unwatch_signal(int signal_number) = 0;

  // -- sockets: as the system call of that name; new descriptors are non-blocking and
  //    close-on-exec, a write to a dead peer is EPIPE and no signal
  virtual IoResult socket(int family, int type, int protocol) = 0;
  virtual IoResult bind(int fd, const Address& address) = 0;
  virtual IoResult listen(int fd, int backlog) = 0;
  virtual IoResult accept(int fd, Address& peer) = 0;
  virtual IoResult connect(int fd, const Address& address) = 0;
  virtual IoResult recv(int fd, MutableBytes into) = 0;
  virtual IoResult send(int fd, BytesView bytes) = 0;
  /// Gathers: sendmsg(2) with one entry a piece, at most `kMaxPieces`.
  virtual IoResult send_pieces(int fd, std::span<const BytesView> pieces) = 0;
  virtual IoResult shutdown(int fd, int how) = 0;
  virtual IoResult close(int fd) noexcept = 0;
  virtual IoResult local_address(int fd, Address& address) = 0;
  virtual IoResult peer_address(int fd, Address& address) = 0;
  /// Of SO_LINGER, which is no number to the system, the value is the seconds; -1: off. With 0
  /// `close` resets the connection (socket(7)).
  virtual IoResult set_option(int fd, int level, int name, int value) = 0;
  virtual IoResult get_option(int fd, int level, int name, int& value) = 0;

  /// Makes a socket that was opened elsewhere fit for this kernel: non-blocking, close-on-exec.
  virtual IoResult adopt(int fd) { return {fd, 0}; }

  // -- pipes, terminals and their kind; a kernel may do without them
  virtual IoResult read(int fd, MutableBytes into);
  /// writev(2) with one entry a piece, at most `kMaxPieces`; EPIPE and no signal as with `send`.
  virtual IoResult write_pieces(int fd, std::span<const BytesView> pieces);
  /// The S_IFMT part of its mode: what kind of file it is (inode(7)).
  virtual IoResult file_type(int fd);
  /// A pipe, both ends non-blocking and close-on-exec (pipe2(2)).
  virtual IoResult pipe(int& read_end, int& write_end);
  /// Asks for room in a pipe; the result is what it has then (F_SETPIPE_SZ, fcntl(2)).
  virtual IoResult set_pipe_size(int fd, std::size_t bytes);
  /// Moves what a stream socket has received into a pipe, at most `count` bytes, without copying
  /// (splice(2)); 0 at the stream's end. EAGAIN: nothing is there, or the pipe is full. A kernel
  /// without it says ENOSYS.
  virtual IoResult splice_in(int socket, int pipe, std::size_t count);
  /// The same from the pipe to the socket; EPIPE and no signal as with `send`.
  virtual IoResult splice_out(int pipe, int socket, std::size_t count);

  /// 1 if calls on it block, else 0.
  virtual IoResult is_blocking(int fd);
  /// Another descriptor of the same open file, close-on-exec (F_DUPFD_CLOEXEC, fcntl(2)).
  virtual IoResult duplicate(int fd);

  // -- files; a kernel may do without them
  /// Sends bytes of a file from `offset` on (sendfile(2)); 0 at its end.
  virtual IoResult send_file(int fd, int file, std::uint64_t offset, std::size_t count);
  /// pread(2)
  virtual IoResult read_at(int file, std::uint64_t offset, MutableBytes into);
  /// lseek(2) from the beginning.
  virtual IoResult seek(int file, std::uint64_t offset);

  // -- child processes; a kernel may do without them
  /// Starts one. The result's descriptor stands for it: readable when it has ended (pidfd_open(2)),
  /// to be closed after `reap`.
  virtual IoResult spawn(const SpawnRequest& request, int& pid);
  /// How the process ended: its exit code, or the number of its signal negated. EAGAIN if it runs
  /// yet, unless told to wait; ECHILD if somebody else took it.
  virtual IoResult reap(int process, bool wait, int& status);
  virtual IoResult signal_process(int process, int number);
  /// The opposite of O_NONBLOCK, for a descriptor that a child gets.
  virtual IoResult set_blocking(int fd);

  // -- datagrams; a kernel may do without them
  /// Receives what is there, at most one a place and kMaxDatagrams (recvmmsg(2)). The count; if it
  /// is less than there were places, nothing is left to read.
  virtual IoResult recv_datagrams(int fd, std::span<IncomingDatagram> into);
  /// Sends them in order, at most kMaxDatagrams (sendmmsg(2)). The count sent; an error is the
  /// first datagram's.
  virtual IoResult send_datagrams(int fd, std::span<const OutgoingDatagram> datagrams);
  /// Joins a multicast group or leaves it (MCAST_JOIN_GROUP, ip(7), ipv6(7)), on the interface of
  /// that index; 0: the system's choice.
  virtual IoResult set_membership(int fd, const Address& group, unsigned interface, bool join);

  // -- unix sockets; a kernel may do without them
  /// Sends bytes, at least one, and with the first of them copies of some descriptors, at most
  /// kMaxDescriptors (SCM_RIGHTS, unix(7)).
  virtual IoResult send_descriptors(int fd, BytesView bytes, std::span<const int> descriptors);
  /// Receives bytes, and appends the descriptors that came with them, close-on-exec. EMSGSIZE, and
  /// what came is closed, if the system could not deliver all that was sent (MSG_CTRUNC: this
  /// process has no descriptors left).
  virtual IoResult recv_descriptors(int fd, MutableBytes into, std::vector<Fd>& descriptors);
  /// Who made the connection at its other end (SO_PEERCRED, unix(7)).
  virtual IoResult peer_credentials(int fd, PeerCredentials& credentials);
  /// Which file has that path, if it is a socket's; ENOTSOCK if it is another one's (lstat(2)).
  virtual IoResult find_socket_file(const Address& path, FileId& file);
  /// unlink(2)
  virtual IoResult remove_file(const Address& path);
  /// Those of this process; what it would show to others.
  virtual PeerCredentials own_credentials();

  // -- what is done elsewhere than in the loop's thread
  /// The executor of a loop that was given none; asked with its first job. By default a ThreadPool.
  virtual std::shared_ptr<Executor> make_executor();
  /// The resolver of a loop that was given none; asked with its first look-up. By default
  /// make_system_resolver's.
  virtual std::shared_ptr<Resolver> make_resolver();

  static constexpr std::size_t kMaxDescriptors = 253;
  static constexpr std::size_t kMaxPieces = 64;
  static constexpr std::size_t kMaxDatagrams = 64;
};

// Of files, for any thread, without a kernel: for jobs of a thread pool, and for a SimKernel, whose
// files are the system's.
IoResult read_file(int file, std::uint64_t offset, MutableBytes into) noexcept;  ///< pread(2)
IoResult seek_file(int file, std::uint64_t offset) noexcept;  ///< lseek(2) from the beginning.
IoResult duplicate_file(int fd) noexcept;                     ///< As Kernel::duplicate.

/// The kernel that ships: Asio's reactor (epoll, kqueue) and scheduler, BSD sockets.
std::unique_ptr<Kernel> make_asio_kernel();

/// Makes a descriptor that came from elsewhere close-on-exec (fcntl(2)).
IoResult set_close_on_exec(int fd) noexcept;

/// Owns a socket of a Kernel and closes it through that kernel, which must outlive it.
class Socket {
 public:
  Socket() noexcept = default;
  Socket(Kernel& kernel, int fd) noexcept : kernel_(&kernel), fd_(fd) {}
  Socket(Socket&& other) noexcept : kernel_(other.kernel_), fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    if (this != &other) {
      reset();
      kernel_ = other.kernel_;
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~Socket() { reset(); }

  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  int release() noexcept { return std::exchange(fd_, -1); }
  void reset() noexcept {
    if (fd_ >= 0) kernel_->close(std::exchange(fd_, -1));
  }

 private:
  Kernel* kernel_ = nullptr;
  int fd_ = -1;
};

}  // namespace ferry
