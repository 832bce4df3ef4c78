#pragma once

#include <ferry/function.h>
#include <ferry/kernel.h>
#include <ferry/testing/sim_chooser.h>
#include <ferry/testing/sim_network.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ferry::testing {

class SimAgenda;
class SimHosts;
class SimSockets;
class SimTurns;
class SimWires;

/// What a SimKernel starts with.
struct SimOptions {
  /// Bytes one direction of a connection holds before send says EAGAIN; half of it is the sender's
  /// SO_SNDBUF, half the receiver's SO_RCVBUF, and setting those changes it (they are not doubled).
  /// A pipe holds as much, in pages of 4096 bytes (pipe(7)): spliced bytes take one for each piece.
  std::size_t pipe_capacity = 64 * 1024;
  /// SO_RCVBUF of UDP sockets: what comes when it is full of datagrams is lost. Each takes 800
  /// bytes beside its own, as about on Linux.
  std::size_t datagram_buffer = 212992;
  /// So many datagrams, and one, wait in the queue of a unix socket before those who send to it are
  /// told EAGAIN; but nobody is whom it is connected to itself (net.unix.max_dgram_qlen).
  std::size_t unix_datagrams = 10;
  /// Descriptors that may be open at once; one more is EMFILE.
  std::size_t descriptor_limit = 65536;
  /// The lowest descriptor: far above real ones, so that the two are never taken for each other.
  int first_descriptor = 1000;
  /// The clock's first reading.
  TimePoint start = TimePoint(std::chrono::hours(1));
  /// What everything that is drawn by lot depends on: the network's streams (Seed) "net", and
  /// "schedule".
  std::uint64_t seed = 0;
  /// What a kernel may tell in one order or another is told in an order drawn by lot, from the
  /// stream "schedule"; else in the order it happened. That is: what the same look at the sockets,
  /// the timer, the signals and the wakes of other threads finds, and whether this look tells it or
  /// a later one. The order of what the program itself asked for is kept.
  bool permute_schedule = false;
  /// Decides that instead of lots; it must outlive the kernel.
  SimChooser* chooser = nullptr;
  /// Permuted, what is ready is told so many looks later at most. The clock stands still meanwhile.
  unsigned most_looks = 2;
  /// Jobs of the loop's default executor, and look-ups of names, need no threads: each job runs in
  /// the loop's thread, between its events, and its outcome is posted as another thread would. Such
  /// a job must not wait for what the loop does. False: real threads, the system's names.
  bool simulate_threads = true;
  /// How long a simulated job takes, drawn from the stream "schedule"; what it does happens at the
  /// end of that time.
  Duration job_time_min{};
  /// Not less than that; 0: `job_time_min`.
  Duration job_time_max{};
};

/// What a SimKernel has been asked to do so far, and what is open.
struct SimStats {
  std::size_t open_sockets = 0;  ///< Descriptors; connections nobody accepted do not count.
  std::size_t watches = 0;
  std::size_t names = 0;                ///< Addresses and ports that are taken.
  std::size_t files = 0;                ///< Of unix sockets' paths, that nobody has removed.
  std::uint64_t dropped_datagrams = 0;  ///< For which SO_RCVBUF had no room.
  std::uint64_t bad_descriptors = 0;    ///< Calls with a descriptor that was not open: EBADF.
  std::uint64_t turns = 0;              ///< Times the kernel looked for what is ready.
  std::uint64_t jumps = 0;              ///< Times the clock jumped, to the timer or an arrival.
  std::map<std::string_view, std::uint64_t> calls;  ///< By the system call's name.
};

