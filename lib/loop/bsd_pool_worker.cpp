#include "bsd_pool_worker.h"

#include <ferry/process_pool.h>

#include <cxxabi.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

namespace ferry {

namespace {

constexpr int kLost = 70;  // what a worker exits with that cannot read or answer

/// False at the end of the stream.
bool receive_all(int socket, void* into, std::size_t count) noexcept {
  auto* place = static_cast<std::byte*>(into);
  while (count > 0) {
    const ssize_t received = ::recv(socket, place, count, 0);
    if (received < 0 && errno == EINTR) continue;
    if (received <= 0) return false;
    place += received;
    count -= static_cast<std::size_t>(received);
  }
  return true;
}

void send_all(int socket, BytesView bytes) noexcept {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) ::_exit(kLost);
    bytes = bytes.drop(static_cast<std::size_t>(sent));
  }
}

/// The type of the exception that is being handled.
std::string exception_type() {
  const std::type_info* type = abi::__cxa_current_exception_type();
  if (!type) return "unknown";
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> name(
      abi::__cxa_demangle(type->name(), nullptr, nullptr, &status), &std::free);
  return name ? name.get() : type->name();
}

/// Cut to what the other side accepts, or it would take this worker for a broken one.
std::string threw(std::string_view what, std::string_view type, std::size_t message_limit) {
  ValueWriter out(std::string(sizeof(AnswerHeader), '\0'));
  write_value(out, std::string(what.substr(0, message_limit + kRoomForErrors / 2)));
  write_value(out, std::string(type.substr(0, kRoomForErrors / 4)));
  return out.take();
}

/// The answer, with room for its header.
std::string run_call(const CallHeader& header, BytesView arguments, std::size_t message_limit,
                     AnswerHeader::Kind& kind) {
  kind = AnswerHeader::Kind::value;
  try {
    ValueReader in(arguments);
    ValueWriter out(std::string(sizeof(AnswerHeader), '\0'));
    reinterpret_cast<ProcessCallBase::Stub>(header.stub)(
        reinterpret_cast<void (*)()>(header.function), in, out);
    const std::size_t size = out.size() - sizeof(AnswerHeader);
    if (size > message_limit) {
      throw std::length_error("the result has " + std::to_string(size) +
                              " bytes, and the pool's message_limit is " +
                              std::to_string(message_limit));
    }
    return out.take();
  } catch (const std::exception& error) {
    kind = AnswerHeader::Kind::threw;
    return threw(error.what(), exception_type(), message_limit);
  } catch (...) {
    kind = AnswerHeader::Kind::threw;
    const std::string type = exception_type();
    return threw("an exception of type " + type, type, message_limit);
  }
}

}  // namespace

void run_pool_worker(int socket, std::size_t message_limit) noexcept {
  CallHeader call;
  while (receive_all(socket, &call, sizeof call)) {
    std::string answer;
    AnswerHeader header;
    {
      const auto size = static_cast<std::size_t>(call.size);
      const std::unique_ptr<std::byte[]> arguments(new std::byte[size]);
      if (!receive_all(socket, arguments.get(), size)) break;
      answer = run_call(call, {arguments.get(), size}, message_limit, header.kind);
    }
    header.size = answer.size() - sizeof header;
    std::memcpy(answer.data(), &header, sizeof header);
    // The process may end at any time from now on, without a word.
    std::fflush(nullptr);
    send_all(socket, answer);
  }
  ::_exit(0);
}

}  // namespace ferry
