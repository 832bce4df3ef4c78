// The server itself: single-threaded, no allocation, plain system calls. Linux: it uses prctl(2),
// SOCK_SEQPACKET, close_range(2).

#include "bsd_fork_server.h"

#include "bsd_pool_worker.h"
#include "child_waiters.h"

#include <ferry/process_pool.h>
#include <ferry/sanitizers.h>

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <system_error>

namespace ferry {

void signal_pipe(int (&ends)[2]) noexcept;  // asio_impl.cpp

namespace {

constexpr int kFaults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};

void set_handler(int number, void (*handler)(int)) noexcept {
  struct sigaction action {};
  action.sa_handler = handler;
  ::sigaction(number, &action, nullptr);
}

/// As exec would: what is ignored stays so, handlers go; but reports of crashes are wanted.
void drop_signal_handlers() noexcept {
  for (int number = 1; number < NSIG; ++number) {
    struct sigaction action {};
    if (::sigaction(number, nullptr, &action) != 0) continue;
    const bool handled = (action.sa_flags & SA_SIGINFO) != 0 ||
                         (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN);
    if (handled && std::find(std::begin(kFaults), std::end(kFaults), number) == std::end(kFaults)) {
      set_handler(number, SIG_DFL);
    }
  }
}

void close_range(int first, int last) noexcept {
  if (first > last) return;
#ifdef SYS_close_range
  if (::syscall(SYS_close_range, first, last, 0) == 0) return;
#endif
  const auto limit = static_cast<int>(::sysconf(_SC_OPEN_MAX));
  for (int fd = first; fd <= std::min(last, limit); ++fd) ::close(fd);
}

/// All but the standard three and `kept`.
void close_all_but(int (&kept)[3]) noexcept {
  std::sort(std::begin(kept), std::end(kept));
  int next = STDERR_FILENO + 1;
  for (const int fd : kept) {
    if (fd < next) continue;
    close_range(next, fd - 1);
    next = fd + 1;
  }
  close_range(next, ~0U >> 1U);
}

/// Standard input from /dev/null; and whatever of the three is closed, or a socket would get its
/// number and what a function prints.
void settle_standard_streams() noexcept {
  const int null = ::open("/dev/null", O_RDWR);
  if (null < 0) return;
  ::dup2(null, STDIN_FILENO);
  for (const int fd : {STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) < 0) ::dup2(null, fd);
  }
  if (null > STDERR_FILENO) ::close(null);
}

class Server {
 public:
  /// `programs_end`: the other end of `control`. `highest_fd`: the program's.
  Server(int control, int programs_end, int highest_fd, std::size_t message_limit) noexcept
      : control_(control),
        programs_end_(programs_end),
        highest_fd_(highest_fd),
        message_limit_(message_limit) {}

  [[noreturn]] void run(std::size_t workers) noexcept {
    prepare();
    for (; workers > 0; --workers) make_worker();
    for (;;) {
      wait();
      report_ended();
      while (serve_request()) {
      }
    }
  }

 private:
  void prepare() noexcept {
    // Of a program that has closed its standard streams, either end may be among the first three,
    // and what a function prints must not go there.
    ::close(programs_end_);
    if (control_ <= STDERR_FILENO) {
      const int low = control_;
      control_ = ::fcntl(low, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
      ::close(low);
    }
    settle_standard_streams();
    int kept[3] = {control_, -1, -1};
    int pipe[2];
    signal_pipe(pipe);  // a worker may run a loop of its own
    kept[1] = pipe[0];
    kept[2] = pipe[1];
    close_all_but(kept);
    drop_signal_handlers();
    set_handler(SIGINT, SIG_IGN);
    // What ends the program is not for this process to heed: it ends when the program does.
    for (int i = 0; i < 3; ++i) {
      ::sigaction(kOutlived[i], nullptr, &inherited_[i]);
      set_handler(kOutlived[i], SIG_IGN);
    }
    ::sigaction(SIGCHLD, nullptr, &inherited_[3]);
    if (inherited_[3].sa_handler == SIG_IGN) inherited_[3].sa_handler = SIG_DFL;
    set_handler(SIGCHLD, [](int) {});
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGCHLD);  // but in `wait`
    ::sigprocmask(SIG_SETMASK, &blocked, nullptr);
    ::prctl(PR_SET_NAME, "ferry-forker");
  }

  void wait() const noexcept {
    pollfd entry{control_, POLLIN, 0};
    sigset_t none;
    sigemptyset(&none);
    ::ppoll(&entry, 1, nullptr, &none);
  }

  /// False if there was none.
  bool serve_request() noexcept {
    ForkRequest request;
    const ssize_t received = ::recv(control_, &request, sizeof request, MSG_DONTWAIT);
    if (received < 0) {
      if (errno == EINTR) return true;
      if (errno == EAGAIN) return false;
    }
    if (received != sizeof request) end();
    if (request.what == ForkRequest::What::make_worker) {
      make_worker();
    } else if (std::find(children_, children_ + count_, request.pid) != children_ + count_) {
      ::kill(request.pid, SIGKILL);
    }
    return true;
  }

  void make_worker() noexcept {
    int ends[2] = {-1, -1};
    if (count_ == ProcessPool::kMaxWorkers) return failed(EAGAIN);
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return failed(errno);
    const pid_t server = ::getpid();
    const pid_t child = ::fork();
    if (child == 0) become_worker(server, ends[1], ends[0]);
    const int error = errno;
    ::close(ends[1]);
    if (child > 0) children_[count_++] = child;
    if (child < 0) {
      failed(error);
    } else if (!report({ForkReport::What::worker, child, 0}, ends[0])) {
      ::kill(child, SIGKILL);  // how it ended is not asked for: nobody knows it
      failed(EMFILE);
    }
    ::close(ends[0]);
  }

