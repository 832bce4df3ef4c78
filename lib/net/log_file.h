#pragma once

#include <ferry/buffer.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>

namespace ferry {

/// A file that the loop's thread fills and another one writes: the loop hands over a batch, a
/// worker writes it, then the next may come. All functions from any thread.
class LogFile {
 public:
  /// Makes or empties the file. Throws std::system_error.
  explicit LogFile(std::string path);
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;
  /// Writes what was handed over and not yet written.
  ~LogFile();

  /// To be written by `write`; before it nothing else may be handed over.
  void hand_over(Buffer batch);
  /// Writes what was handed over: blocks. The batch's memory, empty, for the next one.
  Buffer write();
  void close();
  /// The first error. After it nothing more is written, and the file ends with a whole block.
  std::error_code error() const;

 private:
  void fail(int error);
  void write_locked();

  struct CloseFile {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
  };

  const std::string path_;
  mutable std::mutex mutex_;  // of what follows
  std::unique_ptr<std::FILE, CloseFile> file_;
  Buffer batch_;
  std::uint64_t size_ = 0;
  std::error_code error_;
};

}  // namespace ferry
