#include <ferry/stream_error.h>

#include <utility>

namespace ferry {

namespace {

std::string message(std::size_t got, std::optional<std::size_t> expected) {
  std::string text = std::to_string(got);
  text += " bytes read of ";
  text += expected ? std::to_string(*expected) : std::string("an unknown number");
  text += " expected";
  return text;
}

}  // namespace

IncompleteReadError::IncompleteReadError(std::string partial, std::optional<std::size_t> expected)
    : std::runtime_error(message(partial.size(), expected)),
      partial_(std::move(partial)),
      expected_(expected) {}

}  // namespace ferry
