// How a TLS connection ends.
#include "tls_fixture.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace ferry::test {

class TlsClose : public TlsTest {};
INSTANTIATE_WORLDS(TlsClose);

TEST_P(TlsClose, C0514_ACorruptedRecordIsAnErrorOnce) {
  TlsLink pair = link(TlsPeer::Side::server);
  pair.near->write("A\n");
  pump_until(*pair.far, [&] { return pair.far->data() == "A\n"; });
  pair.far->send_raw("please fail here, this is no TLS record at all");
  pump_until(*pair.far, [&] { return pair.near->lost(); });
  EXPECT_EQ(pair.near->error(), tls_errc::protocol_error);
  EXPECT_EQ(pair.near->summary(), "made lost:" + pair.near->error().message());
  EXPECT_STREQ(pair.near->transport()->error().operation, "TLS read");
  pair.near->close();
  pair.near->abort();
  tick();
  // The peer was told why.
  pump_until(*pair.far, [&] { return !pair.far->failure().empty(); });
}

TEST_P(TlsClose, C0514_ATamperedRecordIsNotDelivered) {
  TlsLink pair = link(TlsPeer::Side::server);
  pair.far->set_tamper([](std::string& bytes, std::size_t) { bytes[bytes.size() / 2] ^= 1; });
  pair.far->write("attack at dawn");
  pump_until(*pair.far, [&] { return pair.near->lost(); });
  EXPECT_EQ(pair.near->error(), tls_errc::protocol_error);
  EXPECT_EQ(pair.near->bytes(), 0u);
}

TEST_P(TlsClose, C0516_WhenWeCloseFirstThePeerGetsAllThenCloseNotifyThenFin) {
  TlsLink pair = link(TlsPeer::Side::server);
  pair.near->write(pattern(1'000'000));
  pair.near->close();
  pump_until(*pair.far, [&] { return pair.far->got_close_notify(); });
  EXPECT_TRUE(pair.far->data() == pattern(1'000'000));
  EXPECT_FALSE(pair.near->lost());
  EXPECT_FALSE(pair.far->socket().eof());
  pair.far->send_close_notify();
  pump_until(*pair.far, [&] { return pair.near->lost() && pair.far->socket().eof(); });
  EXPECT_FALSE(pair.near->error());
}

TEST_P(TlsClose, C0517_AllIsFlushedBeforeTheShutdownAlsoToASlowPeer) {
  client_options.shutdown_timeout = 2s;
  TlsLink pair = link(TlsPeer::Side::server);
  pair.near->write(pattern(4'000'000));
  pair.near->close();
  // Never a second without progress, but many seconds in all.
  while (!pair.far->got_close_notify() && pair.far->data().size() < 3'000'000) {
    if (simulated()) run_for(1s);
    for (int i = 0; i < 12; ++i) {
      pair.far->pump(32 * 1024);
      tick();
    }
  }
  pump_until(*pair.far, [&] { return pair.far->got_close_notify(); });
  EXPECT_TRUE(pair.far->data() == pattern(4'000'000));
  pair.far->send_close_notify();
  pump_until(*pair.far, [&] { return pair.near->lost(); });
  EXPECT_FALSE(pair.near->error());
}

TEST_P(TlsClose, C0518_ThePeersCloseNotifyDoesNotCutOffWhatWaits) {
  TlsLink pair = link(TlsPeer::Side::server);
  pair.near->write(pattern(4'000'000));
  pair.far->send_close_notify();
  pair.far->pump(0);
  run_until([&] { return pair.near->eof(); });
  pump_until(*pair.far, [&] { return pair.far->got_close_notify() && pair.near->lost(); });
  EXPECT_TRUE(pair.far->data() == pattern(4'000'000));
  EXPECT_TRUE(pair.near->eof());
  EXPECT_FALSE(pair.near->error());
}

TEST_P(TlsClose, C0518_AlsoIfTheFinComesAtOnce) {
  TlsLink pair = link(TlsPeer::Side::server);
  pair.near->write(pattern(4'000'000));
  pair.far->send_close_notify();
  pair.far->pump(0);
  pair.far->socket().shutdown_write();
  pump_until(*pair.far, [&] { return pair.far->got_close_notify() && pair.near->lost(); });
  EXPECT_TRUE(pair.far->data() == pattern(4'000'000));
  EXPECT_FALSE(pair.near->error());
}

TEST_P(TlsClose, C0520_APeerThatNeverSaysGoodbyeIsLeftAfterTheLimit) {
  client_options.shutdown_timeout = 500ms;
  TlsLink pair = link(TlsPeer::Side::server);
  const TimePoint start = loop().time();
  pair.near->close();
  pump_until(*pair.far, [&] { return pair.near->lost(); });
  EXPECT_GE(loop().time() - start, 500ms);
  EXPECT_EQ(pair.near->error(), tls_errc::shutdown_timed_out);
  EXPECT_EQ(pair.near->error(), std::errc::timed_out);
  EXPECT_EQ(pair.near->error().message(), "TLS shutdown timed out");
  run_until_eof(pair.far->socket());
}