/// A Kernel without a descriptor and without waiting, for tests of anything that runs on a loop:
///
///     auto kernel = std::make_unique<SimKernel>();
///     EventLoop loop(std::move(kernel));
///
/// **Time** is virtual. It stands still while anything is ready, and jumps to the armed timer (or
/// what arrives before, see SimNetwork) when nothing is, so a test of a two-minute limit takes no
/// time, and every run is the same. If nothing is ready, under way or armed, `run` blocks until
/// `wake` (but see `set_stuck`).
///
/// **Threads.** There are none: jobs of the loop's default executor and look-ups of names are
/// simulated (SimOptions::simulate_threads). Who uses an executor of his own, or
/// call_soon_threadsafe from elsewhere, brings real threads, and with them a run is as
/// (un)repeatable as threads are; `set_patience` keeps the clock from jumping while such threads
/// are at work.
///
/// **Sockets** are byte pipes: TCP over IPv4 and IPv6 on the loopback addresses (127.0.0.0/8, ::1,
/// and the wildcards), and unix stream sockets, whose names live inside the simulation: paths, too,
/// which are no files of the system's and stay until they are removed (`remove_file`). Errors and
/// readiness are Linux's. A TCP connect completes on the next turn, or when it is tried again if
/// the backlog is full (after 1, 3, 7, ... seconds, for 127 at most), a unix one at once. The
/// documentation networks (192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24, 2001:db8::/32) never
/// answer; other addresses are ENETUNREACH, and EADDRNOTAVAIL to bind to. SO_LINGER with the value
/// 0 makes close reset the connection. A port is held by the accepted connections, too, and for a
/// minute after an active close: to bind to it takes SO_REUSEADDR. Nothing is lost, reordered or
/// late, unless `network` is told so. Closing a descriptor that is still watched ends the program:
/// it is a bug.
///
/// Datagram sockets of the same families, too: UDP is lost when the receiver's buffer is full, and
/// a unix socket's queue holds back who sends to it (SimOptions). The refusal of an absent receiver
/// reaches a connected sender (ECONNREFUSED); broadcast (255.255.255.255 and 127.255.255.255) and
/// multicast reach every socket of the simulation that would hear them.
///
/// Order in a turn, as AsioKernel's: what sockets have to say, in the order it happened,
/// what arrives now included; then the timer, then signals, then the drain for `wake`; a drain that
/// was requested comes before what is found after the request. SimOptions::permute_schedule and
/// `explore` change what a kernel is free to change in that.
class SimKernel final : public Kernel {
 public:
  explicit SimKernel(SimOptions options = {});
  ~SimKernel() override;

  // -- for tests
  /// Time passes while the program is busy: due timers fire afterwards, as late as that.
  void advance(Duration time);
  /// The world does something at that time, or in the next look if it is past: the clock jumps to
  /// it as to an arrival, and no timer of the loop's is needed. `what` is called between the
  /// events, as the turn hook, before anything else arrives at that time, and may do what that may
  /// do, `advance` and `at` as well. What is left when the kernel goes away is dropped.
  void at(TimePoint when, Function<void()> what);
  /// Asked before `run` would block for ever, since nothing is ready, armed or under way, and only
  /// another thread could go on. False: nobody will, `run` returns as after `stop`. True: it looks
  /// again, `stuck` may have done something, and then waits. Null: it waits.
  void set_stuck(Function<bool()> stuck);
  /// Every turn takes so much virtual time (default 0), so that a program that is never idle
  /// grows older.
  void set_turn_cost(Duration cost);
  /// As if the process got the signal. From any thread. False if nobody watches it: the real one
  /// would do what it does by default.
  bool raise_signal(int signal_number);
  /// Asked before the clock jumps to the timer: for how long of real time other threads that are at
  /// work may still `wake` the loop; `run` waits for them so long. Null, and zero: jump at once.
  void set_patience(Function<Duration()> patience);
  /// Called before each look at what is ready; may call `stop`, sockets, anything. Null: nothing.
  void set_turn_hook(Function<void()> hook);
  /// Two sockets connected to each other, as socketpair(2), of any of the families. The descriptors
  /// are closed by `close`.
  std::pair<int, int> connected_pair(int family = AF_INET, int type = SOCK_STREAM);
  /// A name that resolves to these addresses, in this order (their ports do not matter), in the
  /// time of a job and so much more; instead of what it was before. "localhost" is known from the
  /// beginning, as are addresses; others are EAI_NONAME, and one without an address of the family
  /// asked for EAI_NODATA. See FaultKernel for other errors.
  void add_host(std::string name, std::vector<Address> addresses, Duration latency = {});
  /// Changes SimOptions::descriptor_limit; open descriptors stay.
  void set_descriptor_limit(std::size_t limit);
  /// Bytes that have arrived at `fd` and nobody has read.
  std::size_t unread(int fd) const;
  SimStats stats() const;
  /// What lies between the sockets: latency, loss, partitions and the like. Nothing by default.
  SimNetwork& network() noexcept { return *network_; }
  /// The way from a connected TCP or UDP socket to its peer and back, for SimNetwork: that
  /// connection alone. std::logic_error if there is no such.
  SimRoute route(int fd) const;
  /// A hash of all that was delivered so far and when: what the network carried, and the calls of
  /// watches and timers. The same program with the same seed gives the same, as long as no other
  /// threads are at work.
  std::uint64_t log_hash() const noexcept;

