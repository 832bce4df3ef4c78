#include "descriptors.h"
#include "options.h"
#include "tls.h"

#include <ferry/group_server.h>
#include <ferry/net.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <optional>
#include <vector>

namespace ferry::bench {

namespace {

/// What all echo protocols do: answer, and stop reading while the peer does not take the answers.
template <class Base>
class Echo : public Base {
 public:
  void connection_made(std::shared_ptr<Transport> transport) override {
    transport_ = std::move(transport);
  }
  void pause_writing() override { transport_->pause_reading(); }
  void resume_writing() override { transport_->resume_reading(); }

 protected:
  /// One message, or one chunk where there are no messages.
  void handle(BytesView message) { transport_->write(message); }
  /// Handles the whole messages at the front of `bytes`; returns how many bytes those are.
  std::size_t handle_all(BytesView bytes, std::size_t size) {
    std::size_t done = 0;
    for (; bytes.size() - done >= size; done += size) handle({bytes.data() + done, size});
    return done;
  }

 private:
  std::shared_ptr<Transport> transport_;
};

class EchoChunks final : public Echo<Protocol> {
 public:
  void data_received(BytesView data) override { handle(data); }
};

class EchoMessages final : public Echo<Protocol> {
 public:
  explicit EchoMessages(std::size_t size) : size_(size) {}

  void data_received(BytesView data) override {
    if (!begun_.empty()) {
      const BytesView rest = data.first(size_ - begun_.size());
      begun_.append(rest);
      data = data.drop(rest.size());
      if (begun_.size() < size_) return;
      handle(begun_);
      begun_.clear();
    }
    data = data.drop(handle_all(data, size_));
    if (!data.empty()) begun_.append(data);
  }

 private:
  std::size_t size_;
  Buffer begun_;  // the first bytes of a message whose end has not come
};

/// Both kinds on BufferedProtocol: the transport reads straight into this object's memory.
class BufferedEcho final : public Echo<BufferedProtocol> {
 public:
  /// `size` 0: chunks.
  explicit BufferedEcho(std::size_t size) : size_(size), memory_(std::max(size, kMemory)) {}

  MutableBytes get_buffer(std::size_t) override { return MutableBytes(memory_).subspan(filled_); }
  void buffer_updated(std::size_t size) override {
    filled_ += size;
    const BytesView content(memory_.data(), filled_);
    std::size_t done = filled_;
    if (size_ == 0) {
      handle(content);
    } else {
      done = handle_all(content, size_);
    }
    filled_ -= done;
    // Less than a message: the next read goes behind it.
    if (done > 0 && filled_ > 0) std::memmove(memory_.data(), memory_.data() + done, filled_);
  }

 private:
  static constexpr std::size_t kMemory = 64 * 1024;

  std::size_t size_;
  std::size_t filled_ = 0;
  std::vector<std::byte> memory_;
};

/// Sends each datagram back to where it came from.
class EchoDatagrams final : public DatagramProtocol {
 public:
  void connection_made(std::shared_ptr<DatagramTransport> transport) override {
    transport_ = std::move(transport);
  }
  void datagram_received(BytesView data, const DatagramInfo& info) override {
    transport_->sendto(data, info.peer);
  }
  void pause_writing() override { transport_->pause_reading(); }
  void resume_writing() override { transport_->resume_reading(); }

 private:
  std::shared_ptr<DatagramTransport> transport_;
};

void serve_datagrams(EventLoop& loop, const Endpoint& at) {
  DatagramOptions options;
  options.local_host = at.host;
  options.local_port = at.port;
  const auto endpoint = loop.run_until_complete(create_datagram_endpoint(
      loop, [] { return std::make_shared<EchoDatagrams>(); }, std::move(options)));
  std::printf("listening on %s\n", endpoint.transport->sockname().to_string().c_str());
  std::fflush(stdout);
  loop.run_forever();
}

}  // namespace

int serve(const ServeOptions& options) {
  raise_descriptor_limit(0);
  EventLoop loop;
  loop.set_log_sink(stderr_log_sink());
  for (const int signal_number : {SIGTERM, SIGINT}) {
    loop.add_signal_handler(signal_number, [&loop] { loop.stop(); });
  }
  if (options.udp) {
    serve_datagrams(loop, options.at);
    return 0;
  }
  std::optional<LoopGroup> group;
  const auto factory = [&options]() -> std::shared_ptr<Protocol> {
    if (options.buffered) return std::make_shared<BufferedEcho>(options.message);
    if (options.message > 0) return std::make_shared<EchoMessages>(options.message);
    return std::make_shared<EchoChunks>();
  };
  ListenOptions listen;
  listen.hosts = {options.at.host};
  listen.port = options.at.port;
  listen.backlog = 1024;
  if (options.at.tls) listen.wrap = serving_tls(options);
  std::shared_ptr<Server> server;
  if (options.loops == 0) {
    server = loop.run_until_complete(create_server(loop, factory, std::move(listen)));
  } else {
    group.emplace(LoopGroupOptions{
        .loops = options.loops,
        .setup = [](EventLoop& one, std::size_t) { one.set_log_sink(stderr_log_sink()); }});
    group->start();
    server = loop.run_until_complete(create_server(
        loop, *group, [factory](EventLoop&) { return factory(); }, std::move(listen),
        options.reuse_port ? Spread::reuse_port : Spread::least_loaded));
  }
  for (const Address& address : server->sockets()) {
    std::printf("listening on %s\n", address.to_string().c_str());
  }
  std::fflush(stdout);
  loop.run_forever();
  return 0;
}

}  // namespace ferry::bench
