#include "key_log.h"

#include <cerrno>
#include <system_error>

namespace ferry {

KeyLog::KeyLog(const std::string& path) : file_(path, std::ios::app) {
  if (!file_) throw std::system_error(errno, std::system_category(), "TLS key log " + path);
}

void KeyLog::write(std::string_view line) {
  const std::lock_guard lock(mutex_);
  // At once and as a whole, since the reader looks while the program runs.
  file_ << (std::string(line) + '\n') << std::flush;
}

}  // namespace ferry
