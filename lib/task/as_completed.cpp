#include <ferry/as_completed.h>

#include <algorithm>

namespace ferry {

class CompletionQueue::Change final : public WaitNode {
 public:
  explicit Change(CompletionQueue& queue) noexcept : queue_(queue) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> coroutine) { wait(queue_.waiters_, coroutine); }
  void await_resume() {
    unlink();
    try {
      resumed();
    } catch (...) {
      if (woken() && !queue_.done_.empty()) queue_.waiters_.wake_next();
      throw;
    }
  }

 private:
  CompletionQueue& queue_;
};

CompletionQueue::CompletionQueue(std::vector<AnyFuture> futures, std::optional<Duration> timeout) {
  std::vector<AnyFuture> each_once;
  for (AnyFuture& future : futures) {
    if (std::find(each_once.begin(), each_once.end(), future) == each_once.end()) {
      each_once.push_back(std::move(future));
    }
  }
  left_ = each_once.size();
  for (AnyFuture& future : each_once) {
    if (future.done()) {
      done_.push_back(std::move(future));
      continue;
    }
    FutureState* const state = future.state();
    const auto callback = state->add_done_callback([this](FutureState& finished) {
      const auto found = std::find_if(pending_.begin(), pending_.end(), [&](const auto& entry) {
        return entry.first.state() == &finished;
      });
      done_.push_back(std::move(found->first));
      pending_.erase(found);
      if (pending_.empty()) timer_.reset();
      waiters_.wake_next();
    });
    pending_.emplace_back(std::move(future), callback);
  }
  if (timeout && !pending_.empty()) {
    timer_.emplace(*pending_.front().first.state()->loop(), [this] {
      timed_out_ = true;
      waiters_.wake_all();
    });
    timer_->set(*timeout);
  }
}

CompletionQueue::~CompletionQueue() {
  for (const auto& [future, callback] : pending_) future.state()->remove_done_callback(callback);
}

Coro<AnyFuture> CompletionQueue::next() {
  while (done_.empty()) {
    if (timed_out_) throw TimeoutError("as_completed");
    co_await Change(*this);
  }
  AnyFuture next = std::move(done_.front());
  done_.pop_front();
  --left_;
  co_return next;
}

}  // namespace ferry
