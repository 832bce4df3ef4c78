#pragma once

#include <ferry/buffer.h>
#include <ferry/executor.h>
#include <ferry/function.h>
#include <ferry/future.h>
#include <ferry/handle.h>
#include <ferry/kernel.h>
#include <ferry/log.h>
#include <ferry/ready_queue.h>
#include <ferry/resolver.h>
#include <ferry/timer.h>

#include <ferry/source_location.h>
#include <atomic>
#include <concepts>
#include <memory>
#include <new>
#include <optional>
#include <string>

namespace ferry {

class EventLoop;
class PipePool;
class ProcessPool;
class Protocol;
class Transport;
struct LoopState;
struct MailboxState;

/// Thrown out of a callback it ends run_forever at once and comes out of it; the loop stays usable.
/// Every other exception goes to the exception handler. Not a std::exception, on purpose.
struct LoopExit {
  int code = 0;
};

/// What an exception handler is told.
struct ExceptionContext {
  std::string message;
  std::exception_ptr exception;          ///< May be null.
  std::error_code error;                 ///< May be empty.
  SourceLocation where;                  ///< Where the callback was scheduled, if known.
  const Transport* transport = nullptr;  ///< The connection concerned; valid during the call.
  const Protocol* protocol = nullptr;
  const FutureState* future = nullptr;
  std::string original;  ///< When a handler threw: the message it had been given.

  /// "message: what the exception says", for a log line.
  std::string to_string() const;
};
using ExceptionHandler = Function<void(EventLoop&, const ExceptionContext&)>;

/// For the message of a report: what `text()` gives; where there is no memory for that, the word of
/// it. A report must not fail.
template <class Text>
std::string report_text(Text&& text) noexcept {
  try {
    return text();
  } catch (...) {
    return "out of memory";  // it fits in place
  }
}

struct LoopOptions {
  /// Absent: the environment variable FERRY_DEBUG, if it is set to anything but "" and "0".
  std::optional<bool> debug;
};

/// How much of everything is alive.
struct LoopStats {
  std::size_t ready = 0;       ///< Callbacks that wait for their turn.
  std::size_t timers = 0;      ///< Timers set and not cancelled.
  std::size_t watches = 0;     ///< add_reader/add_writer descriptors.
  std::size_t transports = 0;  ///< Connections before the end of connection_lost.
  std::size_t servers = 0;     ///< Servers that are open.
  std::size_t futures = 0;     ///< Future states, done or not, that somebody holds.
  std::size_t jobs = 0;        ///< run_in_executor calls and look-ups under way.
  std::size_t operations = 0;  ///< Other things under way: connects, relays.
  std::size_t signal_handlers = 0;
  std::size_t tasks = 0;        ///< Tasks that are not done.
  std::uint64_t turns = 0;      ///< Batches of ready callbacks run so far.
  std::uint64_t callbacks = 0;  ///< Ready callbacks run so far.
  std::uint64_t fired = 0;      ///< Timers' callbacks run so far.
};

/// What lives on a loop and must hear when the loop closes: transports, servers, connects.
/// An intrusive list element; the loop calls each once and forgets it.
class LoopResource {
 public:
  enum class Kind : std::uint8_t { transport, server, job, operation };

  LoopResource(EventLoop& loop, Kind kind);
  LoopResource(const LoopResource&) = delete;
  LoopResource& operator=(const LoopResource&) = delete;

  EventLoop& loop() const noexcept { return *loop_; }

 protected:
  virtual ~LoopResource();
  /// The loop closes: end now, call back what must be called back, touch the loop no more
  /// after returning. May destroy `this`.
  virtual void on_loop_close() = 0;
  /// Leave the list before the destructor does.
  void leave_loop() noexcept;
  /// call_soon for what must happen: if there is no memory for it, `on_overdue` is called in its
  /// place, in the next turn. Throws what call_soon does for misuse.
  template <class F>
  void call_without_fail(F&& callback, SourceLocation where = SourceLocation::current());
  /// From the loop, once for all that `call_without_fail` could not have called: does it now. What
  /// it could have called before still comes as well. May destroy `this`.
  virtual void on_overdue() {}

 private:
  friend class EventLoop;
  void be_overdue() noexcept;

