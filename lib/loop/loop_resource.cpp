#include "loop_state.h"

namespace ferry {

LoopResource::LoopResource(EventLoop& loop, Kind kind) : loop_(&loop), kind_(kind) {
  LoopState& s = *loop.state_;
  if (s.closed()) throw std::logic_error("the event loop is closed");
  loop.kernel().work_started();
  next_ = s.resources;
  if (next_) next_->link_ = &next_;
  link_ = &s.resources;
  s.resources = this;
  ++s.resource_counts[static_cast<std::size_t>(kind)];
}

LoopResource::~LoopResource() {
  leave_loop();
}

void LoopResource::be_overdue() noexcept {
  overdue_ = true;
  loop_->note_overdue();
}

void LoopResource::leave_loop() noexcept {
  if (!link_) return;
  *link_ = next_;
  if (next_) next_->link_ = link_;
  link_ = nullptr;
  next_ = nullptr;
  --loop_->state_->resource_counts[static_cast<std::size_t>(kind_)];
  loop_->kernel().work_finished();
}

}  // namespace ferry
