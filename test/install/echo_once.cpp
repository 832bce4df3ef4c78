// A user's program: an echo server and its client on one loop, against the installed library.
#include <ferry/net.h>

#include <cstdio>
#include <string>

namespace {

struct Echo : ferry::Protocol {
  std::shared_ptr<ferry::Transport> transport;
  void connection_made(std::shared_ptr<ferry::Transport> t) override { transport = std::move(t); }
  void data_received(ferry::BytesView data) override { transport->write(data); }
  void connection_lost(std::error_code) override { transport.reset(); }
};

struct Client : Echo {
  std::string received;
  void connection_made(std::shared_ptr<ferry::Transport> t) override {
    Echo::connection_made(std::move(t));
    transport->write("over the installed library\n");
  }
  void data_received(ferry::BytesView data) override {
    received += data.text();
    if (received.back() == '\n') transport->close();
  }
  void connection_lost(std::error_code) override { transport->loop().stop(); }
};

}  // namespace

int main() {
  ferry::EventLoop loop;
  auto server = loop.run_until_complete(ferry::create_server(
      loop, [] { return std::make_shared<Echo>(); }, {.hosts = {"127.0.0.1"}}));
  auto client = std::make_shared<Client>();
  auto connected = ferry::create_connection(loop, [client] { return client; },
                                            {.host = "127.0.0.1", .port = server->port()});
  loop.run_forever();
  std::fputs(client->received.c_str(), stdout);
  return client->received == "over the installed library\n" ? 0 : 1;
}