  EventLoop* loop_;
  LoopResource* next_ = nullptr;
  LoopResource** link_ = nullptr;
  Kind kind_;
  bool overdue_ = false;
};

/// What a layer above keeps for each loop.
class LoopExtension {
 public:
  LoopExtension() = default;
  LoopExtension(const LoopExtension&) = delete;
  LoopExtension& operator=(const LoopExtension&) = delete;
  virtual ~LoopExtension() = default;
  /// The loop closes: before its transports, servers and jobs hear of it.
  virtual void on_loop_close() = 0;
  /// In the turn after EventLoop::note_overdue.
  virtual void on_overdue() {}
  /// For LoopStats::tasks.
  virtual std::size_t task_count() const noexcept = 0;
};

/// What can be posted without memory: its place is part of something the poster has made before.
struct ReservedLetter {
  Function<void()> callback;  ///< Should keep what the letter is part of alive.
  SourceLocation where = SourceLocation::current();
  ReservedLetter* next = nullptr;  // the mailbox's, as all that follows
  std::size_t behind = 0;          // so many of the other letters were there when it came
};

/// The end of a loop that other threads may hold. It outlives the loop.
class Mailbox {
 public:
  /// Queues `callback` for the loop and wakes it. False (and `callback` destroyed) if the loop is
  /// closed. From any thread.
  bool post(Function<void()> callback, SourceLocation where = SourceLocation::current());
  /// The same for `letter.callback`, and does not fail for want of memory. The letter is the
  /// mailbox's until its callback is called or destroyed.
  bool post(ReservedLetter& letter) noexcept;

 private:
  friend class EventLoop;
  explicit Mailbox(std::shared_ptr<MailboxState> state) : state_(std::move(state)) {}
  std::shared_ptr<MailboxState> state_;
};

/// An event loop, as asyncio's: one loop, one thread; all that belongs to a loop is called and used
/// on the thread that runs it, but for `call_soon_threadsafe` and `mailbox`.
/// https://docs.python.org/3/library/asyncio-eventloop.html
class EventLoop final : private Kernel::Client {
 public:
  /// A loop on the operating system (AsioKernel). For one on an asio::io_context that the
  /// application has and may run itself: `make_asio_kernel` of ferry/asio.h.
  explicit EventLoop(LoopOptions options = {});
  explicit EventLoop(std::unique_ptr<Kernel> kernel, LoopOptions options = {});
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  /// Closes. Inside one of its own callbacks: a fatal error.
  ~EventLoop();

  // -- running
  /// Runs until `stop`. Throws std::logic_error if closed, or if this thread runs a loop already.
  void run_forever();
  /// Runs until `future` is done; gives its result or throws its exception. Throws std::logic_error
  /// if the loop is stopped before, and std::invalid_argument for another loop's future.
  template <class T>
  T run_until_complete(Future<T> future) {
    run_until_done(
        [&future](FutureState::Callback callback) {
          return future.state_->add_done_callback(std::move(callback));
        },
        *future.state_);
    if constexpr (std::is_void_v<T>) {
      future.result();
    } else {
      return std::move(future.result());
    }
  }
  /// The callbacks that are ready now still run, the ones they add wait for the next run.
  /// Before run_forever: that run is one turn that does not wait. Idempotent.
  void stop();
  bool is_running() const noexcept;
  bool is_closed() const noexcept;
  /// Drops ready callbacks and timers, ends what is open (transports hear connection_lost with
  /// errc::loop_closed), removes signal handlers, lets go of the executor without waiting.
  /// Idempotent. Throws std::logic_error while running. Afterwards scheduling throws.
  void close();

  // -- callbacks and time
  /// FIFO, exactly once, never from inside the call. Throws std::invalid_argument for an empty
  /// function, std::logic_error if the loop is closed.
  template <std::invocable F>
  Handle call_soon(F&& callback, SourceLocation where = SourceLocation::current()) {
    if (needs_attention()) [[unlikely]]
      attend();
    ReadySlot& slot = ready_.push(where);
    if (!drain_requested_) [[unlikely]]
      request_drain();
    slot.callback.emplace(
        std::forward<F>(callback));  // if it throws, the empty slot is passed over
    if (!slot.callback) throw std::invalid_argument("call_soon: the callback is empty");
    return {slot, slot.ticket};
  }
  /// The same from any thread. Throws std::logic_error if the loop is closed.
  void call_soon_threadsafe(Function<void()> callback,
                            SourceLocation where = SourceLocation::current());
  /// Never early; equal times in the order of the calls; zero and negative delays are due at once.
  template <std::invocable F>
  TimerHandle call_later(Duration delay, F&& callback,
                         SourceLocation where = SourceLocation::current()) {
    return call_at(after(delay), std::forward<F>(callback), where);
  }
  template <std::invocable F>
  TimerHandle call_at(TimePoint when, F&& callback,
                      SourceLocation where = SourceLocation::current()) {
    TimerHandle handle;
    put(prepare_timer(when, where, handle), handle, std::forward<F>(callback));
    return handle;
  }
  /// The kernel's monotonic clock, read now.
  TimePoint time() const;
  /// `delay` from now; the end of time if that is further than a TimePoint reaches.
  TimePoint after(Duration delay) const;
  template <class T>
  Future<T> create_future() {
    return Future<T>(*this);
  }

