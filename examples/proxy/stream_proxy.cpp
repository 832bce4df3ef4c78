#include "stream_proxy.h"

namespace ferry::proxy {

namespace {

std::string describe(std::exception_ptr failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& error) {
    return error.what();
  }
}

}  // namespace

/// A client until upstream is there. What it sends meanwhile is kept, to a limit, and so is its end
/// of file; then `relay` speaks for both connections and is told first what it missed.
class Client final : public Protocol, public std::enable_shared_from_this<Client> {
 public:
  explicit Client(StreamProxy& proxy)
      : proxy_(proxy), stray_(proxy.loop_, [this] { transport_->abort(); }) {}

  void connection_made(std::shared_ptr<Transport> transport) override {
    ++proxy_.statistics_.accepted;
    ++proxy_.statistics_.active;
    transport_ = std::move(transport);
    upstream_ = proxy_.connect();
    upstream_.add_done_callback([self = shared_from_this()] { self->connected(); });
  }

  void data_received(BytesView data) override {
    constexpr std::size_t kMostEarly = 64 * 1024;
    early_.append(data);
    if (early_.size() >= kMostEarly) transport_->pause_reading();
  }

  bool eof_received() override {
    // It may have closed for good, or only say no more and wait for an answer: that looks the same.
    // One that never said anything is not waited for as long as others.
    constexpr Duration kStrayPatience = std::chrono::seconds(2);
    ended_ = true;
    if (early_.empty()) stray_.set(kStrayPatience);
    return true;
  }

  void connection_lost(std::error_code) override { upstream_.cancel(); }

 private:
  void connected() {
    stray_.cancel();
    if (upstream_.cancelled()) {
      ++proxy_.statistics_.gone;
      return proxy_.finished();
    }
    if (std::exception_ptr failure = upstream_.exception()) {
      ++proxy_.statistics_.failed;
      proxy_.log_.log(LogLevel::warning, "no upstream for " + transport_->peername().to_string() +
                                             ": " + describe(failure));
      transport_->close();
      return proxy_.finished();
    }
    const auto upstream = std::move(upstream_.result().transport);
    if (transport_->is_closing()) {  // lost in this very turn, too late to cancel
      upstream->abort();
      ++proxy_.statistics_.gone;
      return proxy_.finished();
    }
    relay(transport_, upstream, proxy_.options_.relay)
        .add_done_callback(
            [&proxy = proxy_, client = transport_->peername().to_string()](
                Future<RelayResult> result) { proxy.relayed(client, result.result()); });
    const auto heir = transport_->get_protocol();
    if (!early_.empty()) heir->data_received(early_);
    if (ended_) heir->eof_received();
  }

  StreamProxy& proxy_;
  std::shared_ptr<Transport> transport_;
  Future<Connection<>> upstream_;
  Buffer early_;
  bool ended_ = false;
  Timer stray_;
};

StreamProxy::StreamProxy(EventLoop& loop, ProxyOptions options)
    : loop_(loop), options_(std::move(options)), tls_(options_.tls), log_(loop), drained_(loop) {
  options_.relay.traffic = &statistics_.traffic;
}

Future<std::vector<Address>> StreamProxy::listen() {
  Future<std::vector<Address>> listening(loop_);
  create().add_done_callback([this, listening](Future<std::shared_ptr<Server>> server) {
    if (const std::exception_ptr failure = server.exception()) {
      return listening.set_exception(failure);
    }
    server_ = server.result();
    listening.set_result(server_->sockets());
  });
  return listening;
}

Future<std::shared_ptr<Server>> StreamProxy::create() {
  constexpr int kBacklog = 1024;
  const auto factory = [this] { return std::make_shared<Client>(*this); };
  ProtocolWrap wrap =
      tls_.accepting([this](std::exception_ptr failure) { handshake_failed(failure); });
  if (options_.listen.is_unix()) {
    UnixListenOptions options;
    options.path = options_.listen.path;
    options.backlog = kBacklog;
    options.max_connections = options_.max_connections;
    options.wrap = std::move(wrap);
    return create_unix_server(loop_, factory, std::move(options));
  }
  ListenOptions options;
  options.hosts = {options_.listen.host};
  options.port = options_.listen.port;
  options.backlog = kBacklog;
  options.max_connections = options_.max_connections;
  options.wrap = std::move(wrap);
  return create_server(loop_, factory, std::move(options));
}

Future<Connection<>> StreamProxy::connect() {
  // The protocol of the one turn between connection_made and relay: nothing may be read in it.
  class Upstream final : public Protocol {
   public:
    void connection_made(std::shared_ptr<Transport> transport) override {
      transport->pause_reading();
    }
  };
  const auto factory = []() -> std::shared_ptr<Protocol> { return std::make_shared<Upstream>(); };
  if (options_.to.is_unix()) {
    UnixConnectOptions options;
    options.path = options_.to.path;
    options.timeout = options_.connect_timeout;
    options.wrap = tls_.connecting();
    return create_unix_connection(loop_, factory, std::move(options));
  }
  ConnectOptions options;
  options.host = options_.to.host;
  options.port = options_.to.port;
  options.timeout = options_.connect_timeout;
  options.wrap = tls_.connecting();
  return create_connection(loop_, factory, std::move(options));
}

Future<void> StreamProxy::drain() {
  server_->drain(options_.drain_timeout).add_done_callback([this](Future<std::size_t> aborted) {
    clients_ended_ = true;
    if (const std::size_t count = aborted.result(); count > 0) {
      loop_.log(LogLevel::warning, "drain limit: aborted " + std::to_string(count));
      drained_.try_set_result();
    } else if (statistics_.active == 0) {
      drained_.try_set_result();
    }
  });
  return drained_;
}

void StreamProxy::handshake_failed(std::exception_ptr failure) {
  ++statistics_.bad_handshakes;
  log_.log(LogLevel::info, "client: " + describe(failure));
}

void StreamProxy::relayed(const std::string& client, const RelayResult& result) {
  if (result.error) {
    ++statistics_.broken;
    if (result.error.code == tls_errc::truncated) ++statistics_.truncated;
    log_.log(LogLevel::info, "client " + client + ": " + result.error.message());
  }
  finished();
}

void StreamProxy::finished() {
  if (--statistics_.active == 0 && clients_ended_) drained_.try_set_result();
}

std::string StreamStatistics::to_string() const {
  return "accepted=" + std::to_string(accepted) + " active=" + std::to_string(active) +
         " failed=" + std::to_string(failed) + " gone=" + std::to_string(gone) +
         " broken=" + std::to_string(broken) + " truncated=" + std::to_string(truncated) +
         " bad_handshakes=" + std::to_string(bad_handshakes) +
         " to_upstream=" + std::to_string(traffic.a_to_b) +
         " to_client=" + std::to_string(traffic.b_to_a);
}

}  // namespace ferry::proxy