  [[noreturn]] void become_worker(pid_t server, int socket, int other_end) noexcept {
    ::close(control_);
    ::close(other_end);
    // A function may have the number of a file that the program has open. It must find nothing
    // there, and not the socket that the answers go through.
    const int high = ::fcntl(socket, F_DUPFD_CLOEXEC, highest_fd_ + 1);
    if (high >= 0) {  // else that is beyond what the limit allows
      ::close(socket);
      socket = high;
    }
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != server) ::_exit(0);
    ::prctl(PR_SET_NAME, "ferry-worker");
    for (int i = 0; i < 3; ++i) ::sigaction(kOutlived[i], &inherited_[i], nullptr);
    ::sigaction(SIGCHLD, &inherited_[3], nullptr);
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    run_pool_worker(socket, message_limit_);
  }

  void report_ended() noexcept {
    int status = 0;
    for (pid_t child = 0; (child = ::waitpid(-1, &status, WNOHANG)) > 0;) {
      pid_t* const place = std::find(children_, children_ + count_, child);
      if (place == children_ + count_) continue;
      *place = children_[--count_];
      report({ForkReport::What::ended, child,
              WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status)},
             -1);
    }
  }

  void failed(int error) noexcept { report({ForkReport::What::failed, 0, error}, -1); }

  /// False if `socket` could not be sent. A report without one does get there: a call would wait
  /// for it for ever.
  bool report(ForkReport report, int socket) noexcept {
    iovec vector{&report, sizeof report};
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    alignas(cmsghdr) std::byte control[CMSG_SPACE(sizeof(int))] = {};
    if (socket >= 0) {
      message.msg_control = control;
      message.msg_controllen = sizeof control;
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(sizeof socket);
      std::memcpy(CMSG_DATA(header), &socket, sizeof socket);
    }
    while (::sendmsg(control_, &message, MSG_NOSIGNAL) < 0) {
      if (errno == EPIPE || errno == ECONNRESET) end();
      if (errno == EINTR) continue;
      if (socket >= 0 || (errno != ENOBUFS && errno != ENOMEM)) return false;
      ::poll(nullptr, 0, 10);  // until there is memory
    }
    return true;
  }

  /// The pool is gone.
  [[noreturn]] void end() noexcept {
    for (std::size_t i = 0; i < count_; ++i) ::kill(children_[i], SIGKILL);
    for (std::size_t i = 0; i < count_; ++i) {
      while (::waitpid(children_[i], nullptr, 0) < 0 && errno == EINTR) {
      }
    }
    ::_exit(0);
  }

  static constexpr int kOutlived[3] = {SIGTERM, SIGHUP, SIGQUIT};

  int control_;
  int programs_end_;
  int highest_fd_;
  std::size_t message_limit_;
  struct sigaction inherited_[4] = {};  // of kOutlived and SIGCHLD, for the workers
  pid_t children_[ProcessPool::kMaxWorkers] = {};
  std::size_t count_ = 0;
};

/// 1 if that cannot be found out.
std::size_t thread_count() noexcept {
  DIR* folder = ::opendir("/proc/self/task");
  if (!folder) return 1;
  std::size_t count = 0;
  while (const dirent* entry = ::readdir(folder)) count += entry->d_name[0] != '.';
  ::closedir(folder);
  return count;
}

/// Of those that are open; 255 if they are lower, or that cannot be found out.
int highest_fd() noexcept {
  int highest = 255;
  DIR* folder = ::opendir("/proc/self/fd");
  if (!folder) return highest;
  while (const dirent* entry = ::readdir(folder)) {
    highest = std::max(highest, std::atoi(entry->d_name));
  }
  ::closedir(folder);
  return highest;
}

// ThreadSanitizer has one that counts.
constexpr std::size_t kOwnThreads = FERRY_THREAD_SANITIZER ? 2 : 1;

}  // namespace

ForkServer::ForkServer(std::size_t workers, std::size_t message_limit, bool allow_threads) {
  if (const std::size_t threads = thread_count(); !allow_threads && threads > kOwnThreads) {
    throw std::logic_error("ProcessPool: the program has " + std::to_string(threads) +
                           " threads already; make the pool before them");
  }
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    throw std::system_error(errno, std::system_category(), "ProcessPool: socketpair");
  }
  control_.reset(ends[0]);
  owner_ = ::getpid();
  const Fd theirs(ends[1]);
  const int highest = highest_fd();
  std::fflush(nullptr);  // or the workers would write it a second time
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);  // no handler is to run over there
  pid_ = ::fork();
  if (pid_ == 0) Server(theirs.get(), control_.get(), highest, message_limit).run(workers);
  const int error = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid_ < 0) throw std::system_error(error, std::system_category(), "ProcessPool: fork");
  ::fcntl(control_.get(), F_SETFL, O_NONBLOCK);
  process_.reset(open_pidfd(pid_));
}

ForkServer::~ForkServer() {
  // A child that the program forked may have a copy of it, and closing would then end nothing. That
  // child itself ends nothing either: the pool is its parent's.
  if (::getpid() == owner_) ::shutdown(control_.get(), SHUT_RDWR);
  control_.reset();
  int status = 0;
  if (process_) {
    reap_child(kPidfd, process_.get(), true, status);
  } else {
    reap_child(P_PID, pid_, true, status);
  }
}

}  // namespace ferry
