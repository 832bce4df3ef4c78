#include "net_fixture.h"

#include <netdb.h>

#include <algorithm>

namespace ferry::test {
namespace {

class Echo final : public Protocol {
 public:
  void connection_made(std::shared_ptr<Transport> transport) override {
    transport_ = std::move(transport);
  }
  void data_received(BytesView data) override { transport_->write(data); }
  void pause_writing() override { transport_->pause_reading(); }
  void resume_writing() override { transport_->resume_reading(); }

 private:
  std::shared_ptr<Transport> transport_;
};

}  // namespace

Future<std::vector<Address>> ScriptedResolver::resolve(EventLoop& loop, const ResolveQuery& query) {
  asked.push_back(query);
  Future<std::vector<Address>> future(loop);
  if (std::find(silent.begin(), silent.end(), query.host) != silent.end()) return future;
  const auto found = names.find(query.host);
  if (found != names.end()) {
    future.set_result(found->second);
  } else {
    future.set_exception(ResolveError({EAI_NONAME, resolver_category()}, query.host));
  }
  return future;
}

BlackHole::BlackHole(Kernel& kernel) {
  if (dynamic_cast<ferry::testing::SimKernel*>(&kernel)) {
    address_ = *Address::ip("192.0.2.1", 9);
    return;
  }
  // A backlog of 0 holds one connection; Linux drops the SYNs of all others.
  listener_ = std::make_unique<RawListener>(kernel, Address::loopback(0), 0);
  address_ = listener_->address();
  for (int i = 0; i < 3; ++i) fillers_.push_back(RawPeer::connect(kernel, address_));
}

ProtocolFactory echo_factory() {
  return [] { return std::make_shared<Echo>(); };
}

ListenOptions on_loopback() {
  ListenOptions options;
  options.hosts = {"127.0.0.1"};
  return options;
}

ConnectOptions to(const Address& address) {
  ConnectOptions options;
  options.host = address.host();
  options.port = address.port();
  return options;
}

RawPeer NetTest::raw_dial(const Address& address) {
  RawPeer peer = RawPeer::connect(kernel().inner(), address);
  tick(2);  // a simulated handshake is no event for which the loop wakes up
  run_until([&] { return peer.connected() || peer.error(); });
  EXPECT_TRUE(peer.connected()) << peer.error().message();
  return peer;
}

void NetTest::run_until_eof(RawPeer& peer) {
  run_until([&] {
    peer.read();
    return peer.eof() || peer.error();
  });
}

std::size_t NetTest::open_sockets() {
  return sim() ? sim()->stats().open_sockets : open_descriptors();
}

ferry::testing::SimKernel* NetTest::sim() {
  return dynamic_cast<ferry::testing::SimKernel*>(&kernel().inner());
}

bool has_ipv6(Kernel& kernel) {
  const IoResult made = kernel.socket(AF_INET6, SOCK_STREAM, 0);
  if (!made.ok()) return false;
  const Socket socket(kernel, made.fd());
  return kernel.bind(socket.get(), *Address::ip("::1", 0)).ok();
}

}  // namespace ferry::test
