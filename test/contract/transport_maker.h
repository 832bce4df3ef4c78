#pragma once

#include <ferry/connect.h>
#include <ferry/transport.h>

#include <memory>
#include <string>
#include <vector>

namespace ferry::test {

/// The two transports of one connection.
struct Ends {
  std::shared_ptr<Transport> near;  ///< Of the side that connected.
  std::shared_ptr<Transport> far;   ///< Of the side that listened.
};

/// One kind of transport, as the contract suite sees it: what makes connections of that kind. To
/// have the whole suite run over another kind, write a maker and add it to `transport_kinds`.
class TransportMaker {
 public:
  /// Runs the loop until the condition holds.
  using Run = Function<void(Function<bool()>)>;

  virtual ~TransportMaker() = default;
  /// Connects `near` to `far`; both connection_made have returned when it does.
  virtual Ends connect(EventLoop& loop, Run run, std::shared_ptr<Protocol> near,
                       std::shared_ptr<Protocol> far) = 0;
  /// Begins to connect to an address nobody listens at.
  virtual Future<Connection<>> connect_to_nobody(EventLoop& loop, ProtocolFactory factory) = 0;
  /// True if closing with unread bytes resets the connection: the peer hears ECONNRESET.
  virtual bool unread_bytes_reset() const = 0;
  /// What get_write_buffer_limits gives by default.
  virtual WriteLimits limits() const { return {}; }
  /// The largest buffer that does not pause the writer.
  virtual std::size_t most_unpaused() const { return limits().high; }
};

struct TransportKind {
  std::string name;
  std::unique_ptr<TransportMaker> (*make)();
  bool simulated = false;  ///< Only there.
};

/// Every kind there is.
const std::vector<TransportKind>& transport_kinds();

}  // namespace ferry::test
