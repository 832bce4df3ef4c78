#include <ferry/write_flow.h>

namespace ferry {

void WriteFlow::resume() {
  paused_ = false;
  draining_.wake_all();
}

void WriteFlow::lose(std::exception_ptr error) {
  if (lost_) return;
  lost_ = true;
  error_ = std::move(error);
  draining_.wake_all();
  ending_.wake_all();
}

}  // namespace ferry
