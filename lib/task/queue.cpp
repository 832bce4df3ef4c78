#include <ferry/queue.h>

namespace ferry {

void QueueBase::Turn::await_resume() {
  unlink();
  try {
    resumed();
  } catch (...) {
    // Woken for an item or a place, and not there to take it: the next one.
    if (woken()) {
      const bool getter = &list_ == &queue_.getters_;
      if (getter ? !queue_.is_empty() : !queue_.is_full()) list_.wake_next();
    }
    throw;
  }
}

void QueueBase::task_done() {
  if (unfinished_ == 0) throw std::invalid_argument("task_done: called too often");
  if (--unfinished_ == 0) finished_.set();
}

void QueueBase::item_put() {
  ++unfinished_;
  finished_.clear();
  getters_.wake_next();
}

void QueueBase::items_dropped(std::size_t count) {
  unfinished_ -= std::min(count, unfinished_);
  if (unfinished_ == 0) finished_.set();
}

void QueueBase::shut_down_now() {
  shut_down_ = true;
  getters_.wake_all();
  putters_.wake_all();
}

}  // namespace ferry
