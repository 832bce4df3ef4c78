#pragma once

#include "service.h"
#include "stream_worker.h"
#include "tls.h"

#include <ferry/loop_group.h>
#include <ferry/wraps.h>

#include <optional>

namespace ferry::proxy {

/// Accepts connections, makes another to the upstream for each, and relays between the two; either
/// may be TLS. On its own loop, or on several others that it starts.
class StreamProxy final : public Service {
 public:
  using Log = void (*)(LogLevel, std::string_view);

  /// Throws std::system_error for a certificate that cannot be used. `log` is for the loops that it
  /// starts, and is called on their threads.
  StreamProxy(EventLoop& loop, ProxyOptions options, Log log);
  StreamProxy(const StreamProxy&) = delete;
  StreamProxy& operator=(const StreamProxy&) = delete;

  Future<std::vector<Address>> listen() override;
  Future<void> drain() override;
  void reload() override { tls_.reload(); }
  std::string statistics() override;
  void stop() override;

 private:
  void start_group(Log log);
  Future<std::shared_ptr<Server>> create();
  Future<std::shared_ptr<Server>> create_tcp();
  Future<std::shared_ptr<Server>> create_unix();
  ProtocolWrap wrap();
  /// The one of the loop that runs on this thread.
  StreamWorker& worker();
  void wait_until_idle();

  EventLoop& loop_;
  const ProxyOptions options_;
  ProxyTls tls_;
  std::shared_ptr<TrafficLog> traffic_log_;  // null: none, as the gate
  std::shared_ptr<ConnectionLimit> gate_;
  std::vector<std::unique_ptr<StreamWorker>> workers_;  // of the group's loops, or of this one
  std::optional<LoopGroup> group_;                      // ends before the workers do
  bool stopped_ = false;
  std::shared_ptr<Server> server_;
  std::size_t busy_workers_ = 0;  // while draining
  Future<void> drained_;
};

}  // namespace ferry::proxy
