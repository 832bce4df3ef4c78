#pragma once

// The body of EventLoop::run_in_executor; event_loop.h includes it at its end.
#include <ferry/event_loop.h>

#include <atomic>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace ferry {

/// One run_in_executor, as far as the loop's thread and the worker share it. Nothing in here is the
/// loop's: the last reference may go on either thread, also after the loop.
class ExecutorCallBase {
 public:
  explicit ExecutorCallBase(Mailbox mailbox) : mailbox_(std::move(mailbox)) {}
  ExecutorCallBase(const ExecutorCallBase&) = delete;
  ExecutorCallBase& operator=(const ExecutorCallBase&) = delete;
  virtual ~ExecutorCallBase() = default;

  /// The worker's side: runs the function unless it is given up, and posts the outcome.
  static void run(std::shared_ptr<ExecutorCallBase> call);
  /// The worker's side: the executor will not run it.
  static void drop(std::shared_ptr<ExecutorCallBase> call) noexcept;
  /// The loop's side: nobody wants the outcome any more. The function does not begin if it has not.
  void give_up() noexcept;

 protected:
  /// Calls the function, keeps its outcome, destroys it.
  virtual void invoke() noexcept = 0;
  virtual void drop_function() noexcept = 0;
  /// In the loop's thread: gives the outcome to the future.
  virtual void deliver() = 0;

 private:
  // Whoever moves it on from `queued` owns the function. From `running` it goes to `done`, and the
  // outcome belongs to the loop's thread, or to `given_up`, and it belongs to the worker.
  enum class Phase : unsigned char { queued, running, done, given_up };

  bool advance(Phase from, Phase to) noexcept {
    return phase_.compare_exchange_strong(from, to, std::memory_order_acq_rel);
  }
  static void post(std::shared_ptr<ExecutorCallBase> call) noexcept;

  std::atomic<Phase> phase_ = Phase::queued;
  Mailbox mailbox_;
  ReservedLetter letter_;  // the end of a job must not need memory
};

/// What an executor is given to run, or to drop.
class ExecutorTicket {
 public:
  explicit ExecutorTicket(std::shared_ptr<ExecutorCallBase> call) noexcept
      : call_(std::move(call)) {}
  ExecutorTicket(ExecutorTicket&&) noexcept = default;
  ~ExecutorTicket() {
    if (call_) ExecutorCallBase::drop(std::move(call_));
  }
  void operator()() { ExecutorCallBase::run(std::move(call_)); }

 private:
  std::shared_ptr<ExecutorCallBase> call_;
};

template <class R>
class ExecutorJob;

template <class R>
class ExecutorCall final : public ExecutorCallBase {
 public:
  ExecutorCall(Mailbox mailbox, Function<R()> function)
      : ExecutorCallBase(std::move(mailbox)), function_(std::move(function)) {}

 private:
  friend class ExecutorJob<R>;

  void invoke() noexcept override {
    try {
      if constexpr (std::is_void_v<R>) {
        function_();
        value_.emplace();
      } else {
        value_.emplace(function_());
      }
    } catch (...) {
      exception_ = std::current_exception();
    }
    function_.reset();
  }
  void drop_function() noexcept override { function_.reset(); }
  void deliver() override {
    if (job_) job_->complete(*this);
  }

  Function<R()> function_;
  std::optional<std::conditional_t<std::is_void_v<R>, Nothing, R>> value_;
  std::exception_ptr exception_;
  ExecutorJob<R>* job_ = nullptr;  // the loop's thread only; null once the future is settled
};

/// The loop's side of a run_in_executor: holds the future. Owns itself until that is settled.
template <class R>
class ExecutorJob final : public LoopResource {
 public:
  ExecutorJob(EventLoop& loop, Function<R()> function)
      : LoopResource(loop, Kind::job),
        future_(loop),
        call_(std::make_shared<ExecutorCall<R>>(loop.mailbox(), std::move(function))) {}

  static Future<R> start(EventLoop& loop, Executor& executor, Function<R()> function) {
    auto job = std::make_shared<ExecutorJob>(loop, std::move(function));
    executor.submit(ExecutorTicket(job->call_));
    // Whatever has been posted already is delivered later, from the loop.
    job->call_->job_ = job.get();
    job->future_.set_cancel_hook([job = job.get()] { job->end(); });
    job->self_ = job;
    return job->future_;
  }

  void complete(ExecutorCall<R>& call) {
    const Future<R> future = future_;
    future.set_cancel_hook({});  // it names this, and the future may be cancelled below
    end();
    if (future.done()) return;
    if (call.exception_) {
      future.set_exception(std::move(call.exception_));
    } else if (!call.value_) {
      future.cancel("the executor dropped the job");
    } else {
      try {
        future.set_result(*std::move(call.value_));
      } catch (...) {  // moving the value threw
        future.set_exception(std::current_exception());
      }
      call.value_.reset();
    }
  }

 private:
  void on_loop_close() override {
    future_.set_cancel_hook({});
    end();
  }
  /// Destroys this.
  void end() noexcept {
    const std::shared_ptr<ExecutorJob> self = std::move(self_);
    call_->job_ = nullptr;
    call_->give_up();
    leave_loop();
  }

  Future<R> future_;
  std::shared_ptr<ExecutorCall<R>> call_;
  std::shared_ptr<ExecutorJob> self_;
};

template <class F>
auto EventLoop::run_in_executor(Executor* executor, F f)
    -> Future<std::decay_t<std::invoke_result_t<F&>>> {
  using R = std::decay_t<std::invoke_result_t<F&>>;
  return ExecutorJob<R>::start(*this, executor_for_job(executor), std::move(f));
}

}  // namespace ferry
