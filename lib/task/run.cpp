#include <ferry/run.h>

#include <ferry/any_future.h>
#include <ferry/wait.h>

#include <csignal>
#include <utility>

#include <unistd.h>

namespace ferry {
namespace {

/// True if Ctrl-C would kill this program: then it is ours to handle.
bool sigint_is_free() {
  struct sigaction now {};
  if (::sigaction(SIGINT, nullptr, &now) != 0) return false;
  return (now.sa_flags & SA_SIGINFO) == 0 && now.sa_handler == SIG_DFL;
}

}  // namespace

/// While it exists, SIGINT cancels the main task.
class Runner::Interrupt {
 public:
  Interrupt(EventLoop& loop, TaskCore& main, bool wanted) : loop_(loop), main_(main) {
    if (!wanted || ::gettid() != ::getpid() || !sigint_is_free()) return;
    loop_.add_signal_handler(SIGINT, [this] {
      if (++count_ > 1 || main_.future().done()) throw LoopExit{};
      main_.cancel();
    });
    installed_ = true;
  }
  ~Interrupt() {
    if (installed_) loop_.remove_signal_handler(SIGINT);
  }
  int count() const noexcept { return count_; }

 private:
  EventLoop& loop_;
  TaskCore& main_;
  bool installed_ = false;
  int count_ = 0;
};

Runner::~Runner() {
  try {
    close();
  } catch (...) {
    // A LoopExit out of a clean-up has nowhere to go.
  }
}

EventLoop& Runner::get_loop() {
  if (closed_) throw std::logic_error("Runner: it is closed");
  if (!loop_) {
    loop_ = options_.loop_factory ? options_.loop_factory() : std::make_unique<EventLoop>();
    if (options_.debug) loop_->set_debug(*options_.debug);
  }
  return *loop_;
}

EventLoop& Runner::check_idle() {
  if (running_loop()) throw std::logic_error("run: called from a running event loop");
  return get_loop();
}

void Runner::run_main(AnyTask task) {
  const AnyFuture main(task.state);
  const Interrupt interrupt(*loop_, *task.core, options_.handle_sigint);
  Future<void> ended(*loop_);
  main.state()->add_done_callback([ended](FutureState&) { ended.try_set_result(); });
  try {
    loop_->run_until_complete(ended);
  } catch (const LoopExit&) {
    if (interrupt.count() > 1) throw KeyboardInterrupt{};
    throw;
  }
  if (interrupt.count() > 0 && main.cancelled() && task.core->uncancel() == 0) {
    throw KeyboardInterrupt{};
  }
}

void Runner::cancel_all_tasks() {
  std::vector<AnyFuture> tasks;
  for (TaskCore* task : all_tasks(*loop_)) tasks.emplace_back(&task->future());
  if (tasks.empty()) return;
  for (const AnyFuture& task : tasks) task.cancel();
  struct Body {
    static Coro<> wait(std::vector<AnyFuture> futures) { co_await wait_until(futures, {}); }
  };
  run_until_complete(*loop_, Body::wait(tasks));
  for (const AnyFuture& task : tasks) {
    if (task.cancelled()) continue;
    if (std::exception_ptr failure = task.failure()) {
      ExceptionContext context;
      context.message = "unhandled exception during run() shutdown";
      context.exception = failure;
      context.future = task.state();
      loop_->call_exception_handler(context);
    }
  }
}

void Runner::close() {
  if (closed_) return;
  closed_ = true;
  if (!loop_) return;
  const struct Closing {
    EventLoop& loop;
    ~Closing() { loop.close(); }
  } closing{*loop_};
  cancel_all_tasks();
  loop_->run_until_complete(loop_->shutdown_default_executor());
}

}  // namespace ferry
