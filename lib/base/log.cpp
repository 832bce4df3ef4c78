#include <ferry/log.h>

#include <cstdio>
#include <string>

namespace ferry {

std::string_view to_string(LogLevel level) noexcept {
  switch (level) {
    case LogLevel::debug:
      return "debug";
    case LogLevel::info:
      return "info";
    case LogLevel::warning:
      return "warning";
    case LogLevel::error:
      return "error";
  }
  return "unknown";
}

LogSink stderr_log_sink(LogLevel least) {
  return [least](LogLevel level, std::string_view line) {
    if (level < least) return;
    // One write for the whole line, so that lines of several threads do not mix.
    std::string text = "ferry ";
    text.append(to_string(level)).append(": ").append(line).append("\n");
    std::fwrite(text.data(), 1, text.size(), stderr);
  };
}

}  // namespace ferry
