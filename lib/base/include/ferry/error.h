#pragma once

#include <ferry/address.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace ferry {

/// What can go wrong beyond what the operating system reports. System errors travel as
/// std::error_code of std::system_category() and compare equal to std::errc as usual.
enum class errc {
  protocol_failed =
      1,           ///< A protocol callback threw; the loop's exception handler has the exception.
  write_overflow,  ///< The write buffer grew past its hard limit.
  cancelled,       ///< The operation was cancelled by this program.
  timed_out,       ///< A time limit of the library's (connect, idle, drain, ...) ran out.
  loop_closed,     ///< The event loop was closed while this was open or under way.
  no_address,      ///< A name resolved to nothing usable.
};

/// The category of errc, named "ferry". `timed_out` and `cancelled` compare equal to
/// std::errc::timed_out and std::errc::operation_canceled.
const std::error_category& ferry_category() noexcept;
std::error_code make_error_code(errc e) noexcept;

/// The category of getaddrinfo's EAI_* codes, named "resolver" (getaddrinfo(3)).
const std::error_category& resolver_category() noexcept;

/// The error_code of an errno value; 0 gives the empty one.
inline std::error_code system_error_code(int error) noexcept {
  return {error, std::system_category()};
}

/// A failure with its story: what failed, in which operation, on which address.
/// `operation` points at a string literal: a system call's name ("recv") or a step ("resolve").
struct Error {
  std::error_code code;
  const char* operation = "";
  Address address;

  explicit operator bool() const noexcept { return static_cast<bool>(code); }
  /// "connect to 127.0.0.1:80: Connection refused"; empty if there is no error.
  std::string message() const;
};

/// An Error as an exception: what futures and blocking calls throw. what() is Error::message().
class IoError : public std::system_error {
 public:
  explicit IoError(Error error) : std::system_error(base(error)), error_(std::move(error)) {}
  const Error& error() const noexcept { return error_; }
  const char* operation() const noexcept { return error_.operation; }
  const Address& address() const noexcept { return error_.address; }

 private:
  static std::system_error base(const Error& error);
  Error error_;
};

/// A time limit ran out.
class TimeoutError : public IoError {
 public:
  explicit TimeoutError(const char* operation, Address address = {})
      : IoError({make_error_code(errc::timed_out), operation, std::move(address)}) {}
};

/// The operation was cancelled. Not a std::exception, so that `catch (const std::exception&)`
/// round a piece of work cannot swallow a cancellation by accident.
class CancelledError {
 public:
  CancelledError() = default;
  explicit CancelledError(std::string message) : message_(std::move(message)) {}
  const std::string& message() const noexcept { return message_; }

 private:
  std::string message_;
};

/// A future was asked for something its state does not have.
class InvalidStateError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

}  // namespace ferry

template <>
struct std::is_error_code_enum<ferry::errc> : std::true_type {};
