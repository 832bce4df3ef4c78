#pragma once

#include <algorithm>
#include <string>
#include <string_view>

namespace ferry::testing {

/// Bytes as they would stand in a C++ program, in quotes: "OK\r\n\x00". Of long ones only some
/// from `from` on, with dots where others are.
inline std::string escaped(std::string_view bytes, std::size_t from = 0) {
  constexpr std::size_t kMost = 60;
  constexpr char kDigits[] = "0123456789abcdef";
  from = std::min(from, bytes.size());
  std::string text = from > 0 ? "...\"" : "\"";
  for (const char c : bytes.substr(from, kMost)) {
    const auto value = static_cast<unsigned char>(c);
    switch (c) {
      case '\r':
        text += "\\r";
        break;
      case '\n':
        text += "\\n";
        break;
      case '\t':
        text += "\\t";
        break;
      case '"':
      case '\\':
        text += '\\';
        text += c;
        break;
      default:
        if (value >= 0x20 && value < 0x7f) {
          text += c;
        } else {
          text += "\\x";
          text += kDigits[value >> 4];
          text += kDigits[value & 15];
        }
    }
  }
  text += bytes.size() - from > kMost ? "\"..." : "\"";
  return text;
}

}  // namespace ferry::testing
