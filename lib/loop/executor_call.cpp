#include <ferry/executor_call.h>

#include "loop_state.h"
#include "worker_thread.h"

#include <stdexcept>

namespace ferry {

void ExecutorCallBase::run(std::shared_ptr<ExecutorCallBase> call) {
  if (!call->advance(Phase::queued, Phase::running)) return;
  call->invoke();
  if (call->advance(Phase::running, Phase::done)) post(std::move(call));
}

void ExecutorCallBase::drop(std::shared_ptr<ExecutorCallBase> call) noexcept {
  // To `running` first: until the function is destroyed nobody else may think it finished.
  if (!call->advance(Phase::queued, Phase::running)) return;
  call->drop_function();
  if (call->advance(Phase::running, Phase::done)) post(std::move(call));
}

void ExecutorCallBase::give_up() noexcept {
  if (advance(Phase::queued, Phase::given_up)) {
    drop_function();
  } else {
    advance(Phase::running, Phase::given_up);
  }
}

void ExecutorCallBase::post(std::shared_ptr<ExecutorCallBase> call) noexcept {
  // The loop may be done with the call before Mailbox::post returns.
  Mailbox mailbox = std::move(call->mailbox_);
  ReservedLetter& letter = call->letter_;
  letter.callback = [call = std::move(call)] { call->deliver(); };
  mailbox.post(letter);
}

Executor& EventLoop::executor_for_job(Executor* executor) {
  check_usable("run_in_executor");
  if (executor) return *executor;
  ExecutorState& s = state_->executors;
  if (s.shut_down) {
    throw std::logic_error("run_in_executor: the default executor is shut down");
  }
  if (!s.executor) {
    s.executor = kernel_->make_executor();
    s.made_by_loop = true;
  }
  return *s.executor;
}

void EventLoop::set_default_executor(std::shared_ptr<Executor> executor) {
  check_usable("set_default_executor");
  if (!executor) throw std::invalid_argument("set_default_executor: no executor");
  ExecutorState& s = state_->executors;
  std::swap(s.executor, executor);
  // The pool made here has no other owner, and its destructor would wait for its jobs.
  if (std::exchange(s.made_by_loop, false)) executor->detach();
}

std::shared_ptr<Executor> Kernel::make_executor() {
  return std::make_shared<ThreadPool>();
}

void Executor::submit_apart(Function<void()> job) {
  start_worker_thread("ferry-shutdown", std::move(job)).detach();
}

namespace {

/// Runs jobs apart from those of another executor.
class Apart final : public Executor {
 public:
  explicit Apart(Executor& executor) noexcept : executor_(executor) {}
  void submit(Function<void()> job) override { executor_.submit_apart(std::move(job)); }

 private:
  Executor& executor_;
};

}  // namespace

Future<void> EventLoop::shutdown_default_executor(Duration limit) {
  check_usable("shutdown_default_executor");
  Future<void> done(*this);
  ExecutorState& s = state_->executors;
  s.shut_down = true;
  if (!s.executor) {
    done.set_result();
    return done;
  }
  Apart apart(*s.executor);
  const Future<void> joined =
      run_in_executor(&apart, [executor = s.executor] { executor->shutdown(); });
  const auto limit_reached = [this, done, joined, executor = s.executor] {
    joined.cancel();
    executor->detach();
    log(LogLevel::warning, "the default executor did not finish its jobs in time; left behind");
    done.try_set_result();
  };
  TimerHandle timer = call_later(limit, limit_reached);
  joined.add_done_callback([done, timer](const Future<void>& future) mutable {
    timer.cancel();
    if (done.done()) return;
    try {
      future.result();
      done.set_result();
    } catch (const CancelledError& error) {
      done.cancel(error.message());
    } catch (...) {
      done.set_exception(std::current_exception());
    }
  });
  done.set_cancel_hook([joined] { joined.cancel(); });
  return done;
}

}  // namespace ferry
