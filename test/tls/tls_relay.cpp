// relay() where one side is TLS.
#include "tls_fixture.h"

#include <ferry/relay.h>

#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace ferry::test {

/// A relay between a TlsPeer and a plain socket.
class TlsRelay : public TlsTest {
 protected:
  void TearDown() override {
    over = {};
    tls = {};
    plain.reset();
    TlsTest::TearDown();
  }

  void join(bool half_close) {
    client_options.half_close = half_close;
    tls = link(TlsPeer::Side::server, std::make_shared<RecordingProtocol>());
    RecordingFactory<> accepted;
    const auto listening = serve(accepted.factory());
    plain.emplace(raw_dial(listening->sockets()[0]));
    run_until([&] { return accepted.size() == 1 && accepted.at(0).made(); });
    listening->close();
    over = relay(tls.near->transport(), accepted.at(0).transport());
  }

  RelayResult result() {
    pump_until(*tls.far, [&] { return over.done(); });
    return over.result();
  }

  /// The plain socket has got just `text`, and the end of file.
  bool heard(const std::string& text) {
    plain->read();
    return plain->received() == text && plain->eof();
  }

  TlsLink tls;
  std::optional<RawPeer> plain;
  Future<RelayResult> over;
};
INSTANTIATE_WORLDS(TlsRelay);

TEST_P(TlsRelay, AHalfCloseCrossesTlsBothWays) {
  join(true);
  plain->write("question");
  plain->shutdown_write();
  pump_until(*tls.far, [&] { return tls.far->got_close_notify(); });
  EXPECT_EQ(tls.far->data(), "question");
  EXPECT_FALSE(over.done());
  tls.far->write("answer");
  tls.far->send_close_notify();
  pump_until(*tls.far, [&] { return heard("answer"); });
  const RelayResult r = result();
  EXPECT_EQ(r.a_to_b, 6u);
  EXPECT_EQ(r.b_to_a, 8u);
  EXPECT_FALSE(r.error) << r.error.message();
}

TEST_P(TlsRelay, WithoutHalfCloseTheEndOfTlsIsTheEndOfBoth) {
  join(false);
  int warnings = 0;
  loop().set_log_sink(
      [&](LogLevel level, std::string_view) { warnings += level > LogLevel::info; });
  tls.far->write("last words");
  tls.far->send_close_notify();
  pump_until(*tls.far, [&] { return heard("last words"); });
  EXPECT_FALSE(result().error);
  EXPECT_TRUE(tls.far->got_close_notify());
  EXPECT_EQ(warnings, 0);
}

TEST_P(TlsRelay, ATruncatedStreamIsAnErrorOfTheRelay) {
  join(true);
  tls.far->write("not all of i");
  tls.far->finish();
  const RelayResult r = result();
  EXPECT_EQ(r.error.code, tls_errc::truncated);
  EXPECT_EQ(r.error.address, tls.near->transport()->peername());
  run_until([&] { return heard("not all of i"); });
}

TEST_P(TlsRelay, APlainStreamThatIsCutIsNoCleanEndOverTls) {
  join(true);
  plain->write("not all of i");
  pump_until(*tls.far, [&] { return tls.far->data() == "not all of i"; });
  plain->reset();
  EXPECT_EQ(result().error.code, std::errc::connection_reset);
  pump_until(*tls.far, [&] { return tls.far->socket().eof(); });
  EXPECT_FALSE(tls.far->got_close_notify());
}

TEST_P(TlsRelay, WhatWasQueuedForTlsGoesOutBeforeItIsCut) {
  join(true);
  kernel().block_sends();
  plain->write("not all of i");
  run_until([&] { return tls.near->transport()->get_write_buffer_size() > 0; });
  plain->reset();
  tick();
  kernel().release_sends();
  EXPECT_EQ(result().error.code, std::errc::connection_reset);
  pump_until(*tls.far, [&] { return tls.far->socket().eof(); });
  EXPECT_EQ(tls.far->data(), "not all of i");
  EXPECT_FALSE(tls.far->got_close_notify());
}

TEST_P(TlsRelay, AfterTheEndOfItsSourceTlsEndsCleanWhateverBecomesOfThat) {
  join(true);
  plain->write("all of it");
  plain->shutdown_write();
  pump_until(*tls.far, [&] { return tls.far->got_close_notify(); });
  EXPECT_EQ(tls.far->data(), "all of it");
  plain->reset();
  tls.far->write("for nobody");
  tls.far->send_close_notify();
  EXPECT_TRUE(result().error);
}

}  // namespace ferry::test
