#pragma once

#include <cstddef>
#include <cstdint>

namespace ferry {

/// Before the arguments of a call. The addresses are the same in both processes.
struct CallHeader {
  std::uint64_t size = 0;  // of the arguments
  std::uint64_t stub = 0;
  std::uint64_t function = 0;
};

/// An answer may be so much longer than the limit of a result, for what an exception says.
inline constexpr std::size_t kRoomForErrors = 64 * 1024;

/// Before the answer to a call. That of `threw` is two strings: what, and the type.
struct AnswerHeader {
  enum class Kind : std::uint64_t { value, threw };
  std::uint64_t size = 0;
  Kind kind = Kind::value;
};

/// The life of a worker process: reads calls from `socket`, runs them and answers, until the other
/// end is closed.
[[noreturn]] void run_pool_worker(int socket, std::size_t message_limit) noexcept;

}  // namespace ferry
