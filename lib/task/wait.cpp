#include <ferry/wait.h>

#include <ferry/timer.h>

#include <algorithm>
#include <stdexcept>

namespace ferry {
namespace {

/// Until enough of the futures are done.
class EnoughDone final : public Suspension {
 public:
  EnoughDone(const std::vector<AnyFuture>& futures, const WaitOptions& options)
      : futures_(futures), options_(options) {}
  ~EnoughDone() { let_go(); }

  bool await_ready() const { return enough(); }
  void await_suspend(std::coroutine_handle<> coroutine) {
    if (options_.timeout) {
      timer_.emplace(get_running_loop(), [this] { end(); });
      timer_->set(*options_.timeout);
    }
    callbacks_.reserve(futures_.size());  // so that each that is added is known
    for (const AnyFuture& future : futures_) {
      if (future.done()) continue;
      const auto callback =
          future.state()->add_done_callback([this](FutureState& done) { one_done(done); });
      callbacks_.emplace_back(future, callback);
    }
    pending_ = callbacks_.size();
    suspend(coroutine);
  }
  void await_resume() {
    let_go();
    resumed();
  }
  std::string_view what() const noexcept override { return "wait"; }
  void all_awaited(std::vector<FutureState*>& futures) const override {
    for (const auto& [future, callback] : callbacks_) futures.push_back(future.state());
  }

 private:
  bool cancel(std::string_view message) override {
    let_go();
    cancelled_with(message);
    wake();
    return true;
  }
  void one_done(const FutureState& done) {
    --pending_;
    if (pending_ == 0 || is_enough(done)) end();
  }
  /// Ends the wait; in a turn of its own, so that all that finished with this one are counted.
  void end() {
    if (!waiting()) return;
    let_go();
    wake();
  }
  void let_go() {
    timer_.reset();
    for (const auto& [future, callback] : callbacks_) {
      future.state()->remove_done_callback(callback);
    }
    callbacks_.clear();
  }
  bool enough() const {
    bool all = true;
    for (const AnyFuture& future : futures_) {
      if (!future.done()) {
        all = false;
      } else if (is_enough(*future.state())) {
        return true;
      }
    }
    return all;
  }
  /// That this one is done is enough.
  bool is_enough(const FutureState& done) const {
    if (options_.return_when == ReturnWhen::first_completed) return true;
    return options_.return_when == ReturnWhen::first_exception &&
           done.status() != FutureState::Status::cancelled && done.failed();
  }

  const std::vector<AnyFuture>& futures_;  // of wait_until
  const WaitOptions& options_;
  std::vector<std::pair<AnyFuture, FutureState::CallbackId>> callbacks_;
  std::size_t pending_ = 0;
  std::optional<Timer> timer_;
};

}  // namespace

Coro<> wait_until(std::vector<AnyFuture> futures, WaitOptions options) {
  if (futures.empty()) throw std::invalid_argument("wait: there is nothing to wait for");
  co_await EnoughDone(futures, options);
}

}  // namespace ferry
