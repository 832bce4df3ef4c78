#include "tls_fixture.h"

#include <utility>

namespace ferry::test {

TlsTransport& tls_of(const ConnectionRecord& record) {
  return dynamic_cast<TlsTransport&>(*record.transport());
}

ProtocolFactory giving(std::shared_ptr<Protocol> protocol) {
  return [protocol = std::move(protocol)] { return protocol; };
}

std::shared_ptr<Server> TlsTest::serve_tls(ProtocolFactory factory) {
  ListenOptions options = on_loopback();
  options.wrap = tls_server(server, server_options);
  return serve(std::move(factory), std::move(options));
}

Future<Connection<>> TlsTest::dial_tls(const Address& address, std::shared_ptr<Protocol> protocol) {
  ConnectOptions options = to(address);
  options.wrap = tls_client(client, client_options);
  return create_connection(loop(), giving(std::move(protocol)), std::move(options));
}

TlsCouple TlsTest::couple(std::shared_ptr<RecordingProtocol> client_side,
                          std::shared_ptr<RecordingProtocol> server_side) {
  TlsCouple made{client_side ? client_side : recording(), server_side ? server_side : recording()};
  const auto listener = serve_tls(giving(made.server));
  const auto connection = dial_tls(listener->sockets()[0], made.client);
  run_until([&] { return connection.done() && made.server->made(); });
  EXPECT_EQ(connection.result().transport, made.client->transport());
  listener->close();
  return made;
}

IoError TlsTest::connect_failure() {
  const auto near = recording();
  const auto far = recording();
  const auto listener = serve_tls(giving(far));
  const IoError error = failure(dial_tls(listener->sockets()[0], near), 200s);
  run_until([&] { return listener->connections() == 0; });
  listener->close();
  EXPECT_EQ(near->summary(), "");
  EXPECT_EQ(far->summary(), "");
  return error;
}

std::pair<Future<Connection<>>, std::shared_ptr<TlsPeer>> TlsTest::begin_link(
    std::shared_ptr<Protocol> near, TlsPeer::Side far, TlsVersion most) {
  auto [ours, theirs] = stream_pair(kernel().inner());
  auto peer = std::make_shared<TlsPeer>(RawPeer(kernel().inner(), std::move(theirs)), far, most);
  auto wrap = far == TlsPeer::Side::server ? tls_client(client, client_options)
                                           : tls_server(server, server_options);
  auto future =
      connect_accepted_socket(loop(), giving(std::move(near)), ours.release(), std::move(wrap));
  return {std::move(future), std::move(peer)};
}

TlsLink TlsTest::link(TlsPeer::Side far, std::shared_ptr<RecordingProtocol> near, TlsVersion most) {
  if (!near) near = recording();
  auto [future, peer] = begin_link(near, far, most);
  pump_until(*peer, [&, made = future, p = peer] { return made.done() && p->handshaken(); });
  EXPECT_EQ(future.result().transport, near->transport());
  return {std::move(near), std::move(peer)};
}

void TlsTest::pump_until(TlsPeer& peer, Function<bool()> condition, Duration limit) {
  run_until(
      [&] {
        peer.pump();
        return condition();
      },
      limit);
}

}  // namespace ferry::test
