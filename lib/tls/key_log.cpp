#include "key_log.h"

#include <ferry/fd.h>

#include <fcntl.h>

#include <cerrno>
#include <system_error>

namespace ferry {

KeyLog::KeyLog(const std::string& path) {
  // Neither for other users nor for child processes.
  Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, S_IRUSR | S_IWUSR));
  if (fd) file_.reset(::fdopen(fd.get(), "a"));
  if (!file_) throw std::system_error(errno, std::system_category(), "TLS key log " + path);
  static_cast<void>(fd.release());  // the stream has it now
}

void KeyLog::write(std::string_view line) {
  const std::lock_guard lock(mutex_);
  // At once and as a whole, since the reader looks while the program runs.
  std::fwrite((std::string(line) + '\n').data(), 1, line.size() + 1, file_.get());
  std::fflush(file_.get());
}

}  // namespace ferry