  // -- descriptors: level-triggered, called each turn as long as the descriptor is ready. Make it
  //    non-blocking: where reader and writer are registered on one descriptor, a call may come
  //    once too often.
  /// Registering again replaces the callback. Throws std::logic_error if a transport or a server of
  /// this loop uses `fd`, std::system_error if the kernel cannot watch it.
  void add_reader(int fd, Function<void()> callback);
  void add_writer(int fd, Function<void()> callback);
  /// False if there was none. Afterwards the callback does not run any more, and `fd` may be
  /// closed.
  bool remove_reader(int fd);
  bool remove_writer(int fd);

  // -- signals
  /// `callback` runs as an ordinary callback. One per signal; again replaces. Throws
  /// std::invalid_argument for no signal number, std::logic_error for SIGKILL and SIGSTOP, which
  /// cannot be caught. One process should use one loop for one signal.
  void add_signal_handler(int signal_number, Function<void()> callback);
  /// Restores the default disposition. False if there was none.
  bool remove_signal_handler(int signal_number);

  // -- threads and names
  /// Runs `f` on `executor` (null: the loop's default pool, made at first use). The future is
  /// completed in this loop, with what `f` returns or throws. Cancelling it, or closing the loop,
  /// keeps `f` from starting; if it has started, the result is dropped. `f` and its captures are
  /// destroyed on the worker's thread after it ran, before the future is done. An executor that
  /// destroys the job unrun cancels the future. Throws what `submit` throws, and std::logic_error
  /// for the default executor once it is shut down.
  template <class F>
  auto run_in_executor(Executor* executor, F f) -> Future<std::decay_t<std::invoke_result_t<F&>>>;
  /// As `pool.run(loop, function, arguments...)` (ferry/process_pool.h).
  template <class R, class... P, class... Args>
  Future<std::decay_t<R>> run_in_executor(ProcessPool& pool, R (*function)(P...), Args&&... args);
  /// Used from now on where no executor is named. The loop detaches it when it closes, as it would
  /// its own: give each loop its own default, and name an executor that several loops share.
  void set_default_executor(std::shared_ptr<Executor> executor);
  /// No new jobs on the default executor from now on, for good; done when the old ones have ended.
  /// After `limit` the rest is left behind with a warning in the log.
  Future<void> shutdown_default_executor(Duration limit = std::chrono::minutes(5));
  /// The addresses of a name, or a ResolveError. Numeric queries are answered at once, without the
  /// resolver.
  Future<std::vector<Address>> getaddrinfo(const ResolveQuery& query);
  /// The names of an address; `flags` as in getnameinfo(3).
  Future<NameInfo> getnameinfo(const Address& address, int flags = 0);
  /// Null restores the system's.
  void set_resolver(std::shared_ptr<Resolver> resolver);
  Mailbox mailbox() const;

  // -- errors, log, debugging
  /// Null restores the default, which logs.
  void set_exception_handler(ExceptionHandler handler);
  bool has_exception_handler() const noexcept;
  void call_exception_handler(const ExceptionContext& context);
  void default_exception_handler(const ExceptionContext& context);
  void set_log_sink(LogSink sink);
  void log(LogLevel level, std::string_view line);
  /// Debug mode: wrong-thread calls throw, slow callbacks and unclosed things are logged.
  /// `set_debug` may be called from any thread.
  void set_debug(bool on) noexcept;
  bool debug() const noexcept;
  void set_slow_callback_duration(Duration limit) noexcept;
  Duration slow_callback_duration() const noexcept;
  LoopStats stats() const;

