#include <ferry/as_completed.h>

#include <unordered_set>

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
      if (woken() && !queue_.none_done()) queue_.waiters_.wake_next();
      throw;
    }
  }
  std::string_view what() const noexcept override { return "as_completed"; }
  void all_awaited(std::vector<FutureState*>& futures) const override {
    for (const Pending& each : queue_.pending_) {
      if (each.future.valid()) futures.push_back(each.future.state());
    }
  }

 private:
  CompletionQueue& queue_;
};

CompletionQueue::CompletionQueue(std::size_t count)
    : self_(std::make_shared<CompletionQueue*>(this)), pending_(count) {
  done_.reserve(count);
}

// By way of another constructor, so that the destructor runs if this one throws.
CompletionQueue::CompletionQueue(std::vector<AnyFuture> futures, std::optional<Duration> timeout)
    : CompletionQueue(futures.size()) {
  std::unordered_set<const FutureState*> seen;
  for (std::size_t place = 0; place < futures.size(); ++place) {
    AnyFuture& future = futures[place];
    if (!seen.insert(future.state()).second) continue;
    ++left_;
    if (future.done()) {
      done_.push_back(place);
      continue;
    }
    Pending& pending = pending_[place];
    pending.callback = future.state()->add_done_callback([self = self_, place](FutureState&) {
      if (*self) (*self)->finished(place);
    });
    pending.future = std::move(future);
    if (timeout && !timer_) {
      timer_.emplace(*pending.future.state()->loop(), [this] {
        timed_out_ = true;
        waiters_.wake_all();
      });
      timer_->set(*timeout);
    }
    ++pending_count_;
  }
}

CompletionQueue::~CompletionQueue() {
  *self_ = nullptr;  // what is done already calls all the same
  for (const Pending& each : pending_) {
    if (each.future.valid()) each.future.state()->remove_done_callback(each.callback);
  }
}

void CompletionQueue::finished(std::size_t place) {
  pending_[place].future = {};
  done_.push_back(place);
  if (--pending_count_ == 0) timer_.reset();
  waiters_.wake_next();
}

Coro<std::size_t> CompletionQueue::next() {
  while (none_done()) {
    if (timed_out_) throw TimeoutError("as_completed");
    co_await Change(*this);
  }
  --left_;
  co_return done_[given_++];
}

}  // namespace ferry
