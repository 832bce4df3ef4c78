#pragma once

#include <ferry/kernel.h>

#include <cstddef>
#include <utility>
#include <vector>

namespace ferry {

class PipePool;

/// A pipe on loan from a loop's PipePool, to pass bytes through from one socket to another without
/// copying them. It counts what it holds. Let go of, it returns to the pool if it is empty; one
/// that holds bytes is closed.
class PooledPipe {
 public:
  PooledPipe() noexcept = default;
  PooledPipe(PooledPipe&& other) noexcept { swap(other); }
  PooledPipe& operator=(PooledPipe&& other) noexcept {
    PooledPipe(std::move(other)).swap(*this);
    return *this;
  }
  ~PooledPipe();

  explicit operator bool() const noexcept { return pool_ != nullptr; }
  /// Bytes inside.
  std::size_t held() const noexcept { return held_; }
  /// Takes what `socket` has received, up to the pipe's size; 0: its end. EAGAIN: nothing is there,
  /// or, unless the pipe is empty, it may be full.
  IoResult fill(int socket);
  /// Sends what the pipe holds to `socket`, as far as that takes it.
  IoResult empty_into(int socket);
  /// Takes out the first bytes by copying them.
  IoResult read(MutableBytes into);

 private:
  friend class PipePool;
  void swap(PooledPipe& other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(read_end_, other.read_end_);
    std::swap(write_end_, other.write_end_);
    std::swap(held_, other.held_);
  }

  PipePool* pool_ = nullptr;
  int read_end_ = -1;
  int write_end_ = -1;
  std::size_t held_ = 0;
};

/// A loop's pipes for splicing: opened when there is none left, kept for the next user.
class PipePool {
 public:
  /// Bytes a pipe holds at most.
  static constexpr std::size_t kPipeSize = 256 * 1024;
  /// Pipes on loan at most, of two descriptors each; and how many wait for a user at most.
  static constexpr std::size_t kMostLent = 64;
  static constexpr std::size_t kMostIdle = 8;

  explicit PipePool(Kernel& kernel) noexcept : kernel_(kernel) {}
  PipePool(const PipePool&) = delete;
  PipePool& operator=(const PipePool&) = delete;
  ~PipePool() { clear(); }

  /// An empty pipe; or none, if the system gives none (of that size), or kMostLent are on loan.
  PooledPipe take();
  /// Closes those that wait for a user.
  void clear() noexcept;
  std::size_t lent() const noexcept { return lent_; }
  std::size_t idle() const noexcept { return idle_.size(); }

 private:
  friend class PooledPipe;
  struct Ends {
    int read;
    int write;
  };
  void take_back(Ends ends, bool reusable) noexcept;
  void close(Ends ends) noexcept;

  Kernel& kernel_;
  std::vector<Ends> idle_;
  std::size_t lent_ = 0;
};

}  // namespace ferry
