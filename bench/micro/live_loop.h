#pragma once

#include <ferry/event_loop.h>

#include <unistd.h>

#include <cstdlib>

/// A loop whose reactor is live: it watches a pipe that never has anything.
class LiveLoop {
 public:
  LiveLoop() {
    if (::pipe(ends_) != 0) std::abort();
    loop_.add_reader(ends_[0], [] {});
  }
  ~LiveLoop() {
    loop_.remove_reader(ends_[0]);
    ::close(ends_[0]);
    ::close(ends_[1]);
  }
  LiveLoop(const LiveLoop&) = delete;
  LiveLoop& operator=(const LiveLoop&) = delete;
  ferry::EventLoop& get() { return loop_; }

 private:
  ferry::EventLoop loop_{{.debug = false}};
  int ends_[2];
};
