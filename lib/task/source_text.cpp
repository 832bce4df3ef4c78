#include "source_text.h"

namespace ferry {
namespace {

/// Where the list that closes with the last character begins; npos if it does not.
std::size_t opening(std::string_view text, char open, char close) noexcept {
  int depth = 0;
  for (std::size_t i = text.size(); i-- > 0;) {
    if (text[i] == close) ++depth;
    if (text[i] == open && --depth == 0) return i;
  }
  return std::string_view::npos;
}

}  // namespace

std::string_view function_name(const SourceLocation& where) noexcept {
  std::string_view name = where.function_name();
  if (const std::size_t with = name.find(" [with "); with != std::string_view::npos) {
    name = name.substr(0, with);
  }
  const std::size_t last = name.rfind(')');
  // A bare name, as clang gives it, or operator().
  if (last == std::string_view::npos || name.ends_with("operator()")) return name;
  const std::size_t arguments = opening(name.substr(0, last + 1), '(', ')');
  if (arguments == std::string_view::npos) return name;
  name = name.substr(0, arguments);
  // The result: up to the last blank outside of brackets.
  int depth = 0;
  for (std::size_t i = name.size(); i-- > 0;) {
    const char c = name[i];
    if (c == '>' || c == ')' || c == '}') ++depth;
    if (c == '<' || c == '(' || c == '{') --depth;
    if (c == ' ' && depth == 0) return name.substr(i + 1);
  }
  return name;
}

std::string place_text(const SourceLocation& where) {
  if (where.line() == 0) return "an unknown place";
  const std::string_view function = function_name(where);
  std::string text = where.file_name();
  text += ':';
  text += std::to_string(where.line());
  if (!function.empty()) text.append(" (").append(function).append(")");
  return text;
}

}  // namespace ferry
