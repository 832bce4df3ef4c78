#include "loop_state.h"

#include <cstddef>
#include <utility>

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

/// Takes over what other threads posted; their order among themselves is kept.
void EventLoop::collect_mail() {
  LoopState& s = *state_;
  if (!s.mailbox->needs(MailboxState::mail)) return;
  // What there was no memory for last time comes first.
  const bool left_over = !s.mail.empty();
  if (!left_over) {
    const std::lock_guard lock(s.mailbox->mutex);
    s.mail.swap(s.mailbox->letters);
    s.mailbox->attention &= ~unsigned{MailboxState::mail};
  }
  struct Taken {
    LoopState& s;
    std::vector<MailboxState::Letter> letters{};
    std::size_t count = 0;
    explicit Taken(LoopState& state) : s(state) { letters.swap(s.mail); }
    ~Taken() {
      const auto begin = letters.begin();
      letters.erase(begin, begin + static_cast<std::ptrdiff_t>(count));
      if (letters.empty()) return;
      s.mail = std::move(letters);
      s.mailbox->attention |= MailboxState::mail;
    }
  } taken(s);
  if (!taken.letters.empty()) request_drain();
  for (MailboxState::Letter& letter : taken.letters) {
    ready_.push(letter.where).callback = std::move(letter.callback);
    ++taken.count;
  }
  if (left_over) collect_mail();  // who has posted meanwhile has not woken anybody
}

}  // namespace ferry
