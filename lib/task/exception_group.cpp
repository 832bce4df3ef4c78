#include <ferry/exception_group.h>

namespace ferry {
namespace {

std::string with_count(const std::string& message, std::size_t count) {
  return message + " (" + std::to_string(count) + (count == 1 ? " exception)" : " exceptions)");
}

}  // namespace

ExceptionGroup::ExceptionGroup(const std::string& message,
                               std::vector<std::exception_ptr> exceptions)
    : std::runtime_error(with_count(message, exceptions.size())),
      message_(message),
      exceptions_(std::move(exceptions)) {}

}  // namespace ferry
