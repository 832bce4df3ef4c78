#pragma once

#include "datagram_proxy.h"

namespace ferry::proxy {

/// One client's datagrams, and the socket by which upstream gets them.
class DatagramSession final : public DatagramProtocol,
                              public std::enable_shared_from_this<DatagramSession> {
 public:
  DatagramSession(DatagramProxy& proxy, const DatagramInfo& client);

  /// Opens the socket; what comes meanwhile waits, to a limit.
  void open();
  /// Lets the socket go and leaves the proxy's table. The session may die by this.
  void end();
  void heard();
  void send(bool to_client, std::span<const BytesView> datagrams);
  const Address& client() const noexcept { return client_.peer; }

  void datagram_received(BytesView data, const DatagramInfo& info) override;
  void error_received(std::error_code error) override;

 private:
  void opened();
  void send_to_upstream(std::span<const BytesView> datagrams);
  void send_to_client(std::span<const BytesView> datagrams);

  DatagramProxy& proxy_;
  const DatagramInfo client_;  // with the address of ours that it sent to, if we know
  Future<DatagramEndpoint<>> opening_;
  std::shared_ptr<DatagramTransport> upstream_;  // null until it is open
  std::vector<Buffer> early_;
  std::size_t early_bytes_ = 0;
  bool over_ = false;
  Timer idle_;
};

}  // namespace ferry::proxy
