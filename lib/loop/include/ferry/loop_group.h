#pragma once

#include <ferry/event_loop.h>

#include <cstddef>
#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace ferry {

struct LoopGroupOptions {
  std::size_t loops = 0;  ///< 0: one for each core.
  /// The threads are named "<name>-0", "<name>-1", ...; the system shows 15 bytes.
  std::string name = "ferry-loop";
  LoopOptions loop{};
  /// Called on each loop's thread before it runs, to set its exception handler, log sink and so
  /// on; from several threads at once. What it throws comes out of `start`.
  std::function<void(EventLoop&, std::size_t index)> setup{};
  /// Called on the thread of a loop that has ended though nobody stopped the group: with what was
  /// thrown out of it (a LoopExit, say), or null if one of its callbacks stopped it. Its
  /// connections have been lost; the other loops go on. Must not throw. Absent: a line in the
  /// loop's log.
  std::function<void(std::size_t index, std::exception_ptr why)> on_loop_ended{};
};

/// What all threads may know and use of the loops of a group; outlives the group. "Load" is a count
/// that those keep who give work to the loops: servers count their connections.
class LoopCrew {
 public:
  virtual ~LoopCrew() = default;
  virtual std::size_t size() const noexcept = 0;
  /// Its thread runs, or is yet to be started. Never true again once it is false.
  virtual bool alive(std::size_t index) const noexcept = 0;
  /// The group was told to stop.
  virtual bool stopping() const noexcept = 0;
  /// Queues `callback` for a loop and wakes it; false (and `callback` destroyed) if it is closed.
  virtual bool post(std::size_t index, Function<void(EventLoop&)> callback) = 0;
  /// The same for a letter, which needs no memory (see Mailbox).
  virtual bool post(std::size_t index, ReservedLetter& letter) noexcept = 0;

  virtual std::size_t load(std::size_t index) const noexcept = 0;
  virtual void add_load(std::size_t index) noexcept = 0;
  virtual void remove_load(std::size_t index) noexcept = 0;
  /// Adds one to the least load among the loops alive, and says whose it was; nullopt if none is,
  /// or the group was told to stop.
  virtual std::optional<std::size_t> add_to_least_loaded() noexcept = 0;
};

/// N event loops, each on a thread of its own: for servers on many cores (ferry/group_server.h).
/// Its functions may be called from any thread, but not from several at once; `crew` gives what
/// may be shared. Signals are blocked in its threads.
class LoopGroup {
 public:
  explicit LoopGroup(LoopGroupOptions options = {});
  LoopGroup(const LoopGroup&) = delete;
  LoopGroup& operator=(const LoopGroup&) = delete;
  /// Stops and waits for the threads; what ended a loop is known to `on_loop_ended` alone then.
  ~LoopGroup();

  /// Starts the threads; returns when all loops are set up. Throws what `setup` throws,
  /// std::system_error if there is no thread to be had, std::logic_error if started before. After a
  /// failure nothing runs.
  void start();
  /// Tells all loops to stop: what is open on them is lost with errc::loop_closed. Returns at once.
  /// Idempotent; from any thread, also the loops' own.
  void stop() noexcept;
  /// Waits until all threads have ended. Throws the first exception that ended a loop. Throws
  /// std::logic_error on one of the group's own threads.
  void join();

  std::size_t size() const noexcept { return members_.size(); }
  /// Lives as long as the group. From other threads only `call_soon_threadsafe` and `mailbox`.
  EventLoop& loop(std::size_t index) const;
  std::shared_ptr<LoopCrew> crew() const noexcept;

  /// Runs `f(loop)` on a loop's thread. The std::future has what it returns or throws;
  /// std::future_error (broken_promise) if the loop ends before. Do not wait for it on a loop's
  /// thread, nor before `start`.
  template <class F>
  auto run_on(std::size_t index, F f) -> std::future<std::invoke_result_t<F&, EventLoop&>> {
    std::packaged_task<std::invoke_result_t<F&, EventLoop&>(EventLoop&)> task(std::move(f));
    auto result = task.get_future();
    post(index, [task = std::move(task)](EventLoop& loop) mutable { task(loop); });
    return result;
  }
  /// The same on each loop, with a copy of `f`; the results in the loops' order.
  template <class F>
  auto run_on_each(F f) -> std::vector<std::future<std::invoke_result_t<F&, EventLoop&>>> {
    std::vector<std::future<std::invoke_result_t<F&, EventLoop&>>> results;
    for (std::size_t i = 0; i < size(); ++i) results.push_back(run_on(i, f));
    return results;
  }

 private:
  struct Member;
  class Crew;

  bool post(std::size_t index, Function<void(EventLoop&)> callback);
  /// What a member's thread does.
  void run(Member& member);
  void ended(Member& member) noexcept;
  void join_threads();

  LoopGroupOptions options_;
  std::vector<std::unique_ptr<Member>> members_;
  std::shared_ptr<Crew> crew_;
  bool started_ = false;
};

}  // namespace ferry