TEST_P(TlsClose, C0521_NoTimerIsLeftAfterANormalEnd) {
  const std::size_t timers = loop().stats().timers;
  TlsLink pair = link(TlsPeer::Side::server);
  EXPECT_EQ(loop().stats().timers, timers);
  pair.near->close();
  EXPECT_EQ(loop().stats().timers, timers + 1);
  pair.far->send_close_notify();
  pump_until(*pair.far, [&] { return pair.near->lost(); });
  EXPECT_EQ(loop().stats().timers, timers);
}

TEST_P(TlsClose, C0522_TheEndComesWhileReadingIsPaused) {
  for (const bool clean : {true, false}) {
    TlsLink pair = link(TlsPeer::Side::server);
    pair.near->on_data = [n = pair.near.get()](BytesView) { n->pause_reading(); };
    pair.far->write("first");
    pump_until(*pair.far, [&] { return pair.near->bytes() == 5; });
    pair.near->on_data = nullptr;
    pair.far->write("extra bytes");
    if (clean) pair.far->send_close_notify();
    pair.far->pump();
    pair.far->socket().shutdown_write();
    run_for(50ms);
    EXPECT_EQ(pair.near->summary(), "made data:5");
    pair.near->resume_reading();
    pump_until(*pair.far, [&] { return pair.near->lost(); });
    EXPECT_EQ(pair.near->data(), "firstextra bytes");
    if (clean) {
      EXPECT_EQ(pair.near->summary(), "made data:16 eof lost:ok");
    } else {
      EXPECT_EQ(pair.near->error(), tls_errc::truncated);
      EXPECT_FALSE(pair.near->eof());
    }
  }
}

TEST_P(TlsClose, C0522_TheEndComesInOneSegmentWithDataThatWaits) {
  TlsLink pair = link(TlsPeer::Side::server);
  pair.near->on_data = [n = pair.near.get()](BytesView) { n->pause_reading(); };
  pair.far->write(pattern(16384));
  pair.far->write("behind");
  pair.far->send_close_notify();
  pair.far->pump();
  pair.far->socket().shutdown_write();
  run_until([&] { return pair.near->bytes() > 0; });
  run_for(20ms);
  EXPECT_EQ(pair.near->summary(), "made data:16384");
  pair.near->resume_reading();
  run_until([&] { return pair.near->bytes() == 16390; });
  run_for(20ms);
  EXPECT_FALSE(pair.near->eof());  // paused again
  pair.near->resume_reading();
  pump_until(*pair.far, [&] { return pair.near->lost(); });
  EXPECT_EQ(pair.near->summary(), "made data:16390 eof lost:ok");
}

