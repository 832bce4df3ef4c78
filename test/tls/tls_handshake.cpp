// When connection_made comes, and everything that keeps it from coming.
#include "tls_fixture.h"

#include <gtest/gtest.h>

#include <string>

namespace ferry::test {

class TlsHandshake : public TlsTest {};
INSTANTIATE_WORLDS(TlsHandshake);

TEST_P(TlsHandshake, C0500_ConnectionMadeComesOnlyAfterTheHandshake) {
  const auto near = recording();
  near->on_made = [&] {
    TlsTransport& tls = tls_of(*near);
    EXPECT_EQ(tls.version(), TlsVersion::tls1_3);
    EXPECT_NE(tls.cipher(), "");
    EXPECT_GE(tls.cipher_bits(), 128);
    EXPECT_FALSE(tls.resumed());
    EXPECT_FALSE(tls.peername().empty());
    EXPECT_FALSE(tls.sockname().empty());
    EXPECT_GE(tls.native_handle(), 0);
    ASSERT_TRUE(tls.peer_certificate());
    EXPECT_EQ(tls.peer_certificate()->subject, "CN=ferry test");
  };
  auto [future, peer] = begin_link(near, TlsPeer::Side::server);
  run_for(100ms);
  EXPECT_FALSE(near->made());
  EXPECT_FALSE(future.done());
  pump_until(*peer, [&, f = future] { return f.done(); });
  EXPECT_TRUE(near->made());
  EXPECT_EQ(future.result().transport, near->transport());
  EXPECT_EQ(future.result().protocol, near);
}

TEST_P(TlsHandshake, C0500_TheServerSideToo) {
  const auto near = recording();
  auto [future, peer] = begin_link(near, TlsPeer::Side::client);
  run_for(100ms);
  EXPECT_FALSE(near->made());
  pump_until(*peer, [&, f = future] { return f.done(); });
  EXPECT_TRUE(near->made());
  EXPECT_FALSE(tls_of(*near).peer_certificate());
}

TEST_P(TlsHandshake, C0501_AnUnknownAuthorityFailsTheConnectAndTheServerGoesOn) {
  const auto good = client;
  client = client_context({.trust = TestCa("another CA").trust()});
  const auto far = recording();
  const auto far_again = recording();
  int connections = 0;
  const auto listener =
      serve_tls([&]() -> std::shared_ptr<Protocol> { return connections++ ? far_again : far; });
  const auto near = recording();
  const IoError error = failure(dial_tls(listener->sockets()[0], near));
  EXPECT_EQ(error.code(), tls_errc::certificate_verify_failed);
  EXPECT_STREQ(error.operation(), "TLS handshake");
  EXPECT_EQ(error.address(), listener->sockets()[0]);
  EXPECT_NE(std::string(error.what()).find("unable to get local issuer certificate"),
            std::string::npos)
      << error.what();
  run_until([&] { return listener->connections() == 0; });
  EXPECT_EQ(near->summary(), "");
  EXPECT_EQ(far->summary(), "");

  client = good;
  const auto next = recording();
  wait(dial_tls(listener->sockets()[0], next));
  next->write("hello");
  run_until([&] { return far_again->bytes() == 5; });
}

TEST_P(TlsHandshake, C0502_TheNameInTheCertificateIsChecked) {
  const auto connect_as = [this](std::optional<std::string> name) {
    client_options.server_hostname = std::move(name);
    const TlsCouple pair = couple();
    EXPECT_TRUE(tls_of(*pair.client).peer_certificate());
    pair.client->close();
    run_until([&] { return pair.client->lost() && pair.server->lost(); });
    return pair.server;
  };
  connect_as("localhost");
  EXPECT_EQ(tls_of(*connect_as("LOCALHOST.")).server_name(), "LOCALHOST");
  EXPECT_EQ(tls_of(*connect_as("127.0.0.1")).server_name(), "");
  connect_as("::1");
  connect_as(std::nullopt);  // the host: 127.0.0.1
  connect_as("");
  for (const char* wrong : {"example.com", "127.0.0.2", "::2", "local", "a.localhost"}) {
    client_options.server_hostname = wrong;
    const IoError error = connect_failure();
    EXPECT_EQ(error.code(), tls_errc::certificate_verify_failed) << wrong;
    EXPECT_NE(std::string(error.what()).find("mismatch"), std::string::npos) << error.what();
  }
}

TEST_P(TlsHandshake, C0502_AnExpiredCertificateIsNoGood) {
  server = server_context({.identity = TestCa::shared().issue({.expired = true})});
  const IoError error = connect_failure();
  EXPECT_EQ(error.code(), tls_errc::certificate_verify_failed);
  EXPECT_NE(std::string(error.what()).find("expired"), std::string::npos) << error.what();
}

TEST_P(TlsHandshake, C0502_VerificationCanBeSwitchedOff) {
  client = TlsContext::client({.verify = false});
  server = server_context({.identity = TestCa("nobody's").issue({.expired = true})});
  client_options.server_hostname = "some.where";
  const TlsCouple pair = couple();
  EXPECT_EQ(tls_of(*pair.server).server_name(), "some.where");
}

TEST_P(TlsHandshake, C0502_WithoutAHostTheNameMustBeSet) {
  client_options.server_hostname.reset();
  auto [future, peer] = begin_link(recording(), TlsPeer::Side::server);
  EXPECT_THROW(wait(future), std::invalid_argument);
}

TEST_P(TlsHandshake, C0504_AlpnChoosesTheServersFirstThatTheClientHas) {
  TlsServerOptions options;
  options.alpn = {"h2", "http/1.1"};
  server = server_context(options);
  TlsClientOptions client_has;
  client_has.alpn = {"http/1.1"};
  client = client_context(client_has);
  const auto near = recording();
  const auto far = recording();
  near->on_made = [&] { EXPECT_EQ(tls_of(*near).alpn(), "http/1.1"); };
  far->on_made = [&] { EXPECT_EQ(tls_of(*far).alpn(), "http/1.1"); };
  couple(near, far);

  client_has.alpn = {"smtp"};
  client = client_context(client_has);
  const TlsCouple none = couple();
  EXPECT_EQ(tls_of(*none.client).alpn(), "");
  EXPECT_EQ(tls_of(*none.server).alpn(), "");

  options.require_alpn = true;
  server = server_context(options);
  const IoError error = connect_failure();
  EXPECT_EQ(error.code(), tls_errc::peer_alert);
  EXPECT_NE(std::string(error.what()).find("no application protocol"), std::string::npos)
      << error.what();
}

TEST_P(TlsHandshake, C0505_ARequiredClientCertificateIsMissing) {
  TlsServerOptions options;
  options.client_certificates = ClientCertificates::required;
  options.trust = TestCa::shared().trust();
  server = server_context(options);
  loop().set_debug(true);
  const auto far = recording();
  const auto listener = serve_tls(giving(far));
  const auto near = recording();
  // In TLS 1.3 the client is done before the server has looked at its certificate.
  wait(dial_tls(listener->sockets()[0], near));
  run_until([&] { return near->lost(); });
  EXPECT_EQ(near->error(), tls_errc::peer_alert);
  EXPECT_NE(near->error().message().find("certificate required"), std::string::npos)
      << near->error().message();
  run_until([&] { return listener->connections() == 0; });
  EXPECT_EQ(far->summary(), "");
  const auto told = take_exceptions();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_NE(told[0].to_string().find("TLS handshake"), std::string::npos) << told[0].to_string();
  EXPECT_TRUE(listener->is_serving());
  loop().set_debug(false);
  take_log();
}

TEST_P(TlsHandshake, C0505_AClientCertificateIsVerifiedAndShown) {
  TlsServerOptions options;
  options.client_certificates = ClientCertificates::optional;
  options.trust = TestCa::shared().trust();
  server = server_context(options);
  const TlsCouple anonymous = couple();
  EXPECT_FALSE(tls_of(*anonymous.server).peer_certificate());

  client = client_context({.identity = TestCa::shared().issue({.common_name = "Alice"})});
  const TlsCouple alice = couple();
  ASSERT_TRUE(tls_of(*alice.server).peer_certificate());
  EXPECT_EQ(tls_of(*alice.server).peer_certificate()->subject, "CN=Alice");

  client = client_context({.identity = TestCa("a stranger").issue()});
  const auto listener = serve_tls([this] { return recording(); });
  const auto near = recording();
  wait(dial_tls(listener->sockets()[0], near));
  run_until([&] { return near->lost(); });
  EXPECT_EQ(near->error(), tls_errc::peer_alert);
}

TEST_P(TlsHandshake, C0506_AHandshakeThatTakesTooLongIsGivenUp) {
  client_options.handshake_timeout = 1s;
  const auto near = recording();
  const TimePoint start = loop().time();
  auto [future, peer] = begin_link(near, TlsPeer::Side::server);
  const IoError error = failure(future);
  EXPECT_GE(loop().time() - start, 1s);
  EXPECT_EQ(error.code(), tls_errc::handshake_timed_out);
  EXPECT_EQ(error.code(), std::errc::timed_out);
  EXPECT_NE(std::string(error.what()).find("is taking longer"), std::string::npos) << error.what();
  run_until_eof(peer->socket());
  EXPECT_EQ(near->summary(), "");
}

TEST_P(TlsHandshake, C0506_AServerReapsStalledHandshakes) {
  server_options.handshake_timeout = 3s;
  const auto listener = serve_tls([this] { return recording(); });
  std::vector<RawPeer> stalled;
  for (int i = 0; i < 50; ++i) stalled.push_back(raw_dial(listener->sockets()[0]));
  run_until([&] { return listener->connections() == 50; });
  const auto near = recording();
  wait(dial_tls(listener->sockets()[0], near));
  run_until([&] { return listener->connections() == 1; });
  EXPECT_FALSE(near->lost());
}

TEST_P(TlsHandshake, NoMoreHandshakesAtOnceThanAllowed) {
  server_options.max_handshakes = 3;
  const auto listener = serve_tls([this] { return recording(); });
  std::vector<RawPeer> stalled;
  for (int i = 0; i < 3; ++i) stalled.push_back(raw_dial(listener->sockets()[0]));
  run_until([&] { return listener->connections() == 3; });
  const IoError error = failure(dial_tls(listener->sockets()[0], recording()));
  EXPECT_EQ(error.code(), std::errc::connection_reset) << error.what();
  stalled.pop_back();
  run_until([&] { return listener->connections() == 2; });
  const auto near = recording();
  wait(dial_tls(listener->sockets()[0], near));
  EXPECT_TRUE(near->made());
}

TEST_P(TlsHandshake, C0508_BadTimeoutsAndContextsAreRefused) {
  for (const Duration bad : {Duration(0), Duration(-10s)}) {
    EXPECT_THROW(tls_client(client, {.handshake_timeout = bad}), std::invalid_argument);
    EXPECT_THROW(tls_client(client, {.shutdown_timeout = bad}), std::invalid_argument);
    EXPECT_THROW(tls_server(server, {.handshake_timeout = bad}), std::invalid_argument);
    EXPECT_THROW(tls_server(server, {.shutdown_timeout = bad}), std::invalid_argument);
  }
  EXPECT_THROW(tls_client(nullptr), std::invalid_argument);
  EXPECT_THROW(tls_client(server), std::invalid_argument);
  EXPECT_THROW(tls_server(client), std::invalid_argument);
  EXPECT_THROW(tls_server(server, {.server_hostname = "x"}), std::invalid_argument);
}

TEST_P(TlsHandshake, C0509_ThePeerClosesDuringTheHandshake) {
  const auto near = recording();
  auto [future, peer] = begin_link(near, TlsPeer::Side::server);
  run_until([&, p = peer] { return !p->socket().read().empty(); });
  peer->socket().close();
  const IoError error = failure(future);
  EXPECT_EQ(error.code(), std::errc::connection_reset);
  EXPECT_EQ(near->summary(), "");
}

TEST_P(TlsHandshake, C0510_ThePeerResetsDuringTheHandshake) {
  const auto near = recording();
  auto [future, peer] = begin_link(near, TlsPeer::Side::server);
  run_until([&, p = peer] { return !p->socket().read().empty(); });
  peer->socket().reset();
  const IoError error = failure(future);
  EXPECT_EQ(error.code(), std::errc::connection_reset);
  EXPECT_STREQ(error.operation(), "recv");
  EXPECT_EQ(near->summary(), "");
}

TEST_P(TlsHandshake, C0513_APeerThatSpeaksPlainText) {
  const auto near = recording();
  auto [future, peer] = begin_link(near, TlsPeer::Side::server);
  peer->socket().write("HTTP/1.0 400 Bad Request\r\n\r\n");
  const IoError error = failure(future);
  EXPECT_EQ(error.code(), tls_errc::protocol_error);
  EXPECT_NE(std::string(error.what()).find("wrong version number"), std::string::npos)
      << error.what();
  run_until_eof(peer->socket());
  EXPECT_EQ(near->summary(), "");
}

TEST_P(TlsHandshake, ACancelledConnectLeavesNothing) {
  const auto near = recording();
  RawListener listener(kernel().inner());
  ConnectOptions options = to(listener.address());
  options.wrap = tls_client(client, client_options);
  const auto future = create_connection(loop(), giving(near), std::move(options));
  run_until([&] { return loop().stats().transports == 1; });
  future.cancel();
  run_until([&] { return loop().stats().transports == 0; });
  EXPECT_EQ(near->summary(), "");
}

TEST_P(TlsHandshake, NothingBelowTls12IsSpoken) {
  TlsServerOptions options;
  options.min_version = TlsVersion::tls1_3;
  server = server_context(options);
  TlsClientOptions old;
  old.max_version = TlsVersion::tls1_2;
  client = client_context(old);
  EXPECT_EQ(connect_failure().code(), tls_errc::peer_alert);
  server = server_context();
  EXPECT_EQ(tls_of(*couple().client).version(), TlsVersion::tls1_2);
}

TEST_P(TlsHandshake, ATls12PeerCannotRenegotiate) {
  TlsLink pair = link(TlsPeer::Side::client, nullptr, TlsVersion::tls1_2);
  EXPECT_EQ(tls_of(*pair.near).version(), TlsVersion::tls1_2);
  pair.far->renegotiate();
  pump_until(*pair.far, [&] { return !pair.far->failure().empty() || pair.near->lost(); });
  EXPECT_NE(pair.far->failure().find("renegotiation"), std::string::npos) << pair.far->failure();
}

TEST_P(TlsHandshake, TheCertificateIsChosenByTheNameAskedFor) {
  TlsServerOptions options;
  const auto named = [](const char* name) {
    return TestCa::shared().issue({.common_name = name, .dns = {name}, .ip = {}});
  };
  options.identities["a.example"] = named("a.example");
  options.identities["*.B.example"] = named("*.b.example");
  server = server_context(options);
  const auto subject_for = [this](const std::string& name) {
    client_options.server_hostname = name;
    const TlsCouple pair = couple();
    return tls_of(*pair.client).peer_certificate()->subject;
  };
  EXPECT_EQ(subject_for("a.example"), "CN=a.example");
  EXPECT_EQ(subject_for("A.Example"), "CN=a.example");
  EXPECT_EQ(subject_for("x.b.example"), "CN=*.b.example");
  EXPECT_EQ(subject_for("localhost"), "CN=ferry test");
}

TEST_P(TlsHandshake, ASessionIsResumedAndATicketServesOnce) {
  for (const TlsVersion version : {TlsVersion::tls1_2, TlsVersion::tls1_3}) {
    TlsClientOptions options;
    options.max_version = version;
    client = client_context(options);
    const auto listener = serve_tls(echo_factory());
    for (int i = 0; i < 4; ++i) {
      const auto near = recording();
      wait(dial_tls(listener->sockets()[0], near));
      EXPECT_EQ(tls_of(*near).resumed(), i > 0) << i;
      EXPECT_TRUE(tls_of(*near).peer_certificate());
      near->write("x");  // the tickets come before the answer
      run_until([&] { return near->bytes() == 1; });
      near->close();
      run_until([&] { return near->lost(); });
    }
    listener->close();
  }
}

TEST_P(TlsHandshake, AnotherNameResumesNoSession) {
  const auto listener = serve_tls(echo_factory());
  for (const char* name : {"localhost", "127.0.0.1"}) {
    client_options.server_hostname = name;
    const auto near = recording();
    wait(dial_tls(listener->sockets()[0], near));
    EXPECT_FALSE(tls_of(*near).resumed());
    near->write("x");
    run_until([&] { return near->bytes() == 1; });
    near->close();
    run_until([&] { return near->lost(); });
  }
}

TEST_P(TlsHandshake, ATicketDoesNotGetRoundACertificateThatIsAskedForSinceAReload) {
  for (const TlsVersion version : {TlsVersion::tls1_2, TlsVersion::tls1_3}) {
    TlsClientOptions anonymous;
    anonymous.max_version = version;
    client = client_context(anonymous);
    server = server_context();
    const auto listener = serve_tls(echo_factory());
    const auto before = recording();
    wait(dial_tls(listener->sockets()[0], before));
    before->write("x");  // the ticket comes before the answer
    run_until([&] { return before->bytes() == 1; });

    TlsServerOptions strict;
    strict.identity = TestCa::localhost();
    strict.client_certificates = ClientCertificates::required;
    strict.trust = TestCa::shared().trust();
    server->reload(strict);
    const auto after = recording();
    const auto refused = dial_tls(listener->sockets()[0], after);
    run_until([&] { return refused.done() && (!after->made() || after->lost()); });
    if (after->made()) {
      EXPECT_EQ(after->error(), tls_errc::peer_alert);
    } else {
      EXPECT_EQ(failure(refused).code(), tls_errc::peer_alert);
    }
    before->close();
    run_until([&] { return before->lost() && listener->connections() == 0; });
    listener->close();
  }
}

TEST_P(TlsHandshake, AReloadedCertificateServesNewConnectionsAndOldTicketsStayGood) {
  const auto listener = serve_tls(echo_factory());
  const auto dial = [&] {
    const auto near = recording();
    wait(dial_tls(listener->sockets()[0], near));
    near->write("x");
    run_until([&] { return near->bytes() == 1; });
    return near;
  };
  const auto before = dial();
  EXPECT_EQ(tls_of(*before).peer_certificate()->subject, "CN=ferry test");
  TlsServerOptions next;
  next.identity = TestCa::shared().issue({.common_name = "renewed"});
  server->reload(next);
  EXPECT_TRUE(tls_of(*dial()).resumed());
  client = client_context();
  const auto after = dial();
  EXPECT_FALSE(tls_of(*after).resumed());
  EXPECT_EQ(tls_of(*after).peer_certificate()->subject, "CN=renewed");
  before->write("y");
  run_until([&] { return before->bytes() == 2; });

  next.identity.key_pem = "no key";
  EXPECT_THROW(server->reload(next), std::system_error);
  client = client_context();
  EXPECT_EQ(tls_of(*dial()).peer_certificate()->subject, "CN=renewed");
}

}  // namespace ferry::test
