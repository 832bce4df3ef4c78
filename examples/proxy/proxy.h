#pragma once

#include "endpoint.h"

#include <ferry/net.h>

namespace ferry::proxy {

struct ProxyOptions {
  Endpoint listen;
  Endpoint to;
  Duration connect_timeout = std::chrono::seconds(10);
  RelayOptions relay;
  std::size_t max_connections = 0;  ///< 0: no limit.
  Duration drain_timeout = std::chrono::seconds(30);
};

struct ProxyStatistics {
  std::uint64_t accepted = 0;
  std::size_t active = 0;    ///< Accepted and not over.
  std::uint64_t failed = 0;  ///< Upstream could not be reached.
  std::uint64_t gone = 0;    ///< The client went before upstream was reached.
  std::uint64_t broken = 0;  ///< Ended by an error or a time limit.
  RelayTraffic traffic;      ///< Bytes from clients to upstream, and back.

  /// "accepted=3 active=1 ...", on one line.
  std::string to_string() const;
};

/// Accepts clients, connects each to the upstream, and relays between the two.
class Proxy {
 public:
  /// The proxy must live until its loop is closed.
  Proxy(EventLoop& loop, ProxyOptions options);
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  /// Binds and listens; fails with IoError.
  Future<std::shared_ptr<Server>> listen();
  /// Stops listening; done when the last connection is over, or the drain limit has passed.
  Future<void> drain();
  const ProxyStatistics& statistics() const noexcept { return statistics_; }

 private:
  friend class Client;

  Future<Connection<>> connect();
  void finished();

  EventLoop& loop_;
  ProxyOptions options_;
  std::shared_ptr<Server> server_;
  ProxyStatistics statistics_;
  bool clients_ended_ = false;
  Future<void> drained_;
};

}  // namespace ferry::proxy
