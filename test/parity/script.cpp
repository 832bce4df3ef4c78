#include "script.h"

#include <algorithm>
#include <fstream>
#include <set>
#include <stdexcept>

namespace ferry::parity {
namespace {

const std::set<Text> kBlocks = {"try",     "except", "else", "finally", "repeat",
                                "timeout", "group",  "with", "for",     "completed"};
const std::set<Text> kSections = {"main",      "outside", "coro", "callback",
                                  "generator", "on",      "apart"};

Text strip(std::string_view text) {
  const auto first = text.find_first_not_of(' ');
  if (first == std::string_view::npos) return {};
  return Text(text.substr(first, text.find_last_not_of(' ') + 1 - first));
}

}  // namespace

Words split(std::string_view text, char separator) {
  Words words;
  while (!text.empty()) {
    const auto end = std::min(text.find(separator), text.size());
    if (end > 0) words.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

std::pair<Text, Text> partition(const Text& text) {
  const auto space = text.find(' ');
  if (space == Text::npos) return {text, ""};
  return {text.substr(0, space), text.substr(space + 1)};
}

Text join(const Words& words, std::string_view separator) {
  Text all;
  for (const Text& word : words) {
    if (!all.empty()) all += separator;
    all += word;
  }
  return all;
}

Statement parse_statement(int line, std::string_view text) {
  Statement statement;
  statement.line = line;
  auto [first, rest] = partition(Text(text));
  if (rest.starts_with("= ")) {
    statement.target = first;
    std::tie(first, rest) = partition(rest.substr(2));
  }
  statement.verb = first;
  statement.rest = strip(rest);
  return statement;
}

std::vector<Scenario> parse_file(const Text& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path);
  std::vector<Scenario> scenarios;
  std::vector<Block*> open;  // the blocks we are in, by depth
  Text line;
  for (int number = 1; std::getline(file, line); ++number) {
    const Text text = strip(line);
    if (text.empty() || text.front() == '#') continue;
    const std::size_t depth = line.find_first_not_of(' ') / 2;
    if (depth == 0) {
      const auto [kind, name] = partition(text);
      if (kind == "scenario") {
        scenarios.emplace_back();
        scenarios.back().name = name;
        scenarios.back().file = path;
        open.clear();
      } else if (kSections.contains(kind) && !scenarios.empty()) {
        open.assign(1, &scenarios.back().sections[{kind, name}]);
      } else {
        throw std::runtime_error(path + ":" + std::to_string(number) + ": " + text);
      }
      continue;
    }
    if (depth > open.size()) {
      throw std::runtime_error(path + ":" + std::to_string(number) + ": indented too far");
    }
    open.resize(depth);
    open.back()->push_back(parse_statement(number, text));
    Statement& statement = open.back()->back();
    if (kBlocks.contains(statement.verb)) open.push_back(&statement.body);
  }
  return scenarios;
}

Item parse_item(const Text& text) {
  const auto bracket = text.find('(');
  if (bracket == Text::npos || text.back() != ')') return {text, std::nullopt};
  return {text.substr(0, bracket), split(text.substr(bracket + 1, text.size() - bracket - 2), ',')};
}

}  // namespace ferry::parity
