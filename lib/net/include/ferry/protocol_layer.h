#pragma once

#include <ferry/function.h>

#include <exception>
#include <memory>
#include <string>

namespace ferry {

class Transport;

/// A protocol that stands between a transport and another protocol and is itself a transport to
/// that one: TLS, or PassThrough. What those who make and end connections must know of it; as_layer
/// gives it. A layer over a layer passes these calls on to the upper one.
class ProtocolLayer {
 public:
  /// The application's connection_made has returned: `transport` is what it was given. Or the
  /// connection did not come about, for `failure`, and the application has heard of nothing.
  using Made = Function<void(std::exception_ptr failure, std::shared_ptr<Transport> transport)>;

  /// Asks for one call of `made`, from the loop; none if the loop closes before. Called at most
  /// once, before connection_made. `host` is the name that was connected to; may be empty.
  /// May throw: then the connection is not made.
  virtual void when_made(const std::string& host, Made made) = 0;
  /// Transport::close of the uppermost transport: an orderly end as the application's own.
  virtual void close_top() = 0;

 protected:
  ~ProtocolLayer() = default;
};

}  // namespace ferry
