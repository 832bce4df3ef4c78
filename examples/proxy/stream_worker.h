#pragma once

#include "log_limit.h"
#include "options.h"

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

  StreamStatistics& operator+=(const StreamStatistics& other);
  /// "accepted=3 active=1 ...", on one line.
  std::string to_string() const;
};

/// What happens to clients on one loop: for each a connection to the upstream, and a relay between
/// the two. For that loop's thread; must live until the loop is closed.
class StreamWorker {
 public:
  /// `upstream` is put round the protocol of each connection to the upstream; may be empty.
  StreamWorker(EventLoop& loop, const ProxyOptions& options, ProtocolWrap upstream);
  StreamWorker(const StreamWorker&) = delete;
  StreamWorker& operator=(const StreamWorker&) = delete;

  EventLoop& loop() const noexcept { return loop_; }
  /// The protocol of a client that has just connected.
  std::shared_ptr<Protocol> client();
  /// One did not get through TLS.
  void handshake_failed(std::exception_ptr failure);
  /// Calls `idle` when no client is left; none may come afterwards. Once.
  void when_idle(Function<void()> idle);
  const StreamStatistics& statistics() const noexcept { return statistics_; }

 private:
  class Client;

  Future<Connection<>> connect();
  void relayed(const std::string& client, const RelayResult& result);
  void finished();

  EventLoop& loop_;
  const ProxyOptions& options_;
  ProtocolWrap upstream_;
  RelayOptions relay_;
  LogLimit log_;
  StreamStatistics statistics_;
  Function<void()> idle_;
};

}  // namespace ferry::proxy
