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

bool Mailbox::post(ReservedLetter& letter) noexcept {
  Function<void()> refused;  // destroyed after the lock is released, and the letter perhaps with it
  const std::lock_guard lock(state_->mutex);
  if (!state_->kernel) {
    refused = std::move(letter.callback);
    return false;
  }
  letter.behind = state_->letters.size();
  letter.next = nullptr;  // it may have been posted before
  *state_->reserved_end = &letter;
  state_->reserved_end = &letter.next;
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
  const bool left_over = s.mail_left();
  if (!left_over) {
    const std::lock_guard lock(s.mailbox->mutex);
    s.mail.swap(s.mailbox->letters);
    s.reserved_mail = s.mailbox->take_reserved();
    s.mailbox->attention &= ~unsigned{MailboxState::mail};
  }
  struct Taken {
    LoopState& s;
    std::vector<MailboxState::Letter> letters{};
    ReservedLetter* reserved;
    std::size_t count = 0;
    explicit Taken(LoopState& state) : s(state), reserved(std::exchange(s.reserved_mail, nullptr)) {
      letters.swap(s.mail);
    }
    bool empty() const noexcept { return count == letters.size() && !reserved; }
    ~Taken() {
      if (empty()) return;
      const auto begin = letters.begin();
      letters.erase(begin, begin + static_cast<std::ptrdiff_t>(count));
      for (ReservedLetter* each = reserved; each; each = each->next) each->behind -= count;
      s.mail = std::move(letters);
      s.reserved_mail = reserved;
      s.mailbox->attention |= MailboxState::mail;
    }
  } taken(s);
  if (!taken.empty()) request_drain();
  while (!taken.empty()) {
    if (ReservedLetter* const first = taken.reserved; first && first->behind <= taken.count) {
      ReadySlot& slot = ready_.push(first->where);
      taken.reserved = first->next;
      slot.callback = std::move(first->callback);
    } else {
      MailboxState::Letter& letter = taken.letters[taken.count];
      ready_.push(letter.where).callback = std::move(letter.callback);
      ++taken.count;
    }
  }
  if (left_over) collect_mail();  // who has posted meanwhile has not woken anybody
}

}  // namespace ferry
