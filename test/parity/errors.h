#pragma once

#include "script.h"

#include <exception>
#include <stdexcept>
#include <system_error>

namespace ferry::parity {

/// An exception of the script's own: Python's side makes a class for each kind.
class RaisedError : public std::exception {
 public:
  RaisedError(Text kind, Text text) : kind_(std::move(kind)), text_(std::move(text)) {}
  const Text& kind() const noexcept { return kind_; }
  const Text& text() const noexcept { return text_; }
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  Text kind_;
  Text text_;
};

/// An exception of the script's own, or of a kind that the library has.
std::exception_ptr make_error(const Text& kind, const Text& text);
/// Its name on CPython's side.
Text kind_of(const std::exception_ptr& exception);
Text kind_of(const std::error_code& error);
/// The kind, and the text if the script itself gave it.
Text describe(const std::exception_ptr& exception);
/// Of an `except` with this behind it.
bool matches(const std::exception_ptr& exception, const Text& clause);

}  // namespace ferry::parity
