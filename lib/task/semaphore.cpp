#include <ferry/semaphore.h>

namespace ferry {

bool Semaphore::try_acquire() noexcept {
  if (locked()) return false;
  --permits_;
  return true;
}

/// Gives free permits to those who wait.
void Semaphore::hand_out() {
  while (permits_ > 0 && waiters_.wake_next()) {
    --permits_;
    ++promised_;
  }
}

void Semaphore::Acquire::await_resume() {
  unlink();
  if (!task()) return;  // it did not wait
  if (woken()) --semaphore_.promised_;
  try {
    resumed();
  } catch (...) {
    if (woken()) ++semaphore_.permits_;
    semaphore_.hand_out();
    throw;
  }
  // Released while this was woken and did not run yet: for those who came behind it.
  semaphore_.hand_out();
}

void Semaphore::release() {
  ++permits_;
  hand_out();
}

void BoundedSemaphore::release() {
  if (permits() + promised() >= bound_) {
    throw std::invalid_argument("BoundedSemaphore: released too often");
  }
  Semaphore::release();
}

}  // namespace ferry
