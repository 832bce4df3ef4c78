// Child processes: started by posix_spawn(3), known by a pidfd (pidfd_open(2)), so that no signal
// can reach a process that got a dead one's number; where there is none by a thread (ChildWaiters).

#include "bsd_sockets.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

extern char** environ;

namespace ferry {

namespace {

/// What posix_spawn does in the child before the program begins.
class Actions {
 public:
  Actions() {
    copies_.reserve(3);  // before there is one to be closed
    error_ = posix_spawn_file_actions_init(&actions_);
  }
  Actions(const Actions&) = delete;
  Actions& operator=(const Actions&) = delete;
  ~Actions() {
    posix_spawn_file_actions_destroy(&actions_);
    for (const int fd : copies_) ::close(fd);
  }

  /// The child's `target` becomes `fd`.
  void put(int fd, int target) {
    // Another of the first three may be put there before this one is taken from there.
    if (fd <= STDERR_FILENO && fd != target) {
      fd = ::fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
      if (fd < 0) return failed(errno);
      copies_.push_back(fd);
    }
    failed(posix_spawn_file_actions_adddup2(&actions_, fd, target));
  }
  void put_null(int target) {
    failed(posix_spawn_file_actions_addopen(&actions_, target, "/dev/null", O_RDWR, 0));
  }
  void copy_within(int fd, int target) {
    failed(posix_spawn_file_actions_adddup2(&actions_, fd, target));
  }
  /// Nothing but the first three and `kept` is open in the child.
  void close_others(std::vector<int> kept) {
    std::sort(kept.begin(), kept.end());
    int next = STDERR_FILENO + 1;
    for (const int fd : kept) {
      if (fd < next) continue;
      for (; next < fd; ++next) failed(posix_spawn_file_actions_addclose(&actions_, next));
      failed(posix_spawn_file_actions_adddup2(&actions_, fd, fd));  // no longer close-on-exec
      ++next;
    }
    failed(posix_spawn_file_actions_addclosefrom_np(&actions_, next));
  }
  void change_directory(const std::string& path) {
    failed(posix_spawn_file_actions_addchdir_np(&actions_, path.c_str()));
  }

  int error() const noexcept { return error_; }
  const posix_spawn_file_actions_t* get() const noexcept { return &actions_; }

 private:
  void failed(int error) noexcept {
    if (error_ == 0) error_ = error;
  }

  posix_spawn_file_actions_t actions_;
  std::vector<int> copies_;
  int error_ = 0;
};

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (const std::string& text : texts) all.push_back(const_cast<char*>(text.c_str()));
  all.push_back(nullptr);
  return all;
}

/// Where execvp(3) would look for `program`, by the PATH the child will have.
std::vector<std::string> candidates(const std::string& program,
                                    const std::vector<std::string>& environment) {
  if (program.find('/') != std::string::npos) return {program};
  std::string path = "/bin:/usr/bin";
  for (const std::string& variable : environment) {
    if (variable.starts_with("PATH=")) {
      path = variable.substr(5);
      break;
    }
  }
  std::vector<std::string> all;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find(':', begin), path.size());
    const std::string folder = path.substr(begin, end - begin);
    all.push_back(folder.empty() ? "./" + program : folder + "/" + program);
    begin = end + 1;
  }
  return all;
}

/// posix_spawn of the first of `programs` that there is.
template <class Spawn>
int spawn_first(const std::vector<std::string>& programs, Spawn spawn) {
  int failure = ENOENT;
  for (const std::string& program : programs) {
    // Spares a process for what is not there; a relative name is the child's to look for.
    if (program.starts_with('/') && ::access(program.c_str(), F_OK) != 0 &&
        (errno == ENOENT || errno == ENOTDIR)) {
      continue;
    }
    const int error = spawn(program.c_str());
    if (error == 0) return 0;
    if (error != ENOENT && error != ENOTDIR && failure == ENOENT) failure = error;
  }
  return failure;
}

int spawn_process(const SpawnRequest& request, const Actions& actions, pid_t& pid) {
  posix_spawnattr_t attributes;
  if (const int error = posix_spawnattr_init(&attributes)) return error;
  // What a program expects to begin with, whatever this one ignores or blocks.
  sigset_t none;
  sigset_t restored;
  sigemptyset(&none);
  sigemptyset(&restored);
  for (const int number : {SIGPIPE, SIGXFSZ}) sigaddset(&restored, number);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &restored);
  int flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
  if (request.new_session) flags |= POSIX_SPAWN_SETSID;
  if (request.process_group >= 0) {
    flags |= POSIX_SPAWN_SETPGROUP;
    posix_spawnattr_setpgroup(&attributes, request.process_group);
  }
  posix_spawnattr_setflags(&attributes, static_cast<short>(flags));
  const std::vector<char*> arguments = pointers(request.arguments);
  std::vector<char*> environment;
  if (request.environment) environment = pointers(*request.environment);
  // Without an environment of its own, the child's PATH is this process's.
  const int error =
      request.environment
          ? spawn_first(candidates(request.program, *request.environment),
                        [&](const char* program) {
                          return ::posix_spawn(&pid, program, actions.get(), &attributes,
                                               arguments.data(), environment.data());
                        })
          : ::posix_spawnp(&pid, request.program.c_str(), actions.get(), &attributes,
                           arguments.data(), environ);
  posix_spawnattr_destroy(&attributes);
  return error;
}

}  // namespace

int open_pidfd(int child) noexcept {
  const auto fd = static_cast<int>(::syscall(SYS_pidfd_open, child, 0));
  if (fd < 0) return -1;
  siginfo_t info{};
  if (::waitid(static_cast<idtype_t>(kPidfd), static_cast<id_t>(fd), &info,
               WEXITED | WNOHANG | WNOWAIT) == 0 &&
      ::syscall(SYS_pidfd_send_signal, fd, 0, nullptr, 0) == 0) {
    return fd;
  }
  ::close(fd);
  return -1;
}

IoResult BsdSockets::spawn(const SpawnRequest& request, int& pid) {
  Actions actions;
  for (int target = 0; target < 3; ++target) {
    const int fd = request.streams[target];
    if (fd >= 0) {
      actions.put(fd, target);
    } else if (fd == SpawnRequest::kNull) {
      actions.put_null(target);
    } else if (fd == SpawnRequest::kAsOutput) {
      actions.copy_within(STDOUT_FILENO, target);
    }
  }
  if (!request.directory.empty()) actions.change_directory(request.directory);
  actions.close_others(request.passed);
  if (actions.error() != 0) return {-1, actions.error()};
  pid_t child = -1;
  if (const int error = spawn_process(request, actions, child)) return {-1, error};
  IoResult handle{open_pidfd(child), 0};
  if (handle.value < 0) handle = waiters_.watch(child);
  if (!handle.ok()) {
    int status = 0;
    ::kill(child, SIGKILL);
    reap_child(P_PID, child, true, status);
    return handle;
  }
  pid = child;
  return handle;
}

IoResult BsdSockets::reap(int process, bool wait, int& status) {
  if (waiters_.has(process)) return waiters_.reap(process, wait, status);
  // A watch may have made it non-blocking, and waitid heeds that.
  if (wait) static_cast<void>(set_blocking(process));
  return reap_child(kPidfd, process, wait, status);
}

IoResult BsdSockets::signal_process(int process, int number) {
  if (waiters_.has(process)) return waiters_.signal(process, number);
  if (::syscall(SYS_pidfd_send_signal, process, number, nullptr, 0) != 0) return {-1, errno};
  return {};
}

IoResult BsdSockets::set_blocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0) return {-1, errno};
  return {};
}

}  // namespace ferry
