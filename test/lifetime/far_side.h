#pragma once

#include "far_end.h"

#include <ferry/connect.h>

#include <memory>
#include <string_view>

namespace ferry::test {

/// The other side of a connection: it does what the test says.
class FarSide {
 public:
  virtual ~FarSide() = default;
  /// What the near side is to be wrapped in.
  virtual ProtocolWrap wrap() = 0;
  /// Reads what is there, and sends what can be sent.
  virtual void pump() = 0;
  virtual void send(std::string_view bytes) = 0;
  /// No more will come from here.
  virtual void send_eof() = 0;
  virtual void close() = 0;
};

std::unique_ptr<FarSide> plain_far_side(std::shared_ptr<FarEnd> end);
/// By plain OpenSSL, as a client.
std::unique_ptr<FarSide> tls_far_side(std::shared_ptr<FarEnd> end);

}  // namespace ferry::test
