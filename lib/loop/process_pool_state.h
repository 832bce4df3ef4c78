#pragma once

#include "bsd_fork_server.h"
#include "worker_link.h"

#include <ferry/process_pool.h>

#include <deque>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ferry {

/// What a ProcessPool keeps: the calls, the workers, and the line to the server that forks these.
struct ProcessPool::State final : private WorkerLink::Owner, private FdWatch::Listener {
  using CallPtr = std::shared_ptr<ProcessCallBase>;
  struct Worker {
    Worker(Owner& owner, int pid, Fd socket, std::size_t limit)
        : link(owner, pid, std::move(socket), limit) {}
    WorkerLink link;
    CallPtr call;  // null also if its answer is not wanted any more
  };
  /// On the loop as long as calls are under way.
  class Attachment final : public LoopResource {
   public:
    Attachment(State& state, EventLoop& loop)
        : LoopResource(loop, Kind::operation),
          again(loop, [this] { state_.try_again(); }),
          state_(state) {}
    FdWatchPtr watch;
    Timer again;  // for what the kernel had no memory for

   private:
    void on_loop_close() override { state_.leave_closing_loop(); }
    State& state_;  // which owns this
  };
  static constexpr Duration kAgain = std::chrono::milliseconds(10);

  explicit State(Options wanted)
      : options(std::move(wanted)),
        server(std::make_unique<ForkServer>(options.workers, options.message_limit,
                                            options.allow_threads)),
        expected(options.workers) {
    workers.reserve(options.workers);
    outbox.reserve(2 * options.workers);  // each of them may have to be made, and to be killed
  }
  ~State();

  void submit(CallPtr call, std::string request);
  void drop(ProcessCallBase& call) noexcept;
  void shut_down(EventLoop& loop, const Future<void>& done, bool cancel_futures);
  void cancel_all(std::string_view message);
  void cancel_waiting(std::string_view message);

  Options options;
  std::unique_ptr<ForkServer> server;  // null once it has ended
  std::vector<std::unique_ptr<Worker>> workers;
  std::size_t expected = 0;  // workers that the server has been asked for
  bool closed = false;

 private:
  void attach(EventLoop& loop);
  void detach() noexcept;
  void detach_if_idle();
  void leave_closing_loop();
  /// Calls whose results are wanted.
  bool calls_under_way() const noexcept;
  /// Nothing waits and nothing runs, wanted or not.
  bool all_run() const noexcept;
  void dispatch();
  /// As many workers as there are calls for, up to the limit.
  void make_missing_workers();
  void ask(ForkRequest request);
  void flush_requests();
  void try_again();
  void finish_shutdown();

  void on_readable(FdWatch::ReadEvent) override;
  void on_writable() override { flush_requests(); }
  void on_report(const ForkReport& report, std::vector<Fd>& sockets);
  void worker_ended(int pid, int status);
  void no_worker(int error);
  void server_gone();
  void fail_waiting(const std::exception_ptr& error);
  void fail_all(const std::exception_ptr& error);

  void on_answer(WorkerLink& link, AnswerHeader::Kind kind, BytesView answer) override;
  void on_broken(WorkerLink& link) override;
  Worker& worker_of(const WorkerLink& link);
  Kernel& kernel() const noexcept { return attachment->loop().kernel(); }

  std::deque<CallPtr> queue;
  Worker* leaving = nullptr;        // the one that has ended and is not among `workers` any more
  std::vector<ForkRequest> outbox;  // that the control socket had no room for
  std::unique_ptr<Attachment> attachment;
  std::vector<Future<void>> shutdowns;  // who waits for the end
  bool ending = false;                  // the server has been told
};

/// What `make` gives, or why that could not be made.
template <class Make>
std::exception_ptr error_of(Make make) noexcept {
  try {
    return std::make_exception_ptr(make());
  } catch (...) {
    return std::current_exception();
  }
}

}  // namespace ferry
