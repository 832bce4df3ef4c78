// Streams over TLS, from the beginning or from start_tls on.

#include "streams_fixture.h"
#include "test_certificates.h"
#include "tls_peer.h"

#include <ferry/timeout.h>
#include <ferry/tls.h>

#include <gtest/gtest.h>

namespace ferry::test {
namespace {

std::shared_ptr<TlsTransport> tls_of(const StreamWriter& writer) {
  return std::dynamic_pointer_cast<TlsTransport>(writer.transport());
}

class TlsStreams : public StreamsFixture {
 protected:
  /// A server that serves by `handler` over TLS from the beginning.
  std::shared_ptr<Server> serve_tls(StreamHandler handler,
                                    std::size_t limit = StreamReader::kDefaultLimit) {
    ListenOptions options = on_loopback();
    options.wrap = tls_server(server_context());
    return run(start_server(std::move(handler), std::move(options), limit));
  }
  ConnectOptions over_tls(ConnectOptions options) {
    options.wrap = tls_client(client_, client_options());
    return options;
  }
  Stream dial_tls(const Server& server) {
    return run(open_connection(over_tls(to(server.sockets().at(0)))));
  }
  /// A stream whose other end is `peer`, a server by plain OpenSSL, after the handshake.
  Stream open_to(std::unique_ptr<TlsPeer>& peer) {
    ConnectedSockets sockets = connect_sockets();
    peer = std::make_unique<TlsPeer>(RawPeer(kernel().inner(), sockets.far->take()),
                                     TlsPeer::Side::server);
    ConnectOptions options;
    options.socket = sockets.near;
    const Task<Stream> task = start(open_connection(over_tls(options)));
    pump_until(*peer, [&] { return task.done() && peer->handshaken(); });
    return task.result();
  }
  void pump_until(TlsPeer& peer, Function<bool()> condition) {
    run_until([&] {
      peer.pump();
      return condition();
    });
  }
  static TlsOptions client_options() {
    TlsOptions options;
    options.server_hostname = "";
    return options;
  }
  const std::shared_ptr<TlsContext>& client() const { return client_; }
  const std::shared_ptr<TlsContext>& server() const { return server_; }

 private:
  std::shared_ptr<TlsContext> client_ = client_context();
  std::shared_ptr<TlsContext> server_ = server_context();
};
INSTANTIATE_WORLDS(TlsStreams);

Coro<std::string> ask(Stream stream, std::string text) {
  stream.writer.write(text);
  co_await stream.writer.drain();
  std::string answer = co_await stream.reader.readexactly(text.size());
  stream.writer.close();
  co_await stream.writer.wait_closed();
  co_return answer;
}

Coro<> upgrade(StreamWriter writer, std::shared_ptr<TlsContext> context, TlsOptions options) {
  co_await writer.start_tls(std::move(context), std::move(options));
}

/// Plain text until the client asks for TLS, then an echo.
Coro<> serve_starttls(StreamReader reader, StreamWriter writer,
                      std::shared_ptr<TlsContext> context) {
  while (co_await reader.readline() != "STARTTLS\n") writer.write("in plain text\n");
  writer.write("go ahead\n");
  co_await writer.drain();
  EXPECT_EQ(tls_of(writer), nullptr);
  co_await writer.start_tls(std::move(context));
  EXPECT_NE(tls_of(writer), nullptr);
  co_await echo(std::move(reader), std::move(writer));
}

// -- from the beginning

TEST_P(TlsStreams, BothSidesOverTls) {
  const auto server = serve_tls(echo);
  const std::string text = pattern(2'000'000);
  Stream stream = dial_tls(*server);
  ASSERT_NE(tls_of(stream.writer), nullptr);
  EXPECT_EQ(tls_of(stream.writer)->version(), TlsVersion::tls1_3);
  EXPECT_FALSE(stream.writer.can_write_eof());
  EXPECT_THROW(stream.writer.write_eof(), std::logic_error);
  const Task<std::string> answer = start(read(stream.reader, 1));
  stream.writer.write(text.substr(0, 1));
  finish(answer);
  const Task<std::string> rest = start(readexactly(stream.reader, text.size() - 1));
  const Task<> sent = start(send(stream.writer, text.substr(1)));
  finish(rest);
  finish(sent);
  EXPECT_TRUE(answer.result() + rest.result() == text);
  run(close_stream(stream.writer));
  run_until([&] { return server->connections() == 0; });
  server->close();
}

TEST_P(TlsStreams, ACertificateThatIsNotTrustedIsAnError) {
  const auto listener = serve_tls(echo);
  const TestCa other("another CA");
  TlsClientOptions distrust;
  distrust.trust = other.trust();
  ConnectOptions options = to(listener->sockets().at(0));
  options.wrap = tls_client(TlsContext::client(std::move(distrust)), client_options());
  const IoError error = failure_of<IoError>(open_connection(options));
  EXPECT_EQ(error.code(), tls_errc::certificate_verify_failed);
  run_until([&] { return listener->connections() == 0; });
  listener->close();
}

TEST_P(TlsStreams, TheEndOfTheOtherSideIsTheEndOfTheStream) {
  std::unique_ptr<TlsPeer> peer;
  Stream stream = open_to(peer);
  peer->write("the last\nwords");
  peer->send_close_notify();
  const Task<std::string> line = start(readline(stream.reader));
  pump_until(*peer, [&] { return line.done(); });
  EXPECT_EQ(line.result(), "the last\n");
  const Task<std::string> rest = start(read(stream.reader));
  pump_until(*peer, [&] { return rest.done(); });
  EXPECT_EQ(rest.result(), "words");
  EXPECT_TRUE(stream.reader.at_eof());
  const Task<> closed = start(close_stream(stream.writer));
  pump_until(*peer, [&] { return closed.done(); });
  EXPECT_EQ(stream.reader.exception(), nullptr);
}

TEST_P(TlsStreams, AStreamThatIsCutIsAnErrorAndNoEnd) {
  std::unique_ptr<TlsPeer> peer;
  Stream stream = open_to(peer);
  peer->write("half a ");
  const Task<std::string> some = start(read(stream.reader, 7));
  pump_until(*peer, [&] { return some.done(); });
  EXPECT_EQ(some.result(), "half a ");
  peer->finish();  // FIN, without close_notify
  const Task<std::string> rest = start(read(stream.reader));
  pump_until(*peer, [&] { return rest.done(); });
  try {
    ADD_FAILURE() << "it read " << rest.result().size() << " bytes and an end";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), tls_errc::truncated) << error.what();
  }
  EXPECT_FALSE(stream.reader.at_eof());
  EXPECT_EQ(failure_of<std::system_error>(wait_closed(stream.writer)).code(), tls_errc::truncated);
  EXPECT_EQ(failure_of<std::system_error>(drain(stream.writer)).code(), tls_errc::truncated);
}

