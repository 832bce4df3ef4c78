#include <ferry/gather.h>

#include <unordered_set>

namespace ferry {

void GatherCore::watch(std::vector<AnyFuture> children) {
  std::unordered_set<const FutureState*> seen;
  for (AnyFuture& child : children) {
    if (child.state()->loop() != future_.loop()) {
      throw std::invalid_argument("gather: futures of different event loops");
    }
    if (seen.insert(child.state()).second) children_.push_back(std::move(child));
  }
  pending_ = children_.size();
  if (pending_ == 0) return finish();
  // Those that are done already count at once: a gathering of them is done itself.
  std::vector<AnyFuture> waiting;
  for (const AnyFuture& child : children_) {
    if (!child.done()) waiting.push_back(child);
  }
  const AnyFuture self(&future_);
  for (const AnyFuture& child : std::vector<AnyFuture>(children_)) {
    if (child.done()) child_done(*child.state());
  }
  for (const AnyFuture& child : waiting) {
    child.state()->add_done_callback([this, self](FutureState& state) { child_done(state); });
  }
}

void GatherCore::all_awaited(std::vector<FutureState*>& futures) const {
  for (const AnyFuture& child : children_) {
    if (!child.done()) futures.push_back(child.state());
  }
}

bool GatherCore::cancel_children(std::string_view message) {
  bool any = false;
  for (const AnyFuture& child : std::vector<AnyFuture>(children_)) any |= child.cancel(message);
  cancel_requested_ |= any;
  return any;
}

void GatherCore::child_done(FutureState& child) {
  --pending_;
  // Asking marks it as retrieved: nobody else will.
  std::exception_ptr failure = child.failure();
  if (future_.done()) {
    if (pending_ == 0) children_.clear();
    return;
  }
  if (failure && !collect_failures_ && !cancel_requested_) {
    future_.set_exception(std::move(failure));
    if (pending_ == 0) children_.clear();
    return;
  }
  if (pending_ == 0) finish();
}

void GatherCore::finish() {
  std::exception_ptr failure;
  std::exception_ptr cancelled;  // of a child's, for its message
  for (const AnyFuture& child : std::exchange(children_, {})) {
    const std::exception_ptr own = child.failure();
    if (!failure) failure = own;
    if (!cancelled && child.cancelled()) cancelled = own;
  }
  if (cancel_requested_) {
    if (!cancelled) cancelled = std::make_exception_ptr(CancelledError());
    future_.set_exception(std::move(cancelled));
  } else if (failure && !collect_failures_) {
    future_.set_exception(std::move(failure));
  } else {
    collect();
  }
}

}  // namespace ferry
