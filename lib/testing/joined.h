#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

namespace ferry::testing {

/// Some texts as one. (g++ 12 warns of `"text" + std::string()`, without reason.)
inline std::string joined(std::initializer_list<std::string_view> parts) {
  std::string text;
  for (const std::string_view part : parts) text += part;
  return text;
}

}  // namespace ferry::testing
