#pragma once

#include "loop_suite.h"

#include <ferry/process_pool.h>

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace ferry::test {

inline bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// -- what the workers run

inline int add(int a, int b) {
  return a + b;
}
inline int worker_pid() {
  return static_cast<int>(::getpid());
}
inline int g_changed = 0;
inline int change() {
  return ++g_changed;
}
/// Holds its worker until something, or the end, comes through the pipe named `path`.
inline int wait_for(const std::string& path) {
  std::ifstream gate(path);
  std::string line;
  std::getline(gate, line);
  return static_cast<int>(line.size());
}

/// A pipe with a name, through which a test lets its workers go on.
class Gate {
 public:
  Gate() {
    char folder[] = "/tmp/ferry-gate-XXXXXX";
    if (!::mkdtemp(folder)) throw std::runtime_error("mkdtemp");
    folder_ = folder;
    path_ = folder_ + "/gate";
    if (::mkfifo(path_.c_str(), 0600) != 0) throw std::runtime_error("mkfifo");
  }
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  ~Gate() {
    ::unlink(path_.c_str());
    ::rmdir(folder_.c_str());
  }
  const std::string& path() const { return path_; }
  /// Waits until a worker waits, and lets it go.
  void open() const { std::ofstream(path_) << "go\n"; }

 private:
  std::string folder_;
  std::string path_;
};

/// Of an other test a thread may be on its way out still.
inline ProcessPool::Options with(std::size_t workers) {
  return {.workers = workers, .allow_threads = true};
}

inline bool process_exists(int pid) {
  return ::kill(pid, 0) == 0;
}
/// No child of this process is left, not even as a zombie.
inline bool childless() {
  return ::waitpid(-1, nullptr, WNOHANG) < 0 && errno == ECHILD;
}

class PoolSuite : public LoopSuite {
 protected:
  template <class T>
  T get(const Future<T>& future) {
    return loop().run_until_complete(future);
  }
  /// What the future failed with.
  template <class Error, class T>
  Error failure(const Future<T>& future) {
    try {
      loop().run_until_complete(future);
    } catch (const Error& error) {
      return error;
    }
    throw std::runtime_error("it did not fail");
  }
};

}  // namespace ferry::test
