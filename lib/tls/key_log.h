#pragma once

#include <cstdio>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

namespace ferry {

/// A file in the format of SSLKEYLOGFILE. From any thread.
class KeyLog {
 public:
  /// Throws std::system_error if the file cannot be opened. A new one is for its owner's eyes only.
  explicit KeyLog(const std::string& path);
  void write(std::string_view line);

 private:
  struct Close {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
  };

  std::mutex mutex_;
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace ferry
