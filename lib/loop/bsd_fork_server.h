#pragma once

#include <ferry/fd.h>

#include <cstddef>
#include <cstdint>

namespace ferry {

/// What the pool asks of the server; one message each.
struct ForkRequest {
  enum class What : std::int32_t { make_worker, kill_worker };
  What what = What::make_worker;
  std::int32_t pid = 0;
};

/// What the server tells the pool.
struct ForkReport {
  /// With `worker` comes its socket. `value`: errno of `failed`, how it ended of `ended` (exit
  /// code, or signal negated).
  enum class What : std::int32_t { worker, failed, ended };
  What what = What::worker;
  std::int32_t pid = 0;
  std::int32_t value = 0;
};

/// A process that forks the workers of a pool, has them for children and tells how they ended. It
/// has but one thread and next to nothing open, so it can be forked from at any time, as the
/// program cannot.
class ForkServer {
 public:
  /// Forks it; it begins with `workers` of them. Throws std::system_error, and std::logic_error if
  /// the program has threads and they are not allowed.
  ForkServer(std::size_t workers, std::size_t message_limit, bool allow_threads);
  ForkServer(const ForkServer&) = delete;
  ForkServer& operator=(const ForkServer&) = delete;
  /// Ends it and all workers, and waits until they are gone. In a forked child of the program:
  /// nothing.
  ~ForkServer();

  /// The socket to it (SOCK_SEQPACKET, non-blocking). At its end the server has ended.
  int control() const noexcept { return control_.get(); }
  /// -1 if the system has none.
  int pidfd() const noexcept { return process_.get(); }

 private:
  Fd control_;
  int owner_ = -1;  // the process that made it
  int pid_ = -1;
  Fd process_;
};

}  // namespace ferry