TEST_P(TlsClose, C0524_DataAfterOurCloseIsDiscarded) {
  TlsLink pair = link(TlsPeer::Side::server);
  pair.near->close();
  pump_until(*pair.far, [&] { return pair.far->got_close_notify(); });
  for (int i = 0; i < 20; ++i) pair.far->write(pattern(10'000));
  pair.far->send_close_notify();
  pump_until(*pair.far, [&] { return pair.near->lost(); });
  EXPECT_EQ(pair.near->summary(), "made lost:ok");
}

TEST_P(TlsClose, C0525_WritesToAClosedTransportAreDroppedAndLoggedAfterFive) {
  TlsLink pair = link(TlsPeer::Side::server);
  pair.far->send_close_notify();
  pump_until(*pair.far, [&] { return pair.near->eof(); });
  take_log();
  ASSERT_TRUE(pair.near->transport()->is_closing());
  const std::size_t before = pair.near->lost() ? 25 : 0;
  for (int i = 0; i < 25; ++i) pair.near->write("too late");
  EXPECT_EQ(pair.near->transport()->get_write_buffer_size(), 0u);
  EXPECT_EQ(take_log().size(), before ? 0u : 20u);
  pump_until(*pair.far, [&] { return pair.near->lost() && pair.far->got_close_notify(); });
  for (int i = 0; i < 25; ++i) pair.near->write("too late");
  EXPECT_EQ(take_log().size(), 0u);
  EXPECT_EQ(pair.far->data(), "");
}

TEST_P(TlsClose, C0526_BytesFromBelowAfterTheEndAreHarmless) {
  TlsLink pair = link(TlsPeer::Side::server);
  pair.far->write("one");
  pair.far->write("two");
  pair.near->on_data = [n = pair.near.get()](BytesView) { n->abort(); };
  pump_until(*pair.far, [&] { return pair.near->lost(); });
  EXPECT_LE(pair.near->bytes(), 6u);
  EXPECT_FALSE(pair.near->error());
}

TEST_P(TlsClose, C0528_TrueFromEofReceivedIsAWarningAndTheEnd) {
  TlsLink pair = link(TlsPeer::Side::server);
  pair.near->keep_open_on_eof = true;
  pair.far->send_close_notify();
  pump_until(*pair.far, [&] { return pair.near->lost(); });
  EXPECT_EQ(pair.near->summary(), "made eof lost:ok");
  const auto log = take_log();
  ASSERT_EQ(log.size(), 1u);
  EXPECT_NE(log[0].find("half-close"), std::string::npos) << log[0];
}

TEST_P(TlsClose, C0529_AbortWaitsForNothing) {
  TlsLink pair = link(TlsPeer::Side::server);
  pair.near->write(pattern(4'000'000));
  const std::size_t timers = loop().stats().timers;
  pair.near->abort();
  EXPECT_EQ(loop().stats().timers, timers);
  EXPECT_EQ(pair.near->transport()->get_write_buffer_size(), 0u);
  tick(8);
  EXPECT_TRUE(pair.near->lost());
  EXPECT_FALSE(pair.near->error());
  pump_until(*pair.far, [&] { return pair.far->socket().eof() || pair.far->socket().error(); });
  EXPECT_FALSE(pair.far->got_close_notify());
}

TEST_P(TlsClose, AnEndWithoutCloseNotifyIsTruncation) {
  TlsLink pair = link(TlsPeer::Side::server);
  pair.far->write("not all");
  pair.far->pump();
  pair.far->socket().shutdown_write();
  pump_until(*pair.far, [&] { return pair.near->lost(); });
  EXPECT_EQ(pair.near->data(), "not all");
  EXPECT_FALSE(pair.near->eof());
  EXPECT_EQ(pair.near->error(), tls_errc::truncated);
  EXPECT_EQ(pair.near->transport()->error().code, tls_errc::truncated);
}

TEST_P(TlsClose, AResetStaysAReset) {
  TlsLink pair = link(TlsPeer::Side::server);
  pair.far->socket().reset();
  run_until([&] { return pair.near->lost(); });
  EXPECT_EQ(pair.near->error(), std::errc::connection_reset);
  EXPECT_STREQ(pair.near->transport()->error().operation, "recv");
}

TEST_P(TlsClose, C0537_TheSessionIsKnownAfterTheLoss) {
  const TlsCouple pair = couple();
  TlsTransport& tls = tls_of(*pair.client);
  const std::string cipher = tls.cipher();
  pair.client->close();
  run_until([&] { return pair.client->lost() && pair.server->lost(); });
  EXPECT_EQ(tls.cipher(), cipher);
  EXPECT_EQ(tls.version(), TlsVersion::tls1_3);
  ASSERT_TRUE(tls.peer_certificate());
  EXPECT_EQ(tls.peer_certificate()->subject, "CN=ferry test");
  EXPECT_FALSE(tls.peername().empty());
  EXPECT_EQ(tls.native_handle(), -1);
  EXPECT_EQ(tls.get_protocol(), nullptr);
  tls.pause_reading();
  tls.resume_reading();
  tls.set_protocol(std::make_shared<Protocol>());
  tls.set_write_buffer_limits();
  tls.close();
  tls.abort();
  tick();
}

TEST_P(TlsClose, C0538_NothingIsKeptAfterTheEnd) {
  for (const char* end : {"clean", "abort", "failure"}) {
    std::weak_ptr<Protocol> protocol;
    std::weak_ptr<Transport> transport;
    std::weak_ptr<TlsContext> context;
    {
      const auto mine = client_context(
          {.trust = end == std::string_view("failure") ? TestCa("x").trust() : TlsTrust{}});
      context = mine;
      auto near = std::make_shared<RecordingProtocol>();
      protocol = near;
      const auto listener = serve_tls(echo_factory());
      ConnectOptions options = to(listener->sockets()[0]);
      options.wrap = tls_client(mine, client_options);
      auto future = create_connection(
          loop(), [near] { return near; }, std::move(options));
      run_until([&] { return future.done(); });
      if (near->made()) {
        transport = near->transport();
        end == std::string_view("clean") ? near->close() : near->abort();
        run_until([&] { return near->lost(); });
      } else {
        EXPECT_THROW(future.result(), IoError);
      }
      run_until([&] { return listener->connections() == 0; });
      listener->close();
    }
    tick();
    EXPECT_TRUE(protocol.expired()) << end;
    EXPECT_TRUE(transport.expired()) << end;
    EXPECT_TRUE(context.expired()) << end;
  }
}

TEST_P(TlsClose, AServersCloseClientsIsACleanEnd) {
  const auto far = recording();
  const auto listener = serve_tls(giving(far));
  const auto near = recording();
  wait(dial_tls(listener->sockets()[0], near));
  run_until([&] { return far->made(); });
  listener->close_clients();
  run_until([&] { return near->lost() && far->lost(); });
  EXPECT_EQ(near->summary(), "made eof lost:ok");
  EXPECT_EQ(far->summary(), "made lost:ok");
}

TEST_P(TlsClose, TheLoopsEndIsTold) {
  const auto near = link(TlsPeer::Side::server).near;  // the far end's socket goes with the loop
  close_loop();
  EXPECT_EQ(near->error(), errc::loop_closed);
}

TEST_P(TlsClose, TheLoopMayEndDuringAHandshake) {
  const auto near = recording();
  {
    auto [future, peer] = begin_link(near, TlsPeer::Side::server);
    run_until([&, p = peer] { return !p->socket().read().empty(); });
  }
  close_loop();
  EXPECT_EQ(near->summary(), "");
}

}  // namespace ferry::test
