#include "datagram_session.h"

namespace ferry::proxy {

namespace {

// For a client that sends faster than the socket to upstream is opened.
constexpr std::size_t kMostEarly = 64;
constexpr std::size_t kMostEarlyBytes = 256 * 1024;
/// What may wait in a socket's queue.
constexpr std::size_t kMostQueued = 1024 * 1024;

}  // namespace

DatagramSession::DatagramSession(DatagramProxy& proxy, const DatagramInfo& client)
    : proxy_(proxy), client_{client.peer, client.local}, idle_(proxy.loop_, [this] {
        ++proxy_.statistics_.expired;
        end();
      }) {}

void DatagramSession::open() {
  DatagramOptions options;
  options.remote_host = proxy_.options_.to.host;
  options.remote_port = proxy_.options_.to.port;
  const auto self = shared_from_this();
  opening_ = create_datagram_endpoint(
      proxy_.loop_, [self]() -> std::shared_ptr<DatagramProtocol> { return self; },
      std::move(options));
  opening_.add_done_callback([self](const Future<DatagramEndpoint<>>&) { self->opened(); });
  heard();
}

void DatagramSession::opened() {
  if (over_) return;  // cancelled
  if (const std::exception_ptr failure = opening_.exception()) {
    ++proxy_.statistics_.failed;
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& error) {
      proxy_.log_.log(LogLevel::warning,
                      "no upstream for " + client().to_string() + ": " + error.what());
    }
    return end();
  }
  upstream_ = opening_.result().transport;
  opening_ = {};
  upstream_->set_write_hard_limit(kMostQueued);
  const std::vector<BytesView> views(early_.begin(), early_.end());
  send_to_upstream(views);
  std::vector<Buffer>().swap(early_);
}

void DatagramSession::end() {
  if (std::exchange(over_, true)) return;
  const auto self = shared_from_this();
  proxy_.send_gathered();  // it may hold datagrams of this session
  idle_.cancel();
  if (upstream_) upstream_->close();
  if (opening_.valid()) opening_.cancel();
  proxy_.ended(*this);
}

/// Somebody is there.
void DatagramSession::heard() {
  idle_.set(proxy_.options_.session_idle);
}

void DatagramSession::datagram_received(BytesView data, const DatagramInfo&) {
  heard();
  ++proxy_.statistics_.datagrams_to_client;
  proxy_.statistics_.traffic.b_to_a += data.size();
  proxy_.gather(*this, true, data);
}

void DatagramSession::error_received(std::error_code error) {
  proxy_.socket_error("upstream of " + client().to_string(), error);
}

void DatagramSession::send(bool to_client, std::span<const BytesView> datagrams) {
  to_client ? send_to_client(datagrams) : send_to_upstream(datagrams);
}

void DatagramSession::send_to_upstream(std::span<const BytesView> datagrams) {
  if (upstream_) return upstream_->send_each(datagrams);
  for (const BytesView data : datagrams) {
    if (early_.size() == kMostEarly || early_bytes_ + data.size() > kMostEarlyBytes) {
      ++proxy_.statistics_.dropped;
    } else {
      early_.emplace_back(data);
      early_bytes_ += data.size();
    }
  }
}

void DatagramSession::send_to_client(std::span<const BytesView> datagrams) {
  if (client_.local.empty()) return proxy_.front_->send_each(datagrams, client_.peer);
  // From the address it sent to: it would not take an answer from another.
  for (const BytesView data : datagrams) proxy_.front_->sendto(data, client_);
}

}  // namespace ferry::proxy
