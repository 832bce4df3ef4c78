// Transports and protocols: an echo over TCP, one over UDP, and a wire format of one's own.
#include "tour.h"

#include <ferry/net.h>

#include <array>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

// -- TCP: one protocol object a connection

class Echo : public ferry::Protocol {
 public:
  void connection_made(std::shared_ptr<ferry::Transport> transport) override {
    transport_ = std::move(transport);
  }
  void data_received(ferry::BytesView data) override { transport_->write(data); }

 private:
  std::shared_ptr<ferry::Transport> transport_;
};

/// Says something, and closes when it has it back.
class EchoClient : public ferry::Protocol {
 public:
  EchoClient(ferry::EventLoop& loop, std::string message)
      : message_(std::move(message)), closed_(loop) {}

  void connection_made(std::shared_ptr<ferry::Transport> transport) override {
    std::puts("TCP client: connection_made");
    transport_ = std::move(transport);
    transport_->write(message_);
  }
  void data_received(ferry::BytesView data) override {
    received_ += data.text();
    if (received_.size() < message_.size()) return;
    std::printf("TCP client: data_received: %s\n", received_.c_str());
    transport_->close();
  }
  void connection_lost(std::error_code error) override {
    std::printf("TCP client: connection_lost: %s\n", error ? error.message().c_str() : "all well");
    closed_.try_set_result();
  }
  ferry::Future<void> closed() const { return closed_; }

 private:
  std::shared_ptr<ferry::Transport> transport_;
  std::string message_;
  std::string received_;
  ferry::Future<void> closed_;
};

/// A server on any free port of this machine, and one client of it.
template <class MakeServer, class MakeClient>
void talk(ferry::EventLoop& loop, MakeServer make_server, MakeClient make_client) {
  ferry::ListenOptions here{.hosts = {"127.0.0.1"}};
  const auto server =
      loop.run_until_complete(ferry::create_server(loop, make_server, std::move(here)));
  ferry::ConnectOptions there{.host = "127.0.0.1", .port = server->port()};
  const auto client =
      loop.run_until_complete(ferry::create_connection(loop, make_client, std::move(there)));
  loop.run_until_complete(client.protocol->closed());
  server->close();
  loop.run_until_complete(server->wait_closed());
}

void echo_over_tcp(ferry::EventLoop& loop) {
  talk(
      loop, [] { return std::make_shared<Echo>(); },
      [&loop] { return std::make_shared<EchoClient>(loop, "hello"); });
}

// -- UDP: one protocol object a socket

class DatagramEcho : public ferry::DatagramProtocol {
 public:
  void connection_made(std::shared_ptr<ferry::DatagramTransport> transport) override {
    transport_ = std::move(transport);
  }
  void datagram_received(ferry::BytesView data, const ferry::DatagramInfo& info) override {
    transport_->sendto(data, info.peer);
  }

 private:
  std::shared_ptr<ferry::DatagramTransport> transport_;
};

class DatagramClient : public ferry::DatagramProtocol {
 public:
  explicit DatagramClient(ferry::EventLoop& loop) : answered_(loop) {}

  void connection_made(std::shared_ptr<ferry::DatagramTransport> transport) override {
    transport->sendto("ping");
  }
  void datagram_received(ferry::BytesView data, const ferry::DatagramInfo&) override {
    answered_.try_set_result(data.text());
  }
  ferry::Future<std::string> answered() const { return answered_; }

 private:
  ferry::Future<std::string> answered_;
};

void echo_over_udp(ferry::EventLoop& loop) {
  const auto server = loop.run_until_complete(ferry::create_datagram_endpoint(
      loop, [] { return std::make_shared<DatagramEcho>(); },
      ferry::DatagramOptions{.local_host = "127.0.0.1"}));
  const auto client = loop.run_until_complete(ferry::create_datagram_endpoint(
      loop, [&loop] { return std::make_shared<DatagramClient>(loop); },
      ferry::DatagramOptions{.remote_host = "127.0.0.1",
                             .remote_port = server.transport->sockname().port()}));
  const std::string answer = loop.run_until_complete(client.protocol->answered());
  std::printf("UDP client: %s\n", answer.c_str());
}

// -- A binary format: two bytes of length, most significant first, then so many bytes

/// A stream has no messages: they are found in what has arrived, however it was cut.
class FrameProtocol : public ferry::Protocol {
 public:
  void connection_made(std::shared_ptr<ferry::Transport> transport) override {
    transport_ = std::move(transport);
  }
  void data_received(ferry::BytesView data) final {
    received_.append(data);
    while (received_.size() >= 2) {
      const ferry::BytesView bytes = received_.view();
      const auto size =
          std::to_integer<std::size_t>(bytes[0]) << 8 | std::to_integer<std::size_t>(bytes[1]);
      if (bytes.size() < 2 + size) return;
      frame_received(bytes.drop(2).first(size));
      received_.consume(2 + size);
    }
  }
  virtual void frame_received(ferry::BytesView payload) = 0;

 protected:
  void send_frame(ferry::BytesView payload) {
    const std::size_t size = payload.size();  // at most 65,535
    const std::array<unsigned char, 2> header{static_cast<unsigned char>(size >> 8),
                                              static_cast<unsigned char>(size & 0xff)};
    transport_->writelines({header, payload});
  }
  ferry::Transport& transport() { return *transport_; }

 private:
  std::shared_ptr<ferry::Transport> transport_;
  ferry::Buffer received_;
};

class Shouter : public FrameProtocol {
  void frame_received(ferry::BytesView payload) override {
    send_frame(std::string(payload.text()) + "!");
  }
};

class FrameClient : public FrameProtocol {
 public:
  explicit FrameClient(ferry::EventLoop& loop) : closed_(loop) {}

  void connection_made(std::shared_ptr<ferry::Transport> made) override {
    FrameProtocol::connection_made(std::move(made));
    for (const char* word : {"one", "", "three"}) send_frame(word);
  }
  void frame_received(ferry::BytesView payload) override {
    std::printf("frame: \"%s\"\n", std::string(payload.text()).c_str());
    if (++frames_ == 3) transport().close();
  }
  void connection_lost(std::error_code) override { closed_.try_set_result(); }
  ferry::Future<void> closed() const { return closed_; }

 private:
  int frames_ = 0;
  ferry::Future<void> closed_;
};

void talk_in_frames(ferry::EventLoop& loop) {
  talk(
      loop, [] { return std::make_shared<Shouter>(); },
      [&loop] { return std::make_shared<FrameClient>(loop); });
}

int main() {
  ferry::EventLoop loop;
  echo_over_tcp(loop);
  echo_over_udp(loop);
  talk_in_frames(loop);
}
