#pragma once

#include <ferry/event_loop.h>

#include <cstdint>
#include <string>

namespace ferry::proxy {

/// Lines that clients can cause at will: ten a second, then their number.
class LogLimit {
 public:
  explicit LogLimit(EventLoop& loop) : loop_(loop), second_(loop, [this] { begin_anew(); }) {}

  void log(LogLevel level, const std::string& line) {
    constexpr std::uint64_t kPerSecond = 10;
    if (!second_.active()) second_.set(std::chrono::seconds(1));
    if (++lines_ <= kPerSecond) {
      loop_.log(level, line);
    } else {
      ++silenced_;
    }
  }

 private:
  void begin_anew() {
    lines_ = 0;
    if (const auto silenced = std::exchange(silenced_, 0)) {
      loop_.log(LogLevel::warning, "and " + std::to_string(silenced) + " lines like these");
    }
  }

  EventLoop& loop_;
  Timer second_;
  std::uint64_t lines_ = 0;  // since it last was silent
  std::uint64_t silenced_ = 0;
};

}  // namespace ferry::proxy