  // -- for the layers above
  Kernel& kernel() const noexcept { return *kernel_; }
  /// The one buffer that reads go to: 256 KiB, shared by all connections of the loop, its content
  /// good until control returns to the loop.
  MutableBytes receive_buffer() {
    if (!receive_buffer_) allocate_receive_buffer();
    return {receive_buffer_.get(), kReceiveBufferSize};
  }
  /// The same for datagrams: room for a batch of large ones, 2 MiB of which only what they fill is
  /// ever touched.
  MutableBytes datagram_buffer() {
    if (!datagram_buffer_) allocate_datagram_buffer();
    return {datagram_buffer_.get(), kDatagramBufferSize};
  }
  /// The one buffer that gathers what the connection whose callback runs writes; empty in between.
  Buffer& gather_buffer() noexcept { return gather_buffer_; }
  /// The task layer's; null until it first needs it.
  std::unique_ptr<LoopExtension>& extension() noexcept { return extension_; }
  /// Pipes to splice through (ferry/pipe_pool.h).
  PipePool& pipe_pool() noexcept;
  /// Marks `fd` as a transport's or a server's, which add_reader and its kin refuse to touch.
  void claim_descriptor(int fd);
  void release_descriptor(int fd) noexcept;
  /// Throws std::logic_error if `fd` is a transport's or a server's, or the loop is closed.
  void check_descriptor(const char* what, int fd) const;
  /// True if there is anything out of the ordinary: mail from other threads, debug mode, the end.
  bool needs_attention() const noexcept { return attention_->load(std::memory_order_relaxed) != 0; }
  /// Debug mode: logs that `what` took that long, in place of what the loop would say of the
  /// callback it was part of. Nothing if that is not slow.
  void report_slow(std::string_view what, Duration taken);
  /// Throws `exit` out of the next ready callback: for who must not be left half way by it.
  void exit_soon(LoopExit exit) noexcept;
  /// Something must be called for which call_soon has no memory, and whoever that is about knows:
  /// in the next turn it is asked.
  void note_overdue() noexcept;
  /// Runs `f` in the way of a loop callback: its exceptions go to the handler, slowness is logged.
  template <class F>
  void run_callback(F&& f, SourceLocation where = SourceLocation::current());

 private:
  class Running;
  friend class FutureState;
  friend class Handle;
  friend class LoopResource;
  friend class Timer;
  friend class TimerHandle;

  void on_drain() override;
  void on_timer() override;
  void on_signal(int signal_number) override;
  void call_inside(void (*f)(void*), void* argument) override;
  void run_until_done(Function<FutureState::CallbackId(FutureState::Callback)> subscribe,
                      FutureState& state);
  // Callbacks are made where they wait, in the queue's or a timer's own memory, and not moved
  // there.
  template <class H, class F>
  static void put(Function<void()>& place, H& handle, F&& callback) {
    struct CancelUnlessPut {
      Function<void()>& place;
      H& handle;
      ~CancelUnlessPut() {
        if (!place) handle.cancel();
      }
    } guard{place, handle};
    place.emplace(std::forward<F>(callback));
    if (!place) throw std::invalid_argument("the callback is empty");
  }
  /// What call_soon must see to first: mail from other threads, debug mode, a closed loop.
  void attend();
  void request_drain();
  Function<void()>& prepare_timer(TimePoint when, SourceLocation where, TimerHandle& handle);
  void check_usable(const char* what) const;
  void collect_mail();
  void run_overdue();
  void run_signal_handler(int signal_number);
  void arm_timer(TimePoint when);
  void run_timed(Function<void()>& callback, SourceLocation where);
  void callback_failed(const char* what, SourceLocation where);
  Executor& executor_for_job(Executor* executor);
  Resolver& resolver();

  void allocate_receive_buffer();
  void allocate_datagram_buffer();

  static constexpr std::size_t kReceiveBufferSize = 256 * 1024;
  static constexpr std::size_t kDatagramBufferSize = (2 * 1024 + 8) * 1024;

  std::unique_ptr<Kernel> kernel_;
  std::unique_ptr<LoopState> state_;
  ReadyQueue ready_;
  const std::atomic<unsigned>* attention_;  // MailboxState's
  bool drain_requested_ = false;            // on_drain will come, or is on the stack
  std::unique_ptr<std::byte[]> receive_buffer_;
  std::unique_ptr<std::byte[]> datagram_buffer_;
  Buffer gather_buffer_;
  std::unique_ptr<LoopExtension> extension_;
};

template <class F>
void EventLoop::run_callback(F&& f, SourceLocation where) {
  try {
    std::forward<F>(f)();
  } catch (const LoopExit&) {
    throw;
  } catch (...) {
    callback_failed("Exception in callback", where);
  }
}

template <class F>
void LoopResource::call_without_fail(F&& callback, SourceLocation where) {
  try {
    loop_->call_soon(std::forward<F>(callback), where);
  } catch (const std::bad_alloc&) {
    be_overdue();
  }
}

/// The loop this thread runs now; null if none. A forked child has none.
EventLoop* running_loop() noexcept;
/// The same, but throws std::logic_error if there is none.
EventLoop& get_running_loop();

}  // namespace ferry

#include <ferry/executor_call.h>  // IWYU pragma: export
