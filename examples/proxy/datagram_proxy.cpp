#include "datagram_proxy.h"

#include "datagram_session.h"

#include <algorithm>

namespace ferry::proxy {

/// The socket that clients send to.
class DatagramProxy::Front final : public DatagramProtocol {
 public:
  explicit Front(DatagramProxy& proxy) : proxy_(proxy) {}

  void datagram_received(BytesView data, const DatagramInfo& info) override {
    proxy_.from_client(data, info);
  }
  void error_received(std::error_code error) override { proxy_.socket_error("clients", error); }

 private:
  DatagramProxy& proxy_;
};

DatagramProxy::DatagramProxy(EventLoop& loop, ProxyOptions options)
    : loop_(loop),
      options_(std::move(options)),
      log_(loop),
      drain_limit_(loop,
                   [this] {
                     loop_.log(LogLevel::warning,
                               "drain limit: ended " + std::to_string(sessions_.size()));
                     while (!sessions_.empty()) sessions_.begin()->second->end();
                   }),
      drained_(loop) {}

DatagramProxy::~DatagramProxy() = default;

Future<std::vector<Address>> DatagramProxy::listen() {
  constexpr std::size_t kMostQueued = 4 * 1024 * 1024;
  const std::string& host = options_.listen.host;
  const bool wildcard = host.empty() || host == "0.0.0.0" || host == "::";
  DatagramOptions options;
  options.local_host = host.empty() ? "0.0.0.0" : host;
  options.local_port = options_.listen.port;
  options.receive_info = wildcard;
  Future<std::vector<Address>> listening(loop_);
  create_datagram_endpoint(
      loop_, [this] { return std::make_shared<Front>(*this); }, std::move(options))
      .add_done_callback([this, listening](Future<DatagramEndpoint<Front>> endpoint) {
        if (const std::exception_ptr failure = endpoint.exception()) {
          return listening.set_exception(failure);
        }
        front_ = endpoint.result().transport;
        front_->set_write_hard_limit(kMostQueued);
        listening.set_result(std::vector{front_->sockname()});
      });
  return listening;
}

Future<void> DatagramProxy::drain() {
  draining_ = true;
  if (sessions_.empty()) {
    drained_.try_set_result();
  } else {
    drain_limit_.set(options_.drain_timeout);
  }
  return drained_;
}

void DatagramProxy::from_client(BytesView data, const DatagramInfo& info) {
  auto found = sessions_.find(info.peer);
  if (found == sessions_.end()) {
    if (draining_ || sessions_.size() >= options_.max_sessions) {
      ++statistics_.refused;
      return log_.log(LogLevel::warning, "no session for " + info.peer.to_string() + ": " +
                                             (draining_ ? "ending" : "there are too many"));
    }
    ++statistics_.accepted;
    ++statistics_.active;
    found = sessions_.emplace(info.peer, std::make_shared<DatagramSession>(*this, info)).first;
    found->second->open();
  }
  DatagramSession& session = *found->second;
  session.heard();
  ++statistics_.datagrams_to_upstream;
  statistics_.traffic.a_to_b += data.size();
  gather(session, false, data);
}

void DatagramProxy::gather(DatagramSession& session, bool to_client, BytesView data) {
  constexpr std::size_t kMost = 256;
  constexpr std::size_t kMostBytes = 256 * 1024;
  if (pieces_.empty()) loop_.call_soon([this] { send_gathered(); });
  bytes_.append(data);
  pieces_.push_back({&session, to_client, {}, data.size()});
  if (pieces_.size() >= kMost || bytes_.size() >= kMostBytes) send_gathered();
}

void DatagramProxy::send_gathered() {
  if (pieces_.empty()) return;
  BytesView rest = bytes_;
  for (Piece& piece : pieces_) {
    piece.view = rest.first(piece.size);
    rest = rest.drop(piece.size);
  }
  const auto key = [](const Piece& piece) { return std::pair(piece.session, piece.to_client); };
  std::stable_sort(pieces_.begin(), pieces_.end(),
                   [key](const Piece& a, const Piece& b) { return key(a) < key(b); });
  for (auto begin = pieces_.begin(); begin != pieces_.end();) {
    const auto end =
        std::find_if(begin, pieces_.end(), [&](const Piece& p) { return key(p) != key(*begin); });
    group_.clear();
    std::for_each(begin, end, [this](const Piece& piece) { group_.push_back(piece.view); });
    begin->session->send(begin->to_client, group_);
    begin = end;
  }
  pieces_.clear();
  bytes_.clear();
}

void DatagramProxy::socket_error(const std::string& whose, std::error_code error) {
  ++(error == errc::write_overflow ? statistics_.dropped : statistics_.errors);
  log_.log(LogLevel::info, whose + ": " + error.message());
}

void DatagramProxy::ended(DatagramSession& session) {
  --statistics_.active;
  sessions_.erase(session.client());
  if (draining_ && sessions_.empty()) {
    drain_limit_.cancel();
    drained_.try_set_result();
  }
}

std::string DatagramStatistics::to_string() const {
  return "accepted=" + std::to_string(accepted) + " active=" + std::to_string(active) +
         " expired=" + std::to_string(expired) + " refused=" + std::to_string(refused) +
         " failed=" + std::to_string(failed) + " errors=" + std::to_string(errors) +
         " dropped=" + std::to_string(dropped) +
         " datagrams_to_upstream=" + std::to_string(datagrams_to_upstream) +
         " datagrams_to_client=" + std::to_string(datagrams_to_client) +
         " to_upstream=" + std::to_string(traffic.a_to_b) +
         " to_client=" + std::to_string(traffic.b_to_a);
}

}  // namespace ferry::proxy
