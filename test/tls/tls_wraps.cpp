// What other wraps and TLS are to each other, above and below.
#include "tls_fixture.h"

#include <ferry/wraps.h>

#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace ferry::test {

class TlsWraps : public TlsTest {
 protected:
  Link open_wrapped(std::shared_ptr<Protocol> protocol, ProtocolWrap wrap) {
    ConnectedSockets sockets = connect_sockets();
    const auto made = wait(connect_accepted_socket(loop(), giving(std::move(protocol)),
                                                   sockets.near, std::move(wrap)));
    return {made.transport, std::move(sockets.far)};
  }
};
INSTANTIATE_WORLDS(TlsWraps);

TEST_P(TlsWraps, StartTlsWorksThroughWraps) {
  const auto near = recording();
  const auto far = recording();
  Link link = open_wrapped(
      near, stacked({rate_limit({.read = {10'000'000}, .write = {10'000'000}}), idle_limit(1min)}));
  const auto other = adopt(link.peer->take().release(), far);
  near->write("STARTTLS");
  run_until([&] { return far->bytes() == 8; });
  const auto client_side = start_tls(link.transport, client, client_options);
  const auto server_side = start_tls(other, server);
  const auto a = wait(client_side);
  const auto b = wait(server_side);
  a->write(pattern(300'000));
  b->write(pattern(300'000));
  run_until([&] { return near->bytes() == 300'000 && far->bytes() == 300'008; });
  EXPECT_TRUE(near->data() == pattern(300'000));
  a->close();
  run_until([&] { return near->lost() && far->lost(); });
  EXPECT_EQ(near->summary(), "made data:300000 lost:ok");
}

TEST_P(TlsWraps, AnIdleLimitBelowTlsEndsAHandshakeThatStandsStill) {
  const auto near = recording();
  ConnectedSockets sockets = connect_sockets();
  const IoError error = failure(connect_accepted_socket(
      loop(), giving(near), sockets.near, stacked({idle_limit(100ms), tls_server(server)})));
  EXPECT_EQ(error.code(), errc::timed_out);
  EXPECT_EQ(near->summary(), "");
}

TEST_P(TlsWraps, AWrapAboveTlsHearsOfNothingIfTheHandshakeFails) {
  const auto near = recording();
  ConnectedSockets sockets = connect_sockets();
  sockets.far->send("this is no TLS");
  const IoError error = failure(connect_accepted_socket(
      loop(), giving(near), sockets.near, stacked({tls_server(server), idle_limit(100ms)})));
  EXPECT_TRUE(error.code());
  EXPECT_EQ(near->summary(), "");
}

TEST_P(TlsWraps, AConnectionLimitCountsExactlyWhenHandshakesFail) {
  const auto limit = std::make_shared<ConnectionLimit>(ConnectionLimits{.total = 1});
  RecordingFactory<> served;
  ListenOptions options = on_loopback();
  options.wrap = tls_server(server);
  options.gate = limit;
  const auto listener = serve(served.factory(), options);
  for (int i = 0; i < 3; ++i) {
    RawPeer peer = raw_dial(listener->sockets()[0]);
    run_until([&] { return limit->connections() == 1; });
    peer.write("this is no TLS");
    run_until_eof(peer);
    run_until([&] { return limit->connections() == 0; });
  }
  EXPECT_EQ(limit->refused(), 0u);
  listener->close();
}

TEST_P(TlsWraps, ATrafficLogAboveTlsHasThePlainBytesAndBelowItNone) {
  const auto path =
      (std::filesystem::temp_directory_path() / ("ferry-tls-traffic-" + std::to_string(::getpid())))
          .string();
  const auto contents = [&] {
    std::ifstream in(path, std::ios::binary);
    return std::string{std::istreambuf_iterator<char>(in), {}};
  };
  for (const bool above : {true, false}) {
    const auto log = TrafficLog::open(loop(), {.path = path});
    const auto near = recording();
    const auto far = recording();
    ListenOptions listen = on_loopback();
    listen.wrap = above ? stacked({tls_server(server), log->server()})
                        : stacked({log->server(), tls_server(server)});
    const auto listener = serve(giving(far), listen);
    wait(dial_tls(listener->sockets()[0], near));
    near->write("a secret that is told");
    run_until([&] { return far->bytes() == 21; });
    far->close();
    run_until([&] { return near->lost() && far->lost(); });
    listener->close();
    wait(log->close());
    EXPECT_EQ(contents().find("a secret that is told") != std::string::npos, above);
    EXPECT_GT(log->stats().packets, 4u);
  }
  std::filesystem::remove(path);
}

}  // namespace ferry::test
