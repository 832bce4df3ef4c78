#pragma once

#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>

namespace ferry {

/// The stream ended before all that was asked for had come.
/// https://docs.python.org/3/library/asyncio-exceptions.html#asyncio.IncompleteReadError
class IncompleteReadError : public std::runtime_error {
 public:
  IncompleteReadError(std::string partial, std::optional<std::size_t> expected);
  /// What had come; it is no longer in the reader.
  const std::string& partial() const noexcept { return partial_; }
  /// Bytes asked for; none if that was up to a separator.
  std::optional<std::size_t> expected() const noexcept { return expected_; }

 private:
  std::string partial_;
  std::optional<std::size_t> expected_;
};

/// No separator within the reader's limit.
/// https://docs.python.org/3/library/asyncio-exceptions.html#asyncio.LimitOverrunError
class LimitOverrunError : public std::runtime_error {
 public:
  LimitOverrunError(const std::string& message, std::size_t consumed)
      : std::runtime_error(message), consumed_(consumed) {}
  /// So many bytes may be read and thrown away without missing a separator.
  std::size_t consumed() const noexcept { return consumed_; }

 private:
  std::size_t consumed_;
};

}  // namespace ferry
