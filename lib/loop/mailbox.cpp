#include "loop_state.h"

namespace ferry {

bool Mailbox::post(Function<void()> callback, SourceLocation where) {
  // Declared first, so that a refused callback is destroyed after the lock is released.
  MailboxState::Letter letter{std::move(callback), where};
  const std::lock_guard lock(state_->mutex);
  if (!state_->kernel) return false;
  state_->letters.push_back(std::move(letter));
  if ((state_->attention.fetch_or(MailboxState::mail) & MailboxState::mail) == 0) {
    state_->kernel->wake();
  }
  return true;
}

Mailbox EventLoop::mailbox() const {
  return Mailbox(state_->mailbox);
}

}  // namespace ferry
