// start_tls: a connection in use becomes a TLS one.
#include "tls_fixture.h"

#include <gtest/gtest.h>

#include <string>

namespace ferry::test {

class StartTls : public TlsTest {
 protected:
  /// A plain connection: a transport of ours, and the far end's socket.
  Link plain(std::shared_ptr<Protocol> protocol) { return open(std::move(protocol)); }
  TlsPeer peer_over(Link& link, TlsPeer::Side side) {
    return TlsPeer(RawPeer(kernel().inner(), link.peer->take()), side);
  }
};
INSTANTIATE_WORLDS(StartTls);

TEST_P(StartTls, C0542_AClientUpgrades) {
  const auto near = recording();
  Link link = plain(near);
  near->write("STARTTLS\r\n");
  run_until_received(*link.peer, 10);
  TlsPeer far = peer_over(link, TlsPeer::Side::server);
  const auto future = start_tls(link.transport, client, client_options);
  pump_until(far, [&] { return future.done() && far.handshaken(); });
  const auto tls = future.result();
  EXPECT_NE(tls, link.transport);
  EXPECT_EQ(tls->get_protocol(), near);
  EXPECT_EQ(tls->version(), TlsVersion::tls1_3);
  tls->write("secret");
  pump_until(far, [&] { return far.data() == "secret"; });
  far.write("answer");
  pump_until(far, [&] { return near->bytes() == 6; });
  tls->close();
  far.send_close_notify();
  pump_until(far, [&] { return near->lost(); });
  EXPECT_EQ(near->summary(), "made data:6 lost:ok");
}

TEST_P(StartTls, C0542_BothSidesUpgradeAlsoOverTls) {
  const auto near = recording();
  const auto far = recording();
  const TransportPair pair = open_pair(near, far);
  std::shared_ptr<Transport> a = pair.near;
  std::shared_ptr<Transport> b = pair.far;
  for (int layer = 0; layer < 3; ++layer) {
    const auto client_side = start_tls(a, client, client_options);
    const auto server_side = start_tls(b, server);
    a = wait(client_side);
    b = wait(server_side);
    const std::size_t bytes = near->bytes();
    a->write(pattern(50'000, bytes));
    b->write(pattern(50'000, bytes));
    run_until([&] { return near->bytes() == bytes + 50'000 && far->bytes() == bytes + 50'000; });
  }
  EXPECT_TRUE(near->data() == pattern(150'000));
  EXPECT_TRUE(far->data() == pattern(150'000));
  a->close();
  run_until([&] { return near->lost() && far->lost(); });
  EXPECT_EQ(near->summary(), "made data:150000 lost:ok");
  EXPECT_EQ(far->summary(), "made data:150000 eof lost:ok");
}

TEST_P(StartTls, C0544_ABufferedProtocolUpgradesAndAnotherTakesOver) {
  const auto near = recording_buffered(100);
  Link link = plain(near);
  TlsPeer far = peer_over(link, TlsPeer::Side::server);
  const auto future = start_tls(link.transport, client, client_options);
  pump_until(far, [&] { return future.done(); });
  far.write(pattern(1000));
  pump_until(far, [&] { return near->bytes() == 1000; });
  EXPECT_EQ(near->data(), pattern(1000));
  const auto next = std::make_shared<RecordingProtocol>();
  next->checker().adopt();
  future.result()->set_protocol(next);
  far.write("more");
  pump_until(far, [&] { return next->bytes() == 4; });
  EXPECT_EQ(near->bytes(), 1000u);
  future.result()->abort();
  run_until([&] { return next->lost(); });
  EXPECT_EQ(next->violations(), std::vector<std::string>());
  expect_replaced(*near);
}

TEST_P(StartTls, C0545_WrongArgumentsAreRefused) {
  const auto near = recording();
  Link link = plain(near);
  EXPECT_THROW(static_cast<void>(start_tls(nullptr, client, client_options)),
               std::invalid_argument);
  EXPECT_THROW(static_cast<void>(start_tls(link.transport, nullptr)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(start_tls(link.transport, client)), std::invalid_argument);
  EXPECT_EQ(link.transport->get_protocol(), near);
  near->close();
  EXPECT_THROW(static_cast<void>(start_tls(link.transport, client, client_options)),
               std::logic_error);
  run_until([&] { return near->lost(); });
}

TEST_P(StartTls, C0546_ASlowHandshakeEndsTheConnection) {
  client_options.handshake_timeout = 500ms;
  const auto near = recording();
  Link link = plain(near);
  const auto future = start_tls(link.transport, client, client_options);
  EXPECT_EQ(failure(future).code(), tls_errc::handshake_timed_out);
  EXPECT_TRUE(near->lost());
  EXPECT_EQ(near->error(), tls_errc::handshake_timed_out);
  run_until_ended(*link.peer);
}

TEST_P(StartTls, C0546_CancellingTheFutureAbortsTheConnection) {
  const auto near = recording();
  Link link = plain(near);
  const auto future = start_tls(link.transport, client, client_options);
  tick();
  future.cancel();
  run_until([&] { return near->lost(); });
  EXPECT_EQ(near->summary(), "made lost:ok");
  EXPECT_TRUE(future.cancelled());
  run_until_ended(*link.peer);
}

TEST_P(StartTls, C0548_TheFirstDataComesAfterTheFuturesCallbacks) {
  const auto near = recording();
  Link link = plain(near);
  TlsPeer far = peer_over(link, TlsPeer::Side::client);
  const auto future = start_tls(link.transport, server);
  bool told = false;
  future.add_done_callback([&] {
    told = true;
    EXPECT_EQ(near->bytes(), 0u);
  });
  near->on_data = [&](BytesView) { EXPECT_TRUE(told); };
  // The client's last handshake bytes and its first data in one segment.
  std::string held_back;
  far.set_tamper([&](std::string& bytes, std::size_t offset) {
    if (offset == 0) return;
    held_back += bytes;
    bytes.clear();
  });
  pump_until(far, [&] { return far.handshaken(); });
  far.write("first");
  ASSERT_FALSE(future.done());
  far.set_tamper(nullptr);
  far.send_raw(held_back);
  pump_until(far, [&] { return near->bytes() == 5; });
  EXPECT_TRUE(told);
  EXPECT_EQ(near->data(), "first");
}

TEST_P(StartTls, C0549_AnUpgradeWhileWritingIsPaused) {
  const auto near = recording();
  Link link = plain(near);
  while (!near->writing_paused()) near->write(pattern(10'000));
  const std::size_t written = link.transport->get_write_buffer_size();
  const auto future = start_tls(link.transport, client, client_options);
  EXPECT_TRUE(near->writing_paused());
  run_for(10ms);
  EXPECT_FALSE(future.done());
  // The plain bytes come first, whole; the ClientHello behind them.
  const std::string hello("\x16\x03\x01", 3);
  run_until([&] { return link.peer->read().find(hello, written) != std::string::npos; });
  const std::string received = link.peer->received();
  std::size_t plain_size = 0;
  while (plain_size + 10'000 <= received.size() &&
         received.compare(plain_size, 10'000, pattern(10'000)) == 0) {
    plain_size += 10'000;
  }
  ASSERT_EQ(received.compare(plain_size, 3, hello), 0);
  EXPECT_TRUE(near->writing_paused());
  EXPECT_FALSE(future.done());
  link.transport->abort();
  EXPECT_EQ(failure(future).code(), std::errc::connection_reset);
  EXPECT_TRUE(near->lost());
}

TEST_P(StartTls, C0549_WritingGoesOnAfterAnUpgradeWhilePaused) {
  const auto near = recording();
  const auto far = recording();
  const TransportPair pair = open_pair(near, far);
  std::size_t plain_bytes = 0;
  pair.far->pause_reading();
  run_until([&] {
    while (!near->writing_paused() && plain_bytes < 50'000'000) {
      near->write(pattern(10'000, plain_bytes));
      plain_bytes += 10'000;
    }
    return near->writing_paused();
  });
  const auto client_side = start_tls(pair.near, client, client_options);
  pair.far->resume_reading();
  Future<std::shared_ptr<TlsTransport>> server_side;
  std::string rest;
  far->on_data = [&](BytesView) {
    if (far->bytes() < plain_bytes || server_side.valid()) return;
    rest = far->data().substr(plain_bytes);
    server_side = start_tls(pair.far, server, {}, BytesView(rest));
  };
  run_until([&] { return client_side.done() && server_side.valid() && server_side.done(); });
  run_until([&] { return !near->writing_paused(); });
  client_side.result()->write("over TLS");
  const std::size_t had = far->bytes();
  run_until([&] { return far->bytes() == had + 8; });
  EXPECT_EQ(far->data().substr(had), "over TLS");
}

TEST_P(StartTls, PausedReadingDoesNotStopTheUpgrade) {
  const auto near = recording();
  Link link = plain(near);
  near->pause_reading();
  TlsPeer far = peer_over(link, TlsPeer::Side::server);
  const auto future = start_tls(link.transport, client, client_options);
  pump_until(far, [&] { return future.done(); });
  EXPECT_TRUE(future.result()->is_reading());
  near->resume_reading();
}

// A line server: what comes behind the line is the beginning of TLS, however it is split.
class LineServer : public RecordingProtocol {
 public:
  LineServer(std::shared_ptr<TlsContext> context) : context_(std::move(context)) {}
  void data_received(BytesView data) override {
    if (upgrade.valid()) return RecordingProtocol::data_received(data);
    line_ += data.text();
    const std::size_t end = line_.find('\n');
    if (end == std::string::npos) return;
    upgrade = start_tls(get_transport(), context_, {}, BytesView(line_).drop(end + 1));
  }
  void connection_made(std::shared_ptr<Transport> made) override {
    plain_ = made;
    RecordingProtocol::connection_made(std::move(made));
  }
  const std::shared_ptr<Transport>& get_transport() const { return plain_; }
  Future<std::shared_ptr<TlsTransport>> upgrade;

 private:
  std::shared_ptr<TlsContext> context_;
  std::shared_ptr<Transport> plain_;
  std::string line_;
};

TEST_P(StartTls, C14_TheClientHelloGluedToTheLastPlainLineAtEverySplit) {
  const std::size_t step = simulated() ? 1 : 13;  // real sockets take their time
  std::size_t hello_size = 1000;
  for (std::size_t split = 0; split < 10 + hello_size; split += step) {
    const auto near = std::make_shared<LineServer>(server);
    Link link = plain(near);
    TlsPeer far = peer_over(link, TlsPeer::Side::client);
    std::string held_back;
    far.set_tamper([&](std::string& bytes, std::size_t offset) {
      if (offset != 0) return;
      hello_size = bytes.size();
      bytes.insert(0, "STARTTLS\r\n");
      held_back = bytes.substr(split);
      bytes.resize(split);
    });
    far.pump();
    tick();
    far.set_tamper(nullptr);
    far.send_raw(held_back);
    pump_until(far, [&] { return far.handshaken() && near->upgrade.valid(); });
    far.write("in secret");
    pump_until(far, [&] { return near->bytes() == 9; });
    EXPECT_EQ(near->data(), "in secret");
    near->upgrade.result()->abort();
    run_until([&] { return near->lost(); });
    EXPECT_EQ(near->violations(), std::vector<std::string>());
    if (HasFailure()) FAIL() << "split at " << split;
  }
}

TEST_P(StartTls, C14_ForgedPlainTextBehindTheLineIsNeverDelivered) {
  const auto near = std::make_shared<LineServer>(server);
  Link link = plain(near);
  link.peer->send("STARTTLS\r\nRSET\r\nMAIL FROM:<evil@example.com>\r\n");
  run_until([&] { return near->lost(); });
  EXPECT_EQ(near->bytes(), 0u);
  EXPECT_EQ(near->error(), tls_errc::protocol_error);
  EXPECT_THROW(near->upgrade.result(), IoError);
  EXPECT_EQ(near->violations(), std::vector<std::string>());
}

}  // namespace ferry::test
