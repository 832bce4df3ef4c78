#pragma once

#include <ferry/function.h>

#include <string_view>

namespace ferry {

enum class LogLevel { debug, info, warning, error };

/// "debug", "info", "warning", "error".
std::string_view to_string(LogLevel level) noexcept;

/// Takes one finished line without a newline. The view is valid during the call.
/// The library itself writes nothing to any stream: what a loop has to say goes to its sink
/// (EventLoop::set_log_sink), and by default nowhere.
using LogSink = Function<void(LogLevel, std::string_view)>;

/// A sink for programs: "ferry warning: ..." lines on standard error, from `least` upwards.
LogSink stderr_log_sink(LogLevel least = LogLevel::warning);

}  // namespace ferry
