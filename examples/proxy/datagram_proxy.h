#pragma once

#include "log_limit.h"
#include "options.h"
#include "service.h"

#include <ferry/buffer.h>
#include <ferry/net.h>

#include <memory>
#include <unordered_map>
#include <vector>

namespace ferry::proxy {

struct DatagramStatistics {
  std::uint64_t accepted = 0;  ///< Sessions begun.
  std::size_t active = 0;
  std::uint64_t expired = 0;  ///< Ended by silence.
  std::uint64_t refused = 0;  ///< Datagrams of clients for whom there was no room.
  std::uint64_t failed = 0;   ///< Sessions that got no socket to upstream.
  std::uint64_t errors =
      0;  ///< What sockets said of datagrams: refused by upstream, too large, ...
  std::uint64_t dropped = 0;  ///< Datagrams given up because too many waited.
  std::uint64_t datagrams_to_upstream = 0;
  std::uint64_t datagrams_to_client = 0;
  RelayTraffic traffic;  ///< Bytes from clients to upstream, and back.

  std::string to_string() const;
};

class DatagramSession;

/// Takes datagrams from clients and passes them on to the upstream. Each client address is a
/// session with a socket of its own, connected to the upstream, whose answers go back to that
/// client. A session ends when neither side has sent anything for a while. When the table is full
/// new clients are refused: whoever sends from many invented addresses cannot drive out those who
/// are served.
class DatagramProxy final : public Service {
 public:
  DatagramProxy(EventLoop& loop, ProxyOptions options);
  DatagramProxy(const DatagramProxy&) = delete;
  DatagramProxy& operator=(const DatagramProxy&) = delete;
  ~DatagramProxy() override;

  Future<std::vector<Address>> listen() override;
  Future<void> drain() override;
  void reload() override {}
  std::string statistics() override { return statistics_.to_string(); }
  void stop() override { loop_.close(); }

 private:
  friend class DatagramSession;
  class Front;
  /// A datagram in `bytes_`.
  struct Piece {
    DatagramSession* session;
    bool to_client;
    BytesView view;  // of bytes_; set when all are there
    std::size_t size;
  };

  void from_client(BytesView data, const DatagramInfo& info);
  /// Copies a datagram that is to go on. Datagrams come in batches, but each by its own callback;
  /// what one turn brings is sent together.
  void gather(DatagramSession& session, bool to_client, BytesView data);
  void send_gathered();
  void socket_error(const std::string& whose, std::error_code error);
  void ended(DatagramSession& session);

  EventLoop& loop_;
  ProxyOptions options_;
  LogLimit log_;
  std::shared_ptr<DatagramTransport> front_;
  std::unordered_map<Address, std::shared_ptr<DatagramSession>> sessions_;
  Buffer bytes_;
  std::vector<Piece> pieces_;
  std::vector<BytesView> group_;  // of one session and direction, while it is sent
  DatagramStatistics statistics_;
  bool draining_ = false;
  Timer drain_limit_;
  Future<void> drained_;
};

}  // namespace ferry::proxy
