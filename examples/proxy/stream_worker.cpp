#include "stream_worker.h"

#include <ferry/tls_error.h>

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
class StreamWorker::Client final : public Protocol, public std::enable_shared_from_this<Client> {
 public:
  explicit Client(StreamWorker& worker)
      : worker_(worker), stray_(worker.loop_, [this] { transport_->abort(); }) {}

  void connection_made(std::shared_ptr<Transport> transport) override {
    ++worker_.statistics_.accepted;
    ++worker_.statistics_.active;
    transport_ = std::move(transport);
    upstream_ = worker_.connect();
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
      ++worker_.statistics_.gone;
      return worker_.finished();
    }
    if (std::exception_ptr failure = upstream_.exception()) {
      ++worker_.statistics_.failed;
      worker_.log_.log(LogLevel::warning, "no upstream for " + transport_->peername().to_string() +
                                              ": " + describe(failure));
      transport_->close();
      return worker_.finished();
    }
    const auto upstream = std::move(upstream_.result().transport);
    if (transport_->is_closing()) {  // lost in this very turn, too late to cancel
      upstream->abort();
      ++worker_.statistics_.gone;
      return worker_.finished();
    }
    relay(transport_, upstream, worker_.relay_)
        .add_done_callback(
            [&worker = worker_, client = transport_->peername().to_string()](
                Future<RelayResult> result) { worker.relayed(client, result.result()); });
    const auto heir = transport_->get_protocol();
    if (!early_.empty()) heir->data_received(early_);
    if (ended_) heir->eof_received();
  }

  StreamWorker& worker_;
  std::shared_ptr<Transport> transport_;
  Future<Connection<>> upstream_;
  Buffer early_;
  bool ended_ = false;
  Timer stray_;
};

StreamWorker::StreamWorker(EventLoop& loop, const ProxyOptions& options, ProtocolWrap upstream)
    : loop_(loop),
      options_(options),
      upstream_(std::move(upstream)),
      relay_(options.relay),
      log_(loop) {
  relay_.traffic = &statistics_.traffic;
}

std::shared_ptr<Protocol> StreamWorker::client() {
  return std::make_shared<Client>(*this);
}

Future<Connection<>> StreamWorker::connect() {
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
    options.wrap = upstream_;
    return create_unix_connection(loop_, factory, std::move(options));
  }
  ConnectOptions options;
  options.host = options_.to.host;
  options.port = options_.to.port;
  options.timeout = options_.connect_timeout;
  options.wrap = upstream_;
  return create_connection(loop_, factory, std::move(options));
}

void StreamWorker::handshake_failed(std::exception_ptr failure) {
  ++statistics_.bad_handshakes;
  log_.log(LogLevel::info, "client: " + describe(failure));
}

void StreamWorker::relayed(const std::string& client, const RelayResult& result) {
  if (result.error) {
    ++statistics_.broken;
    if (result.error.code == tls_errc::truncated) ++statistics_.truncated;
    log_.log(LogLevel::info, "client " + client + ": " + result.error.message());
  }
  finished();
}

void StreamWorker::finished() {
  if (--statistics_.active == 0 && idle_) std::exchange(idle_, {})();
}

void StreamWorker::when_idle(Function<void()> idle) {
  if (statistics_.active == 0) return idle();
  idle_ = std::move(idle);
}

StreamStatistics& StreamStatistics::operator+=(const StreamStatistics& other) {
  accepted += other.accepted;
  active += other.active;
  failed += other.failed;
  gone += other.gone;
  broken += other.broken;
  truncated += other.truncated;
  bad_handshakes += other.bad_handshakes;
  traffic.a_to_b += other.traffic.a_to_b;
  traffic.b_to_a += other.traffic.b_to_a;
  return *this;
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
