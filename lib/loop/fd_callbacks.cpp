#include "fd_callbacks.h"

#include <ferry/event_loop.h>

#include <stdexcept>

namespace ferry {

/// One descriptor. Held by shared_ptr, so that a callback may remove its own registration.
class FdCallbacks::Entry final : public FdWatch::Listener,
                                 public std::enable_shared_from_this<Entry> {
 public:
  Entry(EventLoop& loop, int fd) : loop_(loop) {
    std::error_code error;
    watch_ = loop.kernel().watch(fd, *this, error);
    if (error) throw std::system_error(error, "watch descriptor " + std::to_string(fd));
  }

  void set(Direction direction, std::shared_ptr<Function<void()>> callback) {
    watch_->arm(direction, FdWatch::Arm::if_ready);
    callbacks_[index(direction)] = std::move(callback);
  }
  bool unset(Direction direction) {
    auto callback = std::move(callbacks_[index(direction)]);
    if (!callback) return false;
    watch_->disarm(direction);
    return true;
  }
  bool idle() const noexcept { return !callbacks_[0] && !callbacks_[1]; }
  void close() { watch_.reset(); }

 private:
  static std::size_t index(Direction direction) { return direction == Direction::read ? 0 : 1; }

  void on_readable(FdWatch::ReadEvent) override { call(Direction::read); }
  void on_writable() override { call(Direction::write); }

  void call(Direction direction) {
    const auto self = shared_from_this();
    // Armed again first: if the callback throws LoopExit the registration still stands.
    const auto callback = callbacks_[index(direction)];
    if (!callback) return;
    struct Rearm {
      Entry& entry;
      Direction direction;
      ~Rearm() {
        if (entry.watch_ && entry.callbacks_[index(direction)]) {
          entry.watch_->arm(direction, FdWatch::Arm::if_ready);
        }
      }
    } rearm{*this, direction};
    loop_.run_callback(*callback);
  }

  EventLoop& loop_;
  FdWatchPtr watch_;
  std::shared_ptr<Function<void()>> callbacks_[2];
};

FdCallbacks::FdCallbacks(EventLoop& loop) : loop_(loop) {}
FdCallbacks::~FdCallbacks() {
  clear();
}

std::size_t FdCallbacks::size() const noexcept {
  return entries_.size();
}

void FdCallbacks::add(int fd, Direction direction, Function<void()> callback) {
  if (!callback) throw std::invalid_argument("add_reader/add_writer: the callback is empty");
  // Shared, so that replacing it while it runs does not pull it away under itself.
  auto shared = std::make_shared<Function<void()>>(std::move(callback));
  auto& entry = entries_[fd];
  try {
    if (!entry) entry = std::make_shared<Entry>(loop_, fd);
    entry->set(direction, std::move(shared));
  } catch (...) {
    if (!entry || entry->idle()) entries_.erase(fd);
    throw;
  }
}

bool FdCallbacks::remove(int fd, Direction direction) {
  const auto found = entries_.find(fd);
  if (found == entries_.end()) return false;
  const auto entry = found->second;
  const bool removed = entry->unset(direction);
  if (entry->idle()) {
    entries_.erase(fd);
    entry->close();
  }
  return removed;
}

void FdCallbacks::clear() {
  while (!entries_.empty()) {
    const auto entry = std::move(entries_.begin()->second);
    entries_.erase(entries_.begin());
    entry->close();
  }
}

}  // namespace ferry
