#pragma once

#include <fstream>
#include <mutex>
#include <string>
#include <string_view>

namespace ferry {

/// A file in the format of SSLKEYLOGFILE. From any thread.
class KeyLog {
 public:
  /// Throws std::system_error if the file cannot be opened.
  explicit KeyLog(const std::string& path);
  void write(std::string_view line);

 private:
  std::mutex mutex_;
  std::ofstream file_;
};

}  // namespace ferry