TEST_P(TlsStreams, ARecordThatWasCutIsAnErrorToo) {
  std::unique_ptr<TlsPeer> peer;
  Stream stream = open_to(peer);
  peer->cut_after(peer->sent() + 500);
  peer->write(pattern(1000));
  const Task<std::string> all = start(read(stream.reader));
  pump_until(*peer, [&] { return all.done(); });
  EXPECT_THROW(all.result(), std::system_error);
  EXPECT_EQ(failure_of<std::system_error>(read(stream.reader)).code(), tls_errc::truncated);
}

// -- start_tls

TEST_P(TlsStreams, C0550_BothSidesUpgradeInTheMiddle) {
  const auto handler = [context = server()](StreamReader reader, StreamWriter writer) {
    return serve_starttls(std::move(reader), std::move(writer), context);
  };
  const auto listener = serve_streams(handler);
  const auto talk = [](Stream stream, std::shared_ptr<TlsContext> context,
                       TlsOptions options) -> Coro<std::string> {
    StreamWriter copy = stream.writer;
    StreamReader other_reader = stream.reader;
    stream.writer.write("hello\n");
    std::string all = co_await stream.reader.readline();
    stream.writer.write("STARTTLS\n");
    all += co_await stream.reader.readline();
    EXPECT_EQ(tls_of(stream.writer), nullptr);
    co_await copy.start_tls(std::move(context), std::move(options));
    EXPECT_NE(tls_of(stream.writer), nullptr);
    EXPECT_EQ(stream.writer.transport(), copy.transport());
    stream.reader = other_reader;
    all += co_await ask(std::move(stream), "in secret");
    co_return all;
  };
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(run(talk(dial_stream(*listener), client(), client_options())),
              "in plain text\ngo ahead\nin secret");
  }
  run_until([&] { return listener->connections() == 0; });
  listener->close();
}

TEST_P(TlsStreams, C0550_MuchDataAfterTheUpgradeIsHeldBackOnTheNewConnection) {
  StreamCouple couple = open_streams(1000, 64 * 1024);
  const Task<> client_side = start(upgrade(couple.near.writer, client(), client_options()));
  const Task<> server_side = start(upgrade(couple.far.writer, server(), {}));
  finish(client_side);
  finish(server_side);
  client_side.result();
  server_side.result();
  const std::string text = pattern(3'000'000);
  const Task<> sending = start(send(couple.far.writer, text));
  settle();
  EXPECT_FALSE(couple.near.writer.transport()->is_reading());
  EXPECT_FALSE(sending.done());
  const Task<std::string> reading = start(readexactly(couple.near.reader, text.size()));
  finish(reading);
  EXPECT_TRUE(reading.result() == text);
  finish(sending);
  EXPECT_TRUE(couple.near.writer.transport()->is_reading());
  const Task<> closing = start(close_stream(couple.near.writer));
  EXPECT_EQ(run(read(couple.far.reader)), "");
  run(close_stream(couple.far.writer));
  finish(closing);
}

