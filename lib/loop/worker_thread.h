#pragma once

#include <ferry/function.h>

#include <string>
#include <thread>

namespace ferry {

/// Starts a thread named `name` (cut to the 15 bytes a system keeps, the last ones survive after a
/// '-'), with all signals blocked but those a thread raises by its own fault. Throws
/// std::system_error if the system has no thread to give.
std::thread start_worker_thread(const std::string& name, Function<void()> body);

}  // namespace ferry
