#include "log_file.h"

#include "pcapng.h"

#include <cerrno>
#include <filesystem>
#include <utility>

namespace ferry {

LogFile::LogFile(std::string path) : path_(std::move(path)) {
  file_.reset(std::fopen(path_.c_str(), "wbe"));
  if (!file_) throw std::system_error(errno, std::system_category(), "open " + path_);
  // It comes in large pieces.
  std::setvbuf(file_.get(), nullptr, _IONBF, 0);
  std::error_code ignored;
  if (std::filesystem::is_regular_file(path_, ignored)) {
    using std::filesystem::perms;
    std::filesystem::permissions(path_, perms::owner_read | perms::owner_write, ignored);
  }
}

LogFile::~LogFile() {
  close();
}

void LogFile::hand_over(Buffer batch) {
  const std::lock_guard lock(mutex_);
  batch_ = std::move(batch);
}

Buffer LogFile::write() {
  const std::lock_guard lock(mutex_);
  write_locked();
  batch_.clear();
  return std::move(batch_);
}

void LogFile::write_locked() {
  if (!file_ || batch_.empty()) return;
  errno = 0;
  const std::size_t written = std::fwrite(batch_.view().data(), 1, batch_.size(), file_.get());
  if (written == batch_.size()) {
    size_ += written;
  } else {
    const int error = errno != 0 ? errno : EIO;
    size_ += pcapng::whole_blocks(batch_.view().first(written));
    fail(error);
    // A reader would complain about half a block.
    std::error_code ignored;
    if (std::filesystem::is_regular_file(path_, ignored)) {
      std::filesystem::resize_file(path_, size_, ignored);
    }
  }
  batch_.clear();
}

void LogFile::fail(int error) {
  if (!error_) error_ = {error, std::system_category()};
  file_.reset();
}

void LogFile::close() {
  const std::lock_guard lock(mutex_);
  write_locked();
  if (file_ && std::fclose(file_.release()) != 0) fail(errno);
}

std::error_code LogFile::error() const {
  const std::lock_guard lock(mutex_);
  return error_;
}

}  // namespace ferry