TEST_P(TlsStreams, C0550_AReaderThatHeldItsTransportBackUpgradesToo) {
  // Paused for what waits to be read when start_tls is called: that is the handshake.
  FarStream stream = open_stream(100);
  TlsPeer peer(RawPeer(kernel().inner(), stream.peer->take()), TlsPeer::Side::client);
  peer.send_raw("STARTTLS\n");
  pump_until(peer, [&] { return !stream.writer.transport()->is_reading(); });
  EXPECT_EQ(run(readline(stream.reader)), "STARTTLS\n");
  const Task<> upgraded = start(upgrade(stream.writer, server(), {}));
  pump_until(peer, [&] { return upgraded.done() && peer.handshaken(); });
  upgraded.result();
  peer.write(pattern(10'000));
  const Task<std::string> received = start(readexactly(stream.reader, 10'000));
  pump_until(peer, [&] { return received.done(); });
  EXPECT_TRUE(received.result() == pattern(10'000));
  stream.writer.transport()->abort();
}

TEST_P(TlsStreams, C0550_WhatTheReaderHoldsIsTheBeginningOfTls) {
  FarStream stream = open_stream();
  TlsPeer peer(RawPeer(kernel().inner(), stream.peer->take()), TlsPeer::Side::client);
  peer.send_raw("STARTTLS\n");  // and the handshake right behind it
  const Task<std::string> line = start(readline(stream.reader));
  pump_until(peer, [&] { return line.done(); });
  settle();
  EXPECT_EQ(line.result(), "STARTTLS\n");
  const Task<> upgraded = start(upgrade(stream.writer, server(), {}));
  pump_until(peer, [&] { return upgraded.done() && peer.handshaken(); });
  upgraded.result();
  peer.write("first");
  const Task<std::string> first = start(read(stream.reader, 100));
  pump_until(peer, [&] { return first.done(); });
  EXPECT_EQ(first.result(), "first") << "and not the bytes of the handshake";
  stream.writer.write("answer");
  pump_until(peer, [&] { return peer.data() == "answer"; });
  peer.send_close_notify();
  const Task<> closed = start(close_stream(stream.writer));
  pump_until(peer, [&] { return closed.done(); });
}

TEST_P(TlsStreams, C0550_WhatAManInTheMiddleInsertsNeverReachesTheApplication) {
  FarStream stream = open_stream();
  TlsPeer peer(RawPeer(kernel().inner(), stream.peer->take()), TlsPeer::Side::client);
  peer.send_raw("STARTTLS\nDELETE EVERYTHING\n");
  const Task<std::string> line = start(readline(stream.reader));
  pump_until(peer, [&] { return line.done(); });
  const Task<> upgraded = start(upgrade(stream.writer, server(), {}));
  pump_until(peer, [&] { return upgraded.done(); });
  EXPECT_THROW(upgraded.result(), std::system_error);
  EXPECT_TRUE(stream.writer.is_closing());
  EXPECT_THROW(run(readline(stream.reader)), std::system_error);
}

TEST_P(TlsStreams, C0548_DataRightBehindTheHandshakeIsReadAfterIt) {
  FarStream stream = open_stream();
  TlsPeer peer(RawPeer(kernel().inner(), stream.peer->take()), TlsPeer::Side::client);
  const auto body = [](StreamReader reader, StreamWriter writer,
                       std::shared_ptr<TlsContext> context) -> Coro<std::string> {
    co_await writer.start_tls(std::move(context));
    std::string line = co_await reader.readline();
    writer.write("got ");
    writer.write(line);
    co_return line;
  };
  const Task<std::string> task = start(body(stream.reader, stream.writer, server()));
  std::string held_back;
  peer.set_tamper([&](std::string& bytes, std::size_t offset) {
    if (offset == 0) return;
    held_back += bytes;
    bytes.clear();
  });
  pump_until(peer, [&] { return peer.handshaken(); });
  peer.write("first\n");
  peer.pump();
  ASSERT_FALSE(task.done());
  peer.set_tamper(nullptr);
  peer.send_raw(held_back);
  pump_until(peer, [&] { return peer.data() == "got first\n"; });
  EXPECT_EQ(task.result(), "first\n");
  stream.writer.transport()->abort();
}

TEST_P(TlsStreams, C0549_WhatIsWrittenGoesOutBeforeTheHandshake) {
  FarStream stream = open_stream();
  const std::size_t written = fill(stream.writer);
  const Task<> upgraded = start(upgrade(stream.writer, client(), client_options()));
  settle();
  EXPECT_FALSE(upgraded.done());
  kernel().release_sends();
  // The plain bytes, whole; then a ClientHello.
  run_until([&] { return stream.peer->read().size() > written + 5; });
  EXPECT_EQ(stream.peer->received().substr(written, 2), std::string("\x16\x03"));
  upgraded.cancel();
  finish(upgraded);
  EXPECT_TRUE(stream.writer.is_closing());
}

TEST_P(TlsStreams, C0552_NothingCanBeWrittenDuringTheHandshake) {
  FarStream stream = open_stream();
  const Task<> upgraded = start(upgrade(stream.writer, client(), client_options()));
  run_until([&] { return stream.peer->read().size() > 5; });
  EXPECT_THROW(stream.writer.write("plain"), std::logic_error);
  EXPECT_THROW(stream.writer.writelines({"plain"}), std::logic_error);
  EXPECT_THROW(run(upgrade(stream.writer, client(), client_options())), std::logic_error);
  EXPECT_FALSE(upgraded.done());
  stream.peer->reset();
  finish(upgraded);
  EXPECT_THROW(upgraded.result(), std::system_error);
  EXPECT_EQ(stream.peer->received().find("plain"), std::string::npos);
}

TEST_P(TlsStreams, C0546_AHandshakeThatTakesTooLongEndsTheConnection) {
  FarStream stream = open_stream();
  const auto body = [](StreamWriter writer, std::shared_ptr<TlsContext> context,
                       TlsOptions options) -> Coro<> {
    co_await timeout(100ms, writer.start_tls(std::move(context), std::move(options)));
  };
  EXPECT_THROW(run(body(stream.writer, client(), client_options())), TimeoutError);
  EXPECT_TRUE(stream.writer.is_closing());
  run_until_ended(*stream.peer);
  EXPECT_EQ(run(read(stream.reader)), "");
}

TEST_P(TlsStreams, C0545_WithoutAContextNothingHappens) {
  FarStream stream = open_stream();
  EXPECT_THROW(run(upgrade(stream.writer, nullptr, {})), std::invalid_argument);
  EXPECT_THROW(run(upgrade(stream.writer, client(), {})), std::invalid_argument) << "no name";
  run(send(stream.writer, "as before"));
  stream.peer->send("too");
  EXPECT_EQ(run(read(stream.reader, 3)), "too");
  run_until_received(*stream.peer, 9);
  EXPECT_EQ(stream.peer->received(), "as before");
  run(close_stream(stream.writer));
}

TEST_P(TlsStreams, CancellingAnUpgradeInAnyTurnLeavesNothing) {
  std::optional<StreamCouple> couple;
  Task<> far_side;
  bool begun = false;
  const auto scenario = [&] {
    couple = open_streams();
    far_side = start(upgrade(couple->far.writer, server(), {}));
    return start(upgrade(couple->near.writer, client(), client_options()));
  };
  const int points = cancel_at_each_turn(scenario, [&](const Task<>& task) {
    if (!std::exchange(begun, true)) {
      EXPECT_FALSE(couple->near.writer.is_closing());  // cancelled before its first step
    } else if (task.cancelled()) {
      run_until([&] { return couple->near.writer.is_closing(); });
    } else {
      EXPECT_EQ(failure_text(task), "");
      run(send(couple->near.writer, "it works"));
      EXPECT_EQ(run(readexactly(couple->far.reader, 8)), "it works");
    }
    couple->near.writer.transport()->abort();
    finish(far_side);
    static_cast<void>(failure_text(far_side));
    couple->far.writer.transport()->abort();
    couple.reset();
    settle();
    EXPECT_EQ(loop().stats().transports, 0u);
    EXPECT_EQ(loop().stats().timers, 0u);
  });
  far_side = {};
  EXPECT_GE(points, 2);
}

TEST_P(TlsStreams, CancellingAConnectionOverTlsInAnyTurnLeavesNothing) {
  const auto listener = serve_tls(echo);
  const std::size_t before = open_sockets();
  const int points = cancel_at_each_turn(
      [&] { return start(open_connection(over_tls(to(listener->sockets().at(0))))); },
      [&](const Task<Stream>& task) {
        if (!task.cancelled()) run(close_stream(task.result().writer));
        run_until([&] { return listener->connections() == 0; });
        settle();
        EXPECT_EQ(open_sockets(), before);
      });
  EXPECT_GE(points, 3);
  listener->close();
}

}  // namespace
}  // namespace ferry::test
