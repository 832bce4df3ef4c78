#pragma once

#include "log_limit.h"
#include "options.h"
#include "service.h"
#include "tls.h"

#include <ferry/net.h>

namespace ferry::proxy {

struct StreamStatistics {
  std::uint64_t accepted = 0;
  std::size_t active = 0;            ///< Accepted and not over.
  std::uint64_t failed = 0;          ///< Upstream could not be reached.
  std::uint64_t gone = 0;            ///< The client went before upstream was reached.
  std::uint64_t broken = 0;          ///< Ended by an error or a time limit.
  std::uint64_t truncated = 0;       ///< Of these: TLS that ended without a close_notify.
  std::uint64_t bad_handshakes = 0;  ///< Clients that did not get through TLS; not `accepted`.
  RelayTraffic traffic;              ///< Bytes from clients to upstream, and back.

  std::string to_string() const;
};

/// Accepts connections, makes another to the upstream for each, and relays between the two; either
/// may be TLS.
class StreamProxy final : public Service {
 public:
  /// Throws std::system_error for a certificate that cannot be used.
  StreamProxy(EventLoop& loop, ProxyOptions options);
  StreamProxy(const StreamProxy&) = delete;
  StreamProxy& operator=(const StreamProxy&) = delete;

  Future<std::vector<Address>> listen() override;
  Future<void> drain() override;
  void reload() override { tls_.reload(); }
  std::string statistics() const override { return statistics_.to_string(); }

 private:
  friend class Client;

  Future<std::shared_ptr<Server>> create();
  Future<Connection<>> connect();
  void handshake_failed(std::exception_ptr failure);
  /// A relay, or what was to become one, is over.
  void relayed(const std::string& client, const RelayResult& result);
  void finished();

  EventLoop& loop_;
  ProxyOptions options_;
  ProxyTls tls_;
  LogLimit log_;
  std::shared_ptr<Server> server_;
  StreamStatistics statistics_;
  bool clients_ended_ = false;
  Future<void> drained_;
};

}  // namespace ferry::proxy
