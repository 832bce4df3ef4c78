#pragma once

#include "bsd_sockets.h"

#include <asio/io_context.hpp>
#include <asio/signal_set.hpp>
#include <asio/steady_timer.hpp>

#include <atomic>
#include <memory>
#include <optional>

namespace ferry {

/// Memory for the one handler an object has pending, so that Asio allocates nothing for it. A
/// second one while the first is still queued (a cancelled wait, say) goes to the heap.
class HandlerMemory {
 public:
  void* allocate(std::size_t size) {
    if (used_ || size > sizeof(storage_)) return ::operator new(size);
    used_ = true;
    return storage_;
  }
  void deallocate(void* memory) noexcept {
    if (memory == storage_) {
      used_ = false;
    } else {
      ::operator delete(memory);
    }
  }

 private:
  alignas(std::max_align_t) std::byte storage_[192];
  bool used_ = false;
};

/// The allocator through which Asio finds a HandlerMemory.
template <class T>
class HandlerAllocator {
 public:
  using value_type = T;
  explicit HandlerAllocator(HandlerMemory& memory) noexcept : memory_(&memory) {}
  template <class U>
  HandlerAllocator(const HandlerAllocator<U>& other) noexcept : memory_(other.memory_) {}
  T* allocate(std::size_t n) { return static_cast<T*>(memory_->allocate(n * sizeof(T))); }
  void deallocate(T* p, std::size_t) noexcept { memory_->deallocate(p); }
  friend bool operator==(const HandlerAllocator& a, const HandlerAllocator& b) noexcept {
    return a.memory_ == b.memory_;
  }

 private:
  template <class>
  friend class HandlerAllocator;
  HandlerMemory* memory_;
};

/// A handler whose memory is `memory`.
template <class F>
struct PlacedHandler {
  using allocator_type = HandlerAllocator<void>;
  HandlerMemory* memory;
  F f;
  allocator_type get_allocator() const noexcept { return allocator_type(*memory); }
  template <class... Args>
  void operator()(Args&&... args) {
    f(std::forward<Args>(args)...);
  }
};
template <class F>
PlacedHandler<F> placed(HandlerMemory& memory, F f) {
  return {&memory, std::move(f)};
}

/// The kernel that ships: waiting, waking and timers by an io_context, readiness by its reactor,
/// the socket calls of the operating system. The io_context is its own, or the application's, which
/// may run it itself and has it longer.
class AsioKernel final : public BsdSockets {
 public:
  AsioKernel();
  explicit AsioKernel(asio::io_context& context);
  ~AsioKernel() override;

  asio::io_context& context() noexcept { return io_; }

  void attach(Client& client) override { client_ = &client; }
  TimePoint now() override { return std::chrono::steady_clock::now(); }
  std::chrono::system_clock::time_point wall_clock() override {
    return std::chrono::system_clock::now();
  }
  void run() override;
  void stop() override;
  void request_drain() override;
  void wake() noexcept override;
  void set_timer(TimePoint when) override;
  void after_fork_in_child() override;
  bool shared() const noexcept override { return !own_io_; }
  void work_started() override;
  void work_finished() noexcept override;
  FdWatchPtr watch(int fd, FdWatch::Listener& listener, std::error_code& error) override;
  std::error_code watch_signal(int signal_number) override;
  std::error_code unwatch_signal(int signal_number) override;

 private:
  /// What handlers refer to that may wait in an io_context when this is gone.
  struct Remains {
    HandlerMemory drain_memory;
    HandlerMemory wake_memory;
    HandlerMemory stop_memory;
    HandlerMemory timer_memory;
    HandlerMemory signal_memory;
    AsioKernel* kernel;
  };
  using WorkGuard = asio::executor_work_guard<asio::io_context::executor_type>;

  void wait_for_timer();
  void on_wait(std::uint64_t setting, const asio::error_code& error);
  void wait_for_signal();
  /// Calls what is the client's or a listener's.
  template <class F>
  void call(F f);

  std::shared_ptr<Remains> remains_ = std::make_shared<Remains>();
  std::unique_ptr<asio::io_context> own_io_;
  asio::io_context& io_;
  asio::steady_timer timer_;
  std::optional<asio::signal_set> signals_;
  Client* client_ = nullptr;
  std::size_t work_ = 0;  // of a shared kernel
  std::optional<WorkGuard> work_guard_;
  std::uint64_t run_ = 0;
  bool drain_posted_ = false;
  std::atomic<bool> wake_posted_ = false;
  std::uint64_t timer_setting_ = 0;  // tells a wait that was replaced from the one that counts
  bool timer_waiting_ = false;
  std::size_t signal_count_ = 0;
  bool waiting_for_signal_ = false;
};

/// A watch on `io`'s reactor (fd_watch_reactor.cpp) or by async_wait (fd_watch_async_wait.cpp), as
/// the build chose.
FdWatchPtr make_fd_watch(asio::io_context& io, int fd, FdWatch::Listener& listener,
                         std::error_code& error);

}  // namespace ferry