  // -- Kernel
  void attach(Client& client) override;
  TimePoint now() override;
  void run() override;
  void stop() override;
  void request_drain() override;
  void wake() noexcept override;
  void set_timer(TimePoint when) override;
  void after_fork_in_child() override;
  FdWatchPtr watch(int fd, FdWatch::Listener& listener, std::error_code& error) override;
  std::error_code watch_signal(int signal_number) override;
  std::error_code unwatch_signal(int signal_number) override;
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
  IoResult adopt(int fd) override;
  IoResult read(int fd, MutableBytes into) override;
  IoResult write_pieces(int fd, std::span<const BytesView> pieces) override;
  IoResult file_type(int fd) override;
  IoResult pipe(int& read_end, int& write_end) override;
  IoResult set_pipe_size(int fd, std::size_t bytes) override;
  IoResult splice_in(int socket, int pipe, std::size_t count) override;
  IoResult splice_out(int pipe, int socket, std::size_t count) override;
  IoResult send_file(int fd, int file, std::uint64_t offset, std::size_t count) override;
  IoResult read_at(int file, std::uint64_t offset, MutableBytes into) override;
  IoResult seek(int file, std::uint64_t offset) override;
  /// Of a file, which is the system's.
  IoResult duplicate(int file) override;
  IoResult recv_datagrams(int fd, std::span<IncomingDatagram> into) override;
  IoResult send_datagrams(int fd, std::span<const OutgoingDatagram> datagrams) override;
  IoResult set_membership(int fd, const Address& group, unsigned interface, bool join) override;
  IoResult find_socket_file(const Address& path, FileId& file) override;
  IoResult remove_file(const Address& path) override;
  std::shared_ptr<Executor> make_executor() override;
  std::shared_ptr<Resolver> make_resolver() override;

 private:
  /// Every socket call goes through here, to be counted. To make calls fail is FaultKernel's.
  template <class Body>
  IoResult call(const char* name, int fd, Body body);
  /// The same where a pipe will not do.
  template <class Body>
  IoResult socket_call(const char* name, int fd, Body body);
  IoResult splice(int from, int to, std::size_t count);
  void count(const char* name);

  std::unique_ptr<SimTurns> turns_;
  std::unique_ptr<SimWires> wires_;
  std::unique_ptr<SimNetwork> network_;
  std::unique_ptr<SimSockets> sockets_;
  std::unique_ptr<SimAgenda> world_;  // what `at` entered, and jobs
  std::unique_ptr<SimHosts> hosts_;
  SimOptions options_;
  std::vector<std::pair<const char*, std::uint64_t>> calls_;
  std::uint64_t bad_descriptors_ = 0;
};

/// The simulated counterpart of make_asio_kernel.
std::unique_ptr<Kernel> make_sim_kernel(SimOptions options = {});

}  // namespace ferry::testing
