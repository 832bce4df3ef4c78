#pragma once

#if defined(__clang__) && __clang_major__ < 16
#include <cstdint>
#else
#include <source_location>
#endif

namespace ferry {

#if defined(__clang__) && __clang_major__ < 16

/// std::source_location for compilers whose standard library has none (clang before 16 on
/// libstdc++).
class SourceLocation {
 public:
  static constexpr SourceLocation current(const char* file = __builtin_FILE(),
                                          const char* function = __builtin_FUNCTION(),
                                          std::uint_least32_t line = __builtin_LINE()) noexcept {
    SourceLocation here;
    here.file_ = file;
    here.function_ = function;
    here.line_ = line;
    return here;
  }
  constexpr SourceLocation() noexcept = default;

  constexpr std::uint_least32_t line() const noexcept { return line_; }
  constexpr std::uint_least32_t column() const noexcept { return 0; }
  constexpr const char* file_name() const noexcept { return file_; }
  constexpr const char* function_name() const noexcept { return function_; }

 private:
  const char* file_ = "";
  const char* function_ = "";
  std::uint_least32_t line_ = 0;
};

#else

using SourceLocation = std::source_location;

#endif

}  // namespace ferry
