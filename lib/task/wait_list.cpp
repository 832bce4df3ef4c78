#include <ferry/wait_list.h>

namespace ferry {

void WaitNode::wait(WaitList& list, std::coroutine_handle<> coroutine) {
  if (const WaitNode* other = list.first_; other && other->task() && TaskCore::current() &&
                                           &other->task()->loop() != &TaskCore::current()->loop()) {
    throw std::logic_error("tasks of two event loops wait for the same object");
  }
  list_ = &list;
  previous_ = list.last_;
  (list.last_ ? list.last_->next_ : list.first_) = this;
  list.last_ = this;
  if (!list.sleeping_) list.sleeping_ = this;
  suspend(coroutine);
}

void WaitNode::unlink() noexcept {
  if (!list_) return;
  if (list_->sleeping_ == this) list_->sleeping_ = next_;
  (previous_ ? previous_->next_ : list_->first_) = next_;
  (next_ ? next_->previous_ : list_->last_) = previous_;
  list_ = nullptr;
  next_ = previous_ = nullptr;
}

bool WaitNode::cancel(std::string_view message) {
  if (woken_) return false;
  unlink();
  cancelled_with(message);
  wake();
  return true;
}

WaitList::~WaitList() {
  for (WaitNode* node = first_; node; node = node->next_) node->list_ = nullptr;
}

std::size_t WaitList::size() const noexcept {
  std::size_t count = 0;
  for (const WaitNode* node = first_; node; node = node->next_) ++count;
  return count;
}

void WaitList::wake_first() {
  if (first_ && !first_->woken_) wake_next();
}

bool WaitList::wake_next() {
  if (!sleeping_) return false;
  WaitNode& node = *sleeping_;
  sleeping_ = node.next_;
  node.woken_ = true;
  node.wake();
  return true;
}

void WaitList::wake_all() {
  while (wake_next()) {
  }
}

}  // namespace ferry
