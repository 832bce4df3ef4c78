#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ferry::parity {

using Text = std::string;
using Words = std::vector<Text>;

/// One line of a scenario, and the lines indented below it. (README.md; script.py reads the same.)
struct Statement {
  int line = 0;
  Text target;  // what the result is called, or ""
  Text verb;
  Text rest;
  std::vector<Statement> body;

  Text text() const { return rest.empty() ? verb : verb + " " + rest; }
};
using Block = std::vector<Statement>;

struct Scenario {
  Text name;
  Text file;
  /// By kind and name: "main" and "", "coro" and "worker".
  std::map<std::pair<Text, Text>, Block> sections;
};

/// Throws std::runtime_error for what is no script.
std::vector<Scenario> parse_file(const Text& path);
Statement parse_statement(int line, std::string_view text);

/// "worker(a,3)": a name and arguments; "future": a name alone.
struct Item {
  Text name;
  std::optional<Words> arguments;
};
Item parse_item(const Text& text);

Words split(std::string_view text, char separator = ' ');
/// What is before the first space, and what is behind it.
std::pair<Text, Text> partition(const Text& text);
Text join(const Words& words, std::string_view separator);

}  // namespace ferry::parity
