#pragma once

#include <ferry/function.h>
#include <ferry/kernel.h>

#include <map>
#include <memory>

namespace ferry {

class EventLoop;

/// The descriptors of add_reader and add_writer: level-triggered, by asking the kernel after every
/// call whether the descriptor is still ready.
class FdCallbacks {
 public:
  explicit FdCallbacks(EventLoop& loop);
  FdCallbacks(const FdCallbacks&) = delete;
  FdCallbacks& operator=(const FdCallbacks&) = delete;
  ~FdCallbacks();

  void add(int fd, Direction direction, Function<void()> callback);
  bool remove(int fd, Direction direction);
  std::size_t size() const noexcept;
  void clear();

 private:
  class Entry;
  EventLoop& loop_;
  std::map<int, std::shared_ptr<Entry>> entries_;
};

}  // namespace ferry
