#include "connect_error.h"

#include <algorithm>

namespace ferry {
namespace {

Error first_of(const std::vector<Error>& errors) {
  return errors.empty() ? Error{make_error_code(errc::no_address), "connect", {}} : errors.front();
}

}  // namespace

AggregateError::AggregateError(std::vector<Error> errors)
    : IoError(first_of(errors)), errors_(std::move(errors)) {
  if (errors_.empty()) {
    what_ = IoError::what();
    return;
  }
  what_ = errors_.size() == 1 ? "" : "all attempts failed: ";
  for (std::size_t i = 0; i < errors_.size(); ++i) {
    if (i != 0) what_ += "; ";
    what_ += errors_[i].message();
  }
}

std::exception_ptr connect_failure(std::vector<Error> errors, bool all_errors) {
  if (all_errors && !errors.empty()) {
    return std::make_exception_ptr(AggregateError(std::move(errors)));
  }
  const bool alike = std::all_of(errors.begin(), errors.end(), [&](const Error& error) {
    return error.message() == errors.front().message();
  });
  if (alike) return std::make_exception_ptr(IoError(first_of(errors)));
  return std::make_exception_ptr(AggregateError(std::move(errors)));
}

}  // namespace ferry
