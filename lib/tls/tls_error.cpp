#include "error_codes.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include <string>

namespace ferry {
namespace {

// How a code's value is read: a tls_errc; a verification's result; an alert; or, above, OpenSSL's
// own packed code, whose library number begins at bit 23.
constexpr int kVerifyBase = 1'000;
constexpr int kAlertBase = 10'000;
constexpr int kOpensslBase = 1 << ERR_LIB_OFFSET;

tls_errc class_of(int value) noexcept {
  if (value >= kOpensslBase) return tls_errc::protocol_error;
  if (value >= kAlertBase) return tls_errc::peer_alert;
  if (value >= kVerifyBase) return tls_errc::certificate_verify_failed;
  return static_cast<tls_errc>(value);
}

std::string describe(tls_errc e) {
  switch (e) {
    case tls_errc::truncated:
      return "The TLS stream was truncated: it ended without close_notify";
    case tls_errc::handshake_timed_out:
      return "TLS handshake timed out: it is taking longer than its limit";
    case tls_errc::shutdown_timed_out:
      return "TLS shutdown timed out";
    case tls_errc::certificate_verify_failed:
      return "Certificate verify failed";
    case tls_errc::peer_alert:
      return "The peer sent a TLS alert";
    case tls_errc::protocol_error:
      return "TLS protocol error";
    case tls_errc::too_many_handshakes:
      return "Too many TLS handshakes are under way";
    case tls_errc::flood:
      return "The peer floods the connection with TLS handshake messages";
  }
  return "Unknown TLS error " + std::to_string(static_cast<int>(e));
}

class TlsCategory final : public std::error_category {
 public:
  const char* name() const noexcept override { return "tls"; }

  std::string message(int value) const override {
    std::string text = describe(class_of(value));
    if (value >= kOpensslBase) {
      const char* reason = ERR_reason_error_string(static_cast<unsigned long>(value));
      text += std::string(": ") + (reason ? reason : "error " + std::to_string(value));
    } else if (value >= kAlertBase) {
      // OpenSSL's table of reasons knows more alerts than its table of alerts.
      const auto code = static_cast<unsigned long>(
          ERR_PACK(ERR_LIB_SSL, 0, value - kAlertBase + SSL_AD_REASON_OFFSET));
      const char* reason = ERR_reason_error_string(code);
      text += std::string(": ") + (reason ? reason : std::to_string(value - kAlertBase));
    } else if (value >= kVerifyBase) {
      text += std::string(": ") + X509_verify_cert_error_string(value - kVerifyBase);
    }
    return text;
  }

  std::error_condition default_error_condition(int value) const noexcept override {
    return {static_cast<int>(class_of(value)), *this};
  }

  bool equivalent(int value, const std::error_condition& condition) const noexcept override {
    const tls_errc kind = class_of(value);
    if (kind == tls_errc::handshake_timed_out || kind == tls_errc::shutdown_timed_out) {
      if (condition == std::errc::timed_out) return true;
    }
    return default_error_condition(value) == condition;
  }
};

}  // namespace

const std::error_category& tls_category() noexcept {
  static const TlsCategory category;
  return category;
}

std::error_condition make_error_condition(tls_errc e) noexcept {
  return {static_cast<int>(e), tls_category()};
}

std::error_code tls_code(tls_errc e) noexcept {
  return {static_cast<int>(e), tls_category()};
}

std::error_code verify_code(long reason) noexcept {
  return {kVerifyBase + static_cast<int>(reason), tls_category()};
}

std::error_code take_openssl_error() noexcept {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return tls_code(tls_errc::protocol_error);
  if (ERR_SYSTEM_ERROR(code)) return {ERR_GET_REASON(code), std::system_category()};
  const int reason = ERR_GET_REASON(code);
  if (reason == ERR_R_MALLOC_FAILURE) return std::make_error_code(std::errc::not_enough_memory);
  if (ERR_GET_LIB(code) == ERR_LIB_SSL && reason >= SSL_AD_REASON_OFFSET &&
      reason < SSL_AD_REASON_OFFSET + 256) {
    return {kAlertBase + reason - SSL_AD_REASON_OFFSET, tls_category()};
  }
  return {static_cast<int>(code), tls_category()};
}

}  // namespace ferry
