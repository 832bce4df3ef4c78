#include <ferry/error.h>

#include <netdb.h>

namespace ferry {
namespace {

class FerryCategory final : public std::error_category {
 public:
  const char* name() const noexcept override { return "ferry"; }
  std::string message(int code) const override {
    switch (static_cast<errc>(code)) {
      case errc::protocol_failed:
        return "A callback of the protocol threw an exception";
      case errc::write_overflow:
        return "The write buffer grew past its hard limit";
      case errc::cancelled:
        return "Cancelled by this program";
      case errc::timed_out:
        return "Timed out";
      case errc::loop_closed:
        return "The event loop was closed";
      case errc::no_address:
        return "The name has no usable address";
    }
    return "Unknown ferry error " + std::to_string(code);
  }
  std::error_condition default_error_condition(int code) const noexcept override {
    switch (static_cast<errc>(code)) {
      case errc::timed_out:
        return std::errc::timed_out;
      case errc::cancelled:
        return std::errc::operation_canceled;
      default:
        return {code, *this};
    }
  }
};

class ResolverCategory final : public std::error_category {
 public:
  const char* name() const noexcept override { return "resolver"; }
  std::string message(int code) const override { return ::gai_strerror(code); }
  std::error_condition default_error_condition(int code) const noexcept override {
    switch (code) {
      case EAI_AGAIN:
        return std::errc::resource_unavailable_try_again;
      case EAI_MEMORY:
        return std::errc::not_enough_memory;
      case EAI_FAMILY:
        return std::errc::address_family_not_supported;
      default:
        return {code, *this};
    }
  }
};

// "connect to ADDRESS", "recv from ADDRESS", "listen on ADDRESS", "handshake with ADDRESS".
std::string_view word_before_address(std::string_view operation) noexcept {
  if (operation.starts_with("connect") || operation.starts_with("send") ||
      operation.starts_with("write") || operation == "bind" || operation == "relay") {
    return " to ";
  }
  if (operation.starts_with("recv") || operation.starts_with("read")) return " from ";
  if (operation == "listen" || operation.starts_with("accept")) return " on ";
  return " with ";
}

// What failed, without the reason; empty if the error says neither operation nor address. The peer
// of a unix socketpair has no name worth printing.
std::string subject(const Error& error) {
  std::string text = error.operation ? error.operation : "";
  const bool unnamed = error.address.is_unix() && error.address.path().empty();
  if (!error.address.empty() && !unnamed) {
    if (!text.empty()) text += word_before_address(text);
    text += error.address.to_string();
  }
  return text;
}

}  // namespace

const std::error_category& ferry_category() noexcept {
  static const FerryCategory category;
  return category;
}

std::error_code make_error_code(errc e) noexcept {
  return {static_cast<int>(e), ferry_category()};
}

const std::error_category& resolver_category() noexcept {
  static const ResolverCategory category;
  return category;
}

std::string Error::message() const {
  if (!code) return {};
  std::string text = subject(*this);
  if (!text.empty()) text += ": ";
  return text + code.message();
}

std::system_error IoError::base(const Error& error) {
  const std::string text = subject(error);
  return text.empty() ? std::system_error(error.code) : std::system_error(error.code, text);
}

}  // namespace ferry
