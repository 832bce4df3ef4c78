// The schedule by choice: what a kernel may tell in another order, or later, and nothing else.

#include "sim_turns.h"
#include "sim_watch.h"

#include <stdexcept>
#include <utility>

namespace ferry::testing {

std::size_t SimTurns::choose(std::size_t count) {
  if (count < 2) return 0;
  const std::size_t choice = chooser_->choose(count);
  if (choice >= count) throw std::out_of_range("SimChooser::choose gave more than it may");
  return choice;
}

bool SimTurns::keep_back(std::uint8_t& looks, bool last) {
  // If it is all there is, it would only be told in the next look instead: nobody sees that.
  if (last || looks >= most_looks_ || choose(2) == 0) {
    looks = 0;
    return false;
  }
  ++looks;
  return true;
}

void SimTurns::find_by_choice() {
  found_.clear();
  for (std::size_t n = listed_.size(); n > 0; --n) {
    SimWatch& watch = *listed_.front();
    listed_.pop_front();
    if (watch.has_call(Direction::write) || watch.has_call(Direction::read)) {
      found_.push_back({Kind::readable, &watch});
    } else {
      watch.kept_back = 0;
      watch.listed = false;
      watch.let_go();
    }
  }
  if (timer_ && now_ >= *timer_ && !timer_queued_) found_.push_back({Kind::timer});
  {
    const std::lock_guard lock(outside_->mutex);
    if (!outside_->signals.empty()) found_.push_back({Kind::signal});
    // A drain that is on its way is the answer to this, too.
    if (drain_queued_) outside_->woken = false;
    if (outside_->woken) found_.push_back({Kind::drain});
  }

  // Which of it is told now.
  const bool alone = found_.size() == 1 && queue_.empty();
  std::size_t told = 0;
  for (std::size_t i = 0; i < found_.size(); ++i) {
    const bool last = i + 1 == found_.size() && told == 0 && queue_.empty();
    if (!keep_back(looks_of(found_[i]), alone || last)) {
      found_[told++] = found_[i];
    } else if (found_[i].watch) {
      listed_.push_back(found_[i].watch);
    }
  }
  found_.resize(told);
}

std::uint8_t& SimTurns::looks_of(const Found& found) {
  return found.watch ? found.watch->kept_back : kept_back_[static_cast<std::size_t>(found.kind)];
}

void SimTurns::queue_by_choice() {
  find_by_choice();
  while (!found_.empty()) {
    const std::size_t choice = choose(found_.size());
    const Found found = found_[choice];
    if (found.watch) {
      SimWatch& watch = *found.watch;
      // Of one socket Asio reports first what can be written.
      if (watch.take_edge(Direction::write)) {
        push({.kind = Kind::writable, .watch = &watch});
        if (watch.has_call(Direction::read)) continue;
      } else if (watch.take_edge(Direction::read)) {
        push({.kind = Kind::readable, .drain = watch.drain_pending(), .watch = &watch});
      }
      watch.listed = false;
      watch.let_go();
    } else if (found.kind == Kind::timer) {
      timer_queued_ = true;
      push({.kind = Kind::timer});
    } else if (found.kind == Kind::signal) {
      queue_signals();
    } else {
      take_wake();
    }
    found_.erase(found_.begin() + static_cast<std::ptrdiff_t>(choice));
  }
}

}  // namespace ferry::testing
