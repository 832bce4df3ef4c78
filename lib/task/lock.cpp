#include <ferry/lock.h>

namespace ferry {

bool Lock::try_acquire() noexcept {
  if (locked_ || !waiters_.empty()) return false;
  return locked_ = true;
}

void Lock::Acquire::await_resume() {
  unlink();
  try {
    resumed();
  } catch (...) {
    // The wake-up was for somebody; pass it on.
    if (!lock_.locked_) lock_.waiters_.wake_first();
    throw;
  }
  lock_.locked_ = true;
}

void Lock::release() {
  if (!locked_) throw std::logic_error("Lock::release: it is not held");
  locked_ = false;
  waiters_.wake_first();
}

}  // namespace ferry
