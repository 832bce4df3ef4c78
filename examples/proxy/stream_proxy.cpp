#include "stream_proxy.h"

#include <ferry/group_server.h>

#include <algorithm>

namespace ferry::proxy {

namespace {

constexpr int kBacklog = 1024;

}  // namespace

StreamProxy::StreamProxy(EventLoop& loop, ProxyOptions options, Log log)
    : loop_(loop), options_(std::move(options)), tls_(options_.tls), drained_(loop) {
  const ClientLimits& clients = options_.clients;
  if (!clients.traffic_log.empty()) {
    traffic_log_ = TrafficLog::open(loop, {.path = clients.traffic_log});
  }
  if (clients.per_address > 0) {
    gate_ = std::make_shared<ConnectionLimit>(ConnectionLimits{.per_peer = clients.per_address});
  }
  if (options_.loops != 1) {
    start_group(log);
  } else {
    workers_.push_back(std::make_unique<StreamWorker>(loop, options_, tls_.connecting()));
  }
}

void StreamProxy::start_group(Log log) {
  LoopGroupOptions options;
  options.loops = options_.loops;
  options.name = "proxy";
  options.setup = [this, log](EventLoop& loop, std::size_t index) {
    loop.set_log_sink(log);
    workers_[index] = std::make_unique<StreamWorker>(loop, options_, tls_.connecting());
  };
  group_.emplace(std::move(options));
  workers_.resize(group_->size());
  group_->start();
}

void StreamProxy::stop() {
  stopped_ = true;
  if (!group_) return loop_.close();
  group_->stop();
  group_->join();
  loop_.close();
}

StreamWorker& StreamProxy::worker() {
  const EventLoop* const loop = running_loop();
  return **std::find_if(workers_.begin(), workers_.end(),
                        [loop](const auto& worker) { return &worker->loop() == loop; });
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

/// What lies between a client's socket and its protocol, from below.
ProtocolWrap StreamProxy::wrap() {
  const Rate rate{.bytes_per_second = options_.clients.bytes_per_second};
  return stacked({
      rate.bytes_per_second > 0 ? rate_limit({.read = rate, .write = rate}) : ProtocolWrap(),
      tls_.accepting([this](std::exception_ptr failure) { worker().handshake_failed(failure); }),
      traffic_log_ ? traffic_log_->server() : ProtocolWrap(),
  });
}

Future<std::shared_ptr<Server>> StreamProxy::create() {
  return options_.listen.is_unix() ? create_unix() : create_tcp();
}

Future<std::shared_ptr<Server>> StreamProxy::create_tcp() {
  ListenOptions options;
  options.hosts = {options_.listen.host};
  options.port = options_.listen.port;
  options.backlog = kBacklog;
  options.max_connections = options_.max_connections;
  options.gate = gate_;
  options.wrap = wrap();
  if (!group_)
    return create_server(
        loop_, [this] { return worker().client(); }, options);
  return create_server(
      loop_, *group_, [this](EventLoop&) { return worker().client(); }, options);
}

Future<std::shared_ptr<Server>> StreamProxy::create_unix() {
  UnixListenOptions options;
  options.path = options_.listen.path;
  options.backlog = kBacklog;
  options.max_connections = options_.max_connections;
  options.gate = gate_;
  options.wrap = wrap();
  if (!group_)
    return create_unix_server(
        loop_, [this] { return worker().client(); }, options);
  return create_unix_server(
      loop_, *group_, [this](EventLoop&) { return worker().client(); }, options);
}

Future<void> StreamProxy::drain() {
  server_->drain(options_.drain_timeout).add_done_callback([this](Future<std::size_t> aborted) {
    if (const std::size_t count = aborted.result(); count > 0) {
      loop_.log(LogLevel::warning, "drain limit: aborted " + std::to_string(count));
      drained_.try_set_result();
    } else {
      wait_until_idle();
    }
  });
  return drained_;
}

/// The clients have gone; upstream may still be getting what they sent.
void StreamProxy::wait_until_idle() {
  busy_workers_ = workers_.size();
  for (const auto& worker : workers_) {
    const auto idle = [this] {
      loop_.call_soon_threadsafe([this] {
        if (--busy_workers_ == 0) drained_.try_set_result();
      });
    };
    worker->loop().call_soon_threadsafe([&worker = *worker, idle] { worker.when_idle(idle); });
  }
}

std::string StreamProxy::statistics() {
  StreamStatistics sum;
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    if (!group_ || stopped_) {
      sum += workers_[i]->statistics();
      continue;
    }
    try {
      sum += group_->run_on(i, [&worker = *workers_[i]](EventLoop&) { return worker.statistics(); })
                 .get();
    } catch (const std::future_error&) {
      // That loop has failed, and said so.
    }
  }
  std::string text = sum.to_string();
  if (gate_) text += " too_many=" + std::to_string(gate_->refused());
  return text;
}

}  // namespace ferry::proxy
